public import Watcher

/// A command on this machine that makes files; it runs once per batch for all rules that name it.
public struct Build: Equatable, Sendable {
    /// The name in `builds`, or the place of the rule that it stands in: `web/rules[0]`.
    public var name: String
    /// The name as people are told it: of a rule's own build, the service's.
    public var title: String { name.split(separator: "/").first.map(String.init) ?? name }
    /// The program and its arguments; no shell.
    public var command: [String]
    /// The absolute folder that it runs in.
    public var directory: String
    /// The absolute folder that `watch` is relative to.
    public var root: String
    /// Variables on top of loopd's own environment.
    public var environment: [String: String] = [:]
    /// What it is made from; empty where the rules that name it say so themselves.
    public var watch: [Glob] = []
}

/// One entry of `sideload`: a file or folder that a build made, and its place.
public struct Sideload: Equatable, Sendable {
    /// The absolute path here.
    public var from: String
    /// The absolute path there, of the file or folder itself, free of `.` and `..`.
    public var to: String
    /// Whether `to` is a path on every node that runs the service's pods, not in their containers.
    public var isOnNode: Bool

    /// A file or folder and its place.
    public init(from: String, to: String, isOnNode: Bool = false) {
        self.from = from
        self.to = to
        self.isOnNode = isOnNode
    }
}
