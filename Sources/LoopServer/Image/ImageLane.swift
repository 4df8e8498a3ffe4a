internal import Synchronization

/// One image: built when its inputs have changed, brought to where nodes find it, and handed to whoever runs it.
final class ImageLane: Sendable {
    /// What builds the image, and where it goes: asked for again with each build, because an engine may come to be there.
    typealias Preparation = @Sendable () async throws -> (any ImageBuilder, ImageHome)

    /// As manifests name the image.
    let name: String
    private let prepare: Preparation
    private let emit: @Sendable (LoopEvent.Kind) -> Void
    private let onBuilt: @Sendable (BuiltImage) async -> Void
    private let work = WorkLane()
    private let success = Mutex(true)

    /// An image that waits for its first `trigger`; `onBuilt` is awaited before the next build starts.
    init(
        _ name: String, prepare: @escaping Preparation, emit: @escaping @Sendable (LoopEvent.Kind) -> Void,
        onBuilt: @escaping @Sendable (BuiltImage) async -> Void
    ) {
        self.name = name
        self.prepare = prepare
        self.emit = emit
        self.onBuilt = onBuilt
    }

    /// Whether the last build that ran to its end has succeeded.
    var hasSucceeded: Bool { success.withLock { $0 } }

    /// Asks for an image of what is on disk now; a build that runs is obsolete, and so is what it would push.
    func trigger(firstEvent: UInt64) async { await work.trigger(firstEvent: firstEvent) }

    /// Builds whatever is asked for until the task is cancelled.
    func run() async { await work.run { await self.build($0) } }

    /// Returns once nothing is to be built, or when the task is cancelled.
    func untilIdle() async { await work.untilIdle() }

    private func build(_ turn: WorkLane.Turn) async {
        emit(.building(name: "image \(name)", again: turn.isAgain))
        let started = monotonicNow()
        let result: Result<BuiltImage, any Error>
        do {
            let (builder, home) = try await prepare()
            result = .success(try await builder.build(to: home) { [emit] in emit(.buildOutput(line: $0)) })
        } catch {
            result = .failure(error)
        }
        // Obsolete, however it ended: what was pushed of it, nobody runs.
        guard await turn.commit() else { return }
        switch result {
        case .success(let built):
            success.withLock { $0 = true }
            emit(
                .imageBuilt(
                    LoopEvent.ImageBuilt(
                        name, reference: built.reference, bytesSent: built.bytesSent, isUnchanged: built.isUnchanged,
                        milliseconds: Double(monotonicNow() - started) / 1e6)))
            await onBuilt(built)
        case .failure(let error):
            success.withLock { $0 = false }
            guard let failure = (error as? LoopFailure)?.failure else {
                return emit(.failed(LoopEvent.Failure("image \(name) cannot be built: \(error)")))
            }
            emit(.failed(failure))
        }
    }
}
