/// The `image` of a rule: an image that is built, brought to where nodes find it, and rolled out.
public struct Image: Equatable, Sendable {
    /// As manifests name it, without tag and digest: `web`, `ghcr.io/acme/web`.
    public var name: String
    /// How it is built; `nil` where a rule of another service builds it and this one only runs it.
    public var builder: Builder?
    /// Whose image it is in the workload; `nil` is the service's container.
    public var container: String?
    /// A tag that always names the newest one, beside the tag by content.
    public var alias: String?

    /// How an image is built.
    public enum Builder: Equatable, Sendable {
        /// From a Dockerfile, by docker, podman or buildah.
        case engine(EngineBuild)
        /// An archive, or a program that streams one, as nixpkgs' `dockerTools` make them.
        case nix(Installable)
        /// By any program that is told the image's name.
        case command(ImageCommand)
        /// A layer on top of a base image, by loopd itself.
        case append(AppendedLayer)
    }

    /// An image by its name.
    public init(_ name: String, _ builder: Builder?, container: String? = nil, alias: String? = nil) {
        self.name = name
        self.builder = builder
        self.container = container
        self.alias = alias
    }
}

/// An image that is built from a Dockerfile.
public struct EngineBuild: Equatable, Sendable {
    /// The programs that build from Dockerfiles.
    public enum Program: String, CaseIterable, Sendable {
        case docker
        case podman
        case buildah
    }

    /// Where a secret comes from; its value is never shown.
    public enum Secret: Equatable, Sendable {
        /// The absolute path of a file.
        case file(String)
        /// A variable of loopd's own environment.
        case environment(String)
    }

    /// Which program; `nil` is the first that works here.
    public var program: Program?
    /// The absolute path of the folder that is the build's context.
    public var context: String
    /// The absolute path of the Dockerfile.
    public var dockerfile: String
    /// Build arguments.
    public var arguments: [String: String] = [:]
    /// The stage to build; `nil` is the last one.
    public var target: String?
    /// Such as `linux/arm64`; `nil` is the nodes' own.
    public var platform: String?
    /// Further contexts by name: absolute paths of folders, or what the program takes (`docker-image://…`).
    public var contexts: [String: String] = [:]
    /// Secrets by id.
    public var secrets: [String: Secret] = [:]

    /// A build of a Dockerfile.
    public init(_ program: Program?, context: String, dockerfile: String) {
        self.program = program
        self.context = context
        self.dockerfile = dockerfile
    }
}

/// A program that builds an image and pushes or loads it under the name in `LOOPD_IMAGE`.
public struct ImageCommand: Equatable, Sendable {
    /// The program and its arguments, in which `${image}` is the image's name; no shell.
    public var command: [String]
    /// The absolute folder that it runs in.
    public var directory: String
    /// Variables on top of loopd's own environment.
    public var environment: [String: String] = [:]

    /// A command in a folder.
    public init(_ command: [String], directory: String, environment: [String: String] = [:]) {
        self.command = command
        self.directory = directory
        self.environment = environment
    }
}

/// One layer of an image that loopd makes: rules with the same image give one layer each, in their order.
public struct AppendedLayer: Equatable, Sendable {
    /// The image below, by its name; `scratch` is none; `nil` where an earlier rule of the image says it.
    public var base: String?
    /// The absolute folder in the image that the watched files go to; `nil` where only `files` are in the layer.
    public var to: String?
    /// The folder, relative to the service's root, that is taken off a file's path; `nil` is the pattern's fixed part.
    public var from: String?
    /// What a build has made, and its places.
    public var files: [Sideload] = []
    /// What the image says about how it is run, where that is not the base's.
    public var config = Config()

    /// Changes to the image's configuration; `nil` leaves the base's.
    public struct Config: Equatable, Sendable {
        /// The program.
        public var entrypoint: [String]?
        /// Its arguments.
        public var command: [String]?
        /// Variables on top of the base's.
        public var environment: [String: String] = [:]
        /// A name or number, perhaps with a group.
        public var user: String?
        /// The absolute working folder.
        public var workingDirectory: String?

        /// The base's configuration.
        public init() {}
    }

    /// An empty layer.
    public init() {}
}

/// Where images go: the `registry` section.
public struct RegistryNames: Equatable, Sendable {
    /// Host and port as this machine reaches it, perhaps with a path: `localhost:5000`, `ghcr.io/acme`.
    public var push: String
    /// The same registry as the nodes name it.
    public var pull: String

    /// A registry by its two names.
    public init(push: String, pull: String? = nil) {
        self.push = push
        self.pull = pull ?? push
    }
}
