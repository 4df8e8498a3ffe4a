internal import Wire
internal import Watcher

/// A way into one container: the helper's protocol, or `kubectl cp`.
///
/// Destinations are named by their number in `ServicePlan.destinations`. When a call throws `LinkError.refused`, only that
/// request failed; any other `LinkError` means that the way is lost and everything has to be compared again on the next one.
protocol ContainerAccess: Sendable {
    /// The way in words: `helper in /tmp`, `kubectl cp`.
    var description: String { get }
    /// Whether calls can still succeed.
    var isOpen: Bool { get }
    /// The container's process where the helper is its parent; `nil` outside of dev mode.
    var service: (any SupervisedService)? { get }
    /// The node's architecture in Kubernetes' names, where it is known.
    var architecture: String? { get }
    /// Calls `body` once when the way is lost.
    func whenEnded(_ body: @escaping @Sendable () -> Void)

    /// Prepares a destination, before anything else about it; again where it could not be written then.
    func open(_ destination: Destination, number: Int) async throws -> Opened
    /// What lies in the destination, or at `paths` only; `nil` where this way cannot tell.
    func list(destination: Int, paths: [RelativePath]?) async throws -> [RelativePath: Entry]?
    /// The hashes of files; those that cannot be read are missing.
    func digests(destination: Int, of paths: [RelativePath]) async throws -> [RelativePath: SHA256Digest]
    /// Brings content close to its place.
    func stage(
        destination: Int, stage: UInt32, path: RelativePath, from file: LocalFile, progress: (Int64) -> Void
    ) async throws -> Delivery
    /// The absolute path in the container of content that is staged there; `nil` where it does not lie there yet.
    func stagedPath(destination: Int, stage: UInt32) async throws -> String?
    /// Gives up staged content.
    func abandon(destination: Int, stage: UInt32)
    /// Applies a batch; the results are in its order.
    func commit(destination: Int, _ operations: [FileOperation]) async throws -> [OperationResult]
    /// Runs a program in the container.
    func run(_ arguments: [String], output: (ProgramOutput) -> Void) async throws -> ProgramExit
    /// Leaves cleanly, and drops the way where that takes too long.
    func end() async
    /// Drops the way now.
    func drop()
}

/// Content that is close to its place.
struct Delivery: Sendable {
    /// Its hash as the far end has it on disk.
    let digest: SHA256Digest
    /// How many bytes of content travelled: fewer than it has where the far end had parts of it.
    let bytesSent: UInt64
}
