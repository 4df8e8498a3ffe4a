internal import JSON
internal import Reactor

/// Going back to what a service was before.
extension SessionRun {
    /// Brings the chosen service back, once: shows what changes, asks, and follows the rollout.
    func rollback(dryRun: Bool, confirm: @escaping @Sendable () async -> Bool) async -> Outcome {
        await onCluster { connection in
            do {
                let isWhole = try await rollback(connection, dryRun: dryRun, confirm)
                return Task.isCancelled ? .interrupted : isWhole ? .done : .failed
            } catch {
                let result = outcome(of: error, service: services.first?.name)
                return Task.isCancelled ? .interrupted : result
            }
        }
    }

    private func rollback(
        _ connection: ClusterConnection, dryRun: Bool, _ confirm: @Sendable () async -> Bool
    ) async throws -> Bool {
        guard let service = services.first else { return true }
        let scratch = try SocketDirectory.create()
        defer { scratch.remove() }
        let (emit, name) = (emit, service.name)
        let tell: @Sendable (LoopEvent.Kind) -> Void = { emit(LoopEvent($0, service: name)) }
        let devModes = [devMode(service, connection, once: true)].compactMap(\.self)
        let inputs = deployInputs(connection, devModes, ImageSet(), scratch: scratch.path)
        let search = RollbackSearch(service: service, inputs: inputs, emit: tell)
        guard let back = try await search.find() else {
            tell(
                .failed(
                    LoopEvent.Failure(
                        "there is nothing to go back to: loopd knows no earlier manifests, release or image of \(name)",
                        nextStep: "`loopd deploy` applies what is here now")))
            return false
        }
        tell(.notice("back to \(back.place)"))
        tell(.diff(lines: ManifestDiff.shortened(back.lines)))
        if dryRun { return true }
        guard await confirm() else {
            tell(.notice("nothing was changed"))
            return true
        }
        let started = monotonicNow()
        let isWhole = try await back.carryOut()
        if isWhole { tell(.rolledBack(to: back.place, milliseconds: Double(monotonicNow() - started) / 1e6)) }
        return isWhole
    }
}
