/// Something that Nix can build.
public struct Installable: Equatable, Sendable {
    /// Where its expression is.
    public enum Source: Equatable, Sendable {
        /// An attribute of a flake: `.#server`; the flake's path is relative to the folder that the service's root is.
        case flake(String)
        /// An attribute of a file, by the file's absolute path; `nil` is what the file itself evaluates to.
        case file(String, attribute: String?)
    }

    /// Where its expression is.
    public var source: Source
    /// Strings for the parameters of a file's function: `--argstr NAME VALUE`; a flake takes none.
    public var arguments: [String: String] = [:]
    /// The absolute folder that Nix runs in: the service's root.
    public var directory: String

    /// An installable; it is looked at when it is built.
    public init(_ source: Source, arguments: [String: String] = [:], in directory: String) {
        self.source = source
        self.arguments = arguments
        self.directory = directory
    }
}

/// A sideload of what Nix builds: an output with everything it refers to.
public struct Closure: Equatable, Sendable {
    /// What is built.
    public var installable: Installable
    /// The absolute path in the container of the link that is pointed at the output; `nil` makes none.
    public var profile: String?
    /// The store that nodes can reach and that the closure is copied to, for volumes of nix-csi; `nil` copies nothing.
    public var copyTo: String?

    /// A closure and its link.
    public init(_ installable: Installable, profile: String? = nil, copyTo: String? = nil) {
        self.installable = installable
        self.profile = profile
        self.copyTo = copyTo
    }
}
