import Reactor
import Synchronization
import Watcher
import Wire

@testable import LoopServer

/// What a lane asks of a container.
enum Call: Equatable, Sendable {
    case open(Int)
    case list(Int)
    case stage(String)
    case abandon
    case commit([String])
    case run([String])
    case restart
    case end
    case drop
}

/// Where a test steps in between a lane and the real helper.
final class Hooks: Sendable {
    typealias Body = @Sendable (Call) async throws -> Void
    private let state: Mutex<(before: Body?, after: Body?, calls: [Call])> = Mutex((nil, nil, []))
    private let obstacle = Mutex<Int32>(0)
    /// Programs that end with a code after a text, instead of being run; whoever has some has a loader as well.
    private let programs: [String: (code: Int32, text: String)]
    /// What the node's architecture is said to be.
    let architecture: String?

    /// Hooks around the real thing, except for the programs that are given.
    init(architecture: String? = nil, programs: [String: (code: Int32, text: String)] = [:]) {
        self.architecture = architecture
        self.programs = programs
    }

    /// Where content is said to be staged, once there are programs that could look at it.
    fileprivate var staged: String? { programs.isEmpty ? nil : "/stage/1" }

    fileprivate func answer(_ arguments: [String], _ output: (ProgramOutput) -> Void) -> ProgramExit? {
        guard let answer = programs[arguments.joined(separator: " ")] else { return nil }
        output(ProgramOutput(channel: .standardError, bytes: Array(answer.text.utf8)))
        return .code(answer.code)
    }

    /// Every call so far, in order.
    var calls: [Call] { state.withLock(\.calls) }

    /// The error number that opening a destination tells.
    var opensWith: Int32 {
        get { obstacle.withLock { $0 } }
        set { obstacle.withLock { $0 = newValue } }
    }

    func before(_ body: @escaping Body) { state.withLock { $0.before = body } }
    func after(_ body: @escaping Body) { state.withLock { $0.after = body } }

    fileprivate func note(_ call: Call) { state.withLock { $0.calls.append(call) } }

    fileprivate func around<Result>(_ call: Call, _ body: () async throws -> Result) async throws -> Result {
        note(call)
        try await state.withLock(\.before)?(call)
        let result = try await body()
        try await state.withLock(\.after)?(call)
        return result
    }
}

/// A container whose calls go through hooks.
struct HookedContainer: ContainerConnector {
    private let inner: any ContainerConnector
    private let hooks: Hooks

    init(_ inner: any ContainerConnector, _ hooks: Hooks) {
        self.inner = inner
        self.hooks = hooks
    }

    func connect(to instance: ContainerInstance) async throws -> any ContainerAccess {
        HookedAccess(inner: try await inner.connect(to: instance), hooks: hooks)
    }
}

private struct HookedService: SupervisedService {
    let inner: any SupervisedService
    let hooks: Hooks

    func follow(_ each: (ServiceState) -> Void) async throws { try await inner.follow(each) }

    func restart(grace: Duration) async throws -> ServiceState {
        try await hooks.around(.restart) { try await inner.restart(grace: grace) }
    }

    func signal(_ number: Int32) async throws { try await inner.signal(number) }
}

private struct HookedAccess: ContainerAccess {
    let inner: any ContainerAccess
    let hooks: Hooks

    var description: String { inner.description }
    var isOpen: Bool { inner.isOpen }
    var service: (any SupervisedService)? { inner.service.map { HookedService(inner: $0, hooks: hooks) } }
    var architecture: String? { hooks.architecture ?? inner.architecture }
    func whenEnded(_ body: @escaping @Sendable () -> Void) { inner.whenEnded(body) }

    func open(_ destination: Destination, number: Int) async throws -> Opened {
        try await hooks.around(.open(number)) {
            var opened = try await inner.open(destination, number: number)
            if hooks.opensWith != 0 { opened.obstacle = hooks.opensWith }
            return opened
        }
    }

    func list(destination: Int, paths: [RelativePath]?) async throws -> [RelativePath: Entry]? {
        try await hooks.around(.list(destination)) { try await inner.list(destination: destination, paths: paths) }
    }

    func digests(destination: Int, of paths: [RelativePath]) async throws -> [RelativePath: SHA256Digest] {
        try await inner.digests(destination: destination, of: paths)
    }

    func stage(
        destination: Int, stage: UInt32, path: RelativePath, from file: LocalFile, progress: (Int64) -> Void
    ) async throws -> Delivery {
        try await hooks.around(.stage("\(path)")) {
            try await inner.stage(destination: destination, stage: stage, path: path, from: file, progress: progress)
        }
    }

    func stagedPath(destination: Int, stage: UInt32) async throws -> String? {
        if let staged = hooks.staged { return staged }
        return try await inner.stagedPath(destination: destination, stage: stage)
    }

    func abandon(destination: Int, stage: UInt32) {
        hooks.note(.abandon)
        inner.abandon(destination: destination, stage: stage)
    }

    func commit(destination: Int, _ operations: [FileOperation]) async throws -> [OperationResult] {
        let paths = operations.map { "\(RelativePath(bytes: $0.path))" }.sorted()
        return try await hooks.around(.commit(paths)) { try await inner.commit(destination: destination, operations) }
    }

    func run(_ arguments: [String], output: (ProgramOutput) -> Void) async throws -> ProgramExit {
        try await hooks.around(.run(arguments)) {
            if let exit = hooks.answer(arguments, output) { return exit }
            return try await inner.run(arguments, output: output)
        }
    }

    func end() async {
        hooks.note(.end)
        await inner.end()
    }

    func drop() {
        hooks.note(.drop)
        inner.drop()
    }
}
