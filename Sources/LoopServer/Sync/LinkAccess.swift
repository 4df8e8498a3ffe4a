internal import Synchronization
internal import Watcher
internal import Wire

/// The way through a helper.
///
/// Of large files only those blocks travel that the container lacks.
final class LinkAccess: ContainerAccess {
    /// The helper itself, for what is no file or program.
    let link: HelperLink
    /// The container's root as the helper sees it: `/proc/7/root`, or empty for its own.
    private let root: String
    private let removesHelper: Bool
    private let patience: Duration
    private let tell: @Sendable (String) -> Void
    /// How many seconds are between two beats to who supervises the service.
    let heartbeat: UInt16
    /// Runs programs in the container itself, where the helper is in another one beside it.
    private let target: (exec: any ContainerExec, instance: ContainerInstance)?
    private let numbers = Mutex<[Int: UInt32]>([:])
    /// What large files may be built on.
    ///
    /// A base that is not what it seems to be shows in the hash of the result.
    private let bases = Mutex<[Place: Base]>([:])
    let description: String
    let architecture: String?

    private enum Base {
        /// There is a file whose blocks were not asked for yet.
        case present
        case known(BlockTable)
    }

    /// A way by an open link.
    ///
    /// `removesHelper` is for helpers that loopd put there, and `tell` gets a line where one may stay; a service that is
    /// followed takes a `heartbeat` of so many seconds. The helper gets `patience` to leave: half a second, and three where
    /// what it does not take away stays.
    init(
        _ link: HelperLink, root: String = "", removesHelper: Bool, description: String,
        architecture: String? = nil, target: (exec: any ContainerExec, instance: ContainerInstance)? = nil,
        heartbeat: UInt16 = 1, patience: Duration? = nil, tell: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        self.tell = tell
        self.heartbeat = heartbeat
        self.architecture = architecture
        self.target = target
        self.link = link
        self.root = root
        self.removesHelper = removesHelper
        self.patience = patience ?? (removesHelper ? .seconds(3) : .milliseconds(500))
        self.description = description
    }

    var isOpen: Bool { link.isOpen }

    var service: (any SupervisedService)? {
        link.welcome.capabilities.contains(.service) ? LinkedService(link: link, heartbeat: heartbeat) : nil
    }

    func whenEnded(_ body: @escaping @Sendable () -> Void) { link.whenEnded(body) }

    func open(_ destination: Destination, number: Int) async throws -> Opened {
        let request = Open(
            path: Array(destination.path.utf8), root: Array(root.utf8), generation: link.generation)
        // Opened again after an obstacle: the helper forgets the earlier try.
        if let earlier = numbers.withLock({ $0.removeValue(forKey: number) }) {
            try await link.close(destination: earlier)
        }
        let opened = try await link.open(request)
        numbers.withLock { $0[number] = opened.destination }
        return opened
    }

    func list(destination: Int, paths: [RelativePath]?) async throws -> [RelativePath: Entry]? {
        if let paths, paths.isEmpty { return [:] }
        let request = List(
            destination: try number(destination), paths: (paths ?? []).map(\.bytes), isRecursive: paths == nil)
        var entries: [RelativePath: Entry] = [:]
        try await link.list(request) { entry in
            guard entry.kind != .absent else { return }
            let path = RelativePath(bytes: entry.path)
            entries[path] = entry
            if entry.kind == .file, entry.stamp.size >= UInt64(Transfer.smallestWithBlocks) {
                bases.withLock { $0[Place(destination: destination, path: path)] = .present }
            }
        } failed: { _ in
            // A folder that cannot be read there is compared as if it were empty: writing into it will say why.
        }
        return entries
    }

    func digests(destination: Int, of paths: [RelativePath]) async throws -> [RelativePath: SHA256Digest] {
        var digests: [RelativePath: SHA256Digest] = [:]
        try await link.digests(destination: try number(destination), of: paths.map(\.bytes)) { digest in
            digests[RelativePath(bytes: digest.path)] = SHA256Digest(digest.sha256)
        } failed: { _ in
            // Unreadable there: not equal, so it is written.
        }
        return digests
    }

    func stage(
        destination: Int, stage: UInt32, path: RelativePath, from file: LocalFile, progress: (Int64) -> Void
    ) async throws -> Delivery {
        let number = try number(destination)
        let place = Place(destination: destination, path: path)
        let base = file.size >= Transfer.smallestWithBlocks ? try await base(of: place, number) : nil
        let request = Stage(
            destination: number, stage: stage, sizeHint: UInt64(file.size), path: path.bytes)
        var transfer: Transfer
        do {
            transfer = try await link.stage(request, from: file, base: base, progress: progress)
        } catch LinkError.refused where base != nil {
            // The file that it was to be built on is gone, or shorter by now.
            bases.withLock { $0[place] = nil }
            transfer = try await link.stage(request, from: file, progress: progress)
        }
        if base != nil, transfer.staged.sha256 != file.digest.bytes {
            // Somebody has changed that file since its blocks were named.
            transfer = try await link.stage(request, from: file, progress: progress)
        }
        guard let digest = SHA256Digest(transfer.staged.sha256) else {
            throw LinkError.protocolViolation("a short hash")
        }
        let blocks = transfer.blocks
        bases.withLock { $0[place] = blocks.map(Base.known) }
        return Delivery(digest: digest, bytesSent: transfer.bytesSent)
    }

    /// The blocks of what lies at a place, as far as it is worth building on.
    private func base(of place: Place, _ number: UInt32) async throws -> BlockTable? {
        switch bases.withLock({ $0[place] }) {
        case .known(let blocks): return blocks
        case .present:
            do {
                return try await link.blocks(destination: number, of: place.path.bytes)
            } catch LinkError.refused {
                return nil
            }
        case nil: return nil
        }
    }

    func stagedPath(destination: Int, stage: UInt32) async throws -> String? {
        try await link.locate(destination: try number(destination), stage: stage)
    }

    func abandon(destination: Int, stage: UInt32) {
        guard let number = try? number(destination) else { return }
        link.send(.abandon(Abandon(destination: number, stage: stage)))
    }

    func commit(destination: Int, _ operations: [FileOperation]) async throws -> [OperationResult] {
        try await link.commit(destination: try number(destination), operations)
    }

    func run(_ arguments: [String], output: (ProgramOutput) -> Void) async throws -> ProgramExit {
        guard let target else {
            return try await link.run(Exec(arguments: arguments.map { Array($0.utf8) }), output: output)
        }
        return try await target.exec.run(
            arguments, pod: target.instance.pod, container: target.instance.container, output: output)
    }

    func end() async {
        let reason = await link.end(removingHelper: removesHelper, limit: patience)
        if removesHelper, let reason { tell("\(description) may stay there: \(reason)") }
    }

    func drop() { link.drop("dropped") }

    private func number(_ destination: Int) throws -> UInt32 {
        guard let number = numbers.withLock({ $0[destination] }) else {
            throw LinkError.protocolViolation("destination \(destination) is not open")
        }
        return number
    }
}
