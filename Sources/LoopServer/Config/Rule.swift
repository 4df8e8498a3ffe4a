public import Watcher

/// One entry of `rules`.
public struct Rule: Equatable, Sendable {
    /// Patterns relative to the service's root; at least one, unless a named build watches for the rule.
    public var watch: [Glob]
    /// What happens to a change.
    public var action: Action
    /// The name of the build that has to succeed first.
    public var build: String?
    /// What runs after each batch of this rule, in order.
    public var then: [Step] = []

    /// Whether `watch` stands for what the action reads, because the file has none.
    private(set) var isWatchingByDefault = false

    /// What happens to a change.
    public enum Action: Equatable, Sendable {
        /// The changed files themselves go into the containers.
        case sync(Sync)
        /// What a build made goes into the containers.
        case sideload([Sideload])
        /// What Nix built goes into the containers' stores.
        case closure(Closure)
        /// Manifests are built and applied.
        case deploy(Deployment)
        /// An image is built and rolled out.
        case image(Image)
    }

    /// A rule that syncs.
    public init(watch: [Glob], sync: Sync, then: [Step] = []) {
        self.watch = watch
        action = .sync(sync)
        self.then = then
    }

    /// A rule that brings over what a build made.
    public init(watch: [Glob], build: String?, sideload: [Sideload], then: [Step] = []) {
        self.watch = watch
        self.build = build
        action = .sideload(sideload)
        self.then = then
    }

    /// A rule that does something with what Nix builds, or makes an image, perhaps after a build.
    public init(watch: [Glob], build: String? = nil, action: Action, then: [Step] = []) {
        self.watch = watch
        self.build = build
        self.action = action
        self.then = then
    }

    /// Watches what the action reads.
    mutating func watchByDefault(_ patterns: [Glob]) {
        watch = patterns
        isWatchingByDefault = true
    }

    /// Where matching files go; `nil` for a rule that does not sync.
    public var sync: Sync? { if case .sync(let sync) = action { sync } else { nil } }
    /// What it deploys; `nil` for a rule of another kind.
    public var deployment: Deployment? { if case .deploy(let deployment) = action { deployment } else { nil } }
    /// The image that it builds or runs; `nil` for a rule of another kind.
    public var image: Image? { if case .image(let image) = action { image } else { nil } }
    /// Whether it brings something into containers: what goes to a store that nodes read comes there by volumes.
    var entersContainers: Bool {
        switch action {
        case .deploy, .image: false
        case .closure(let closure): closure.copyTo == nil
        case .sync, .sideload: true
        }
    }
    /// Whether it concerns containers, so that its service has to say which.
    var needsPods: Bool { if case .deploy = action { false } else { true } }
    /// Whether it can do its work only where its service says which pods: an image may be for others to run.
    var needsTarget: Bool {
        switch action {
        case .deploy, .image: false
        default: true
        }
    }
    /// Whether it brings files onto nodes, not into containers.
    var isOnNodes: Bool { if case .sideload(let items) = action { items.contains(where: \.isOnNode) } else { false } }
}

/// Where a rule's files go.
public struct Sync: Equatable, Sendable {
    /// How files travel.
    public enum Transport: Equatable, Sendable {
        /// The first way that works.
        case automatic
        /// The helper over exec, or an error: never the slow way.
        case exec
        /// `kubectl cp` for each change.
        case cp
    }

    /// The absolute folder in the container, free of `.` and `..`, without a trailing slash unless it is `/`.
    public var to: String
    /// The folder, relative to the service's root, that is taken off a file's path; `nil` is the pattern's fixed part.
    public var from: String?
    /// Whether files in the container that do not exist here are deleted.
    public var mirror: Bool = false
    /// How files travel.
    public var via: Transport = .automatic
}

/// One entry of `then`.
public enum Step: Equatable, Sendable {
    /// Runs a program in the container, with its arguments; no shell.
    case exec([String])
    /// Lets the service take up what has landed.
    case restart(Restart)
}

/// How a service takes up what has landed.
public enum Restart: Equatable, Sendable {
    /// Its process is stopped and started again in the same container; in dev mode only.
    case process
    /// Its process gets a signal, by its number; in dev mode only.
    case signal(Int32)
    /// Its pod is deleted, and made anew by its controller.
    case pod

    /// Whether the helper has to be the parent of the service's process.
    var needsDevMode: Bool { self != .pod }
}
