/// The bytes to and from a helper: an exec session in a cluster, or a child's pipes.
protocol HelperChannel: Sendable {
    /// Sends bytes, returning when they were handed on. One task at a time.
    func send(_ bytes: [UInt8]) async throws
    /// The next bytes from the helper's standard output; an empty array is its end. One task at a time.
    func receive() async throws -> [UInt8]
    /// Drops the connection; pending calls fail. May be called at any time, more than once.
    func close()
}
