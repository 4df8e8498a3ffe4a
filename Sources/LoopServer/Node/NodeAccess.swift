internal import Watcher
internal import Wire

/// The way onto a node, through its helper pod: what lands there makes the service's pods on that node restart.
final class NodeAccess: ContainerAccess {
    private let helper: any ContainerAccess
    private let onLanding: @Sendable () -> Void
    let description: String
    let service: (any SupervisedService)? = nil

    /// A way by the helper in a pod; `onLanding` is called after every commit that has changed what programs see, or may
    /// have.
    init(_ helper: any ContainerAccess, pod: String, onLanding: @escaping @Sendable () -> Void) {
        self.helper = helper
        self.onLanding = onLanding
        description = "\(helper.description) in pod \(pod)"
    }

    func commit(destination: Int, _ operations: [FileOperation]) async throws -> [OperationResult] {
        let results: [OperationResult]
        do {
            results = try await helper.commit(destination: destination, operations)
        } catch {
            // Whether it was made nobody knows: rather one restart too many.
            if operations.contains(where: \.changesContent) { onLanding() }
            throw error
        }
        if zip(operations, results).contains(where: {
            $0.changesContent && $1.code == 0 && !$1.flags.contains(.unchanged)
        }) {
            onLanding()
        }
        return results
    }

    // MARK: - The helper's own

    var isOpen: Bool { helper.isOpen }

    var architecture: String? { helper.architecture }

    /// The programs that land here run elsewhere, beside other libraries than the helper pod's: nobody can be asked.
    func stagedPath(destination: Int, stage: UInt32) async throws -> String? { nil }

    func whenEnded(_ body: @escaping @Sendable () -> Void) { helper.whenEnded(body) }

    func open(_ destination: Destination, number: Int) async throws -> Opened {
        try await helper.open(destination, number: number)
    }

    func list(destination: Int, paths: [RelativePath]?) async throws -> [RelativePath: Entry]? {
        try await helper.list(destination: destination, paths: paths)
    }

    func digests(destination: Int, of paths: [RelativePath]) async throws -> [RelativePath: SHA256Digest] {
        try await helper.digests(destination: destination, of: paths)
    }

    func stage(
        destination: Int, stage: UInt32, path: RelativePath, from file: LocalFile, progress: (Int64) -> Void
    ) async throws -> Delivery {
        try await helper.stage(destination: destination, stage: stage, path: path, from: file, progress: progress)
    }

    func abandon(destination: Int, stage: UInt32) { helper.abandon(destination: destination, stage: stage) }

    func run(_ arguments: [String], output: (ProgramOutput) -> Void) async throws -> ProgramExit {
        try await helper.run(arguments, output: output)
    }

    func end() async { await helper.end() }

    func drop() { helper.drop() }
}

extension FileOperation {
    /// Whether a program that starts after it finds something else than before, not only another time or an empty folder.
    fileprivate var changesContent: Bool {
        switch self {
        case .place, .link, .remove: true
        case .touch, .makeFolder: false
        }
    }
}
