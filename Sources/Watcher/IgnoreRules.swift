public struct IgnoreRules: Sendable {
    public init(root: String, patterns: [String] = []) throws(WatchError) {}
    /// x
    public func isIgnored(_ path: RelativePath, isDirectory: Bool) -> Bool { false }
}
