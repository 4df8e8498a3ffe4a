internal import JSON
internal import Reactor
internal import Synchronization

/// Takes the lease of one workload, renews it, and gives it back.
///
/// Every write names the resource version that it read, so that of two takers one loses and looks again.
final class LeaseKeeper: Sendable {
    let workload: String
    private let client: KubeClient
    private let resource: KubeResource
    private let name: String
    private let namespace: String
    private let mine: Lease
    private let now: @Sendable () -> Int64
    private let lastVersion = Mutex<String?>(nil)

    init(
        _ client: KubeClient, _ kind: WorkloadKind, name: String, namespace: String, session: String,
        now: @escaping @Sendable () -> Int64 = { Timestamp.now().seconds }
    ) {
        workload = "\(kind.rawValue)/\(name)"
        self.client = client
        resource = kind.resource
        self.name = name
        self.namespace = namespace
        mine = Lease.mine(session: session, now: now())
        self.now = now
    }

    /// Takes the lease.
    ///
    /// Throws `LeaseHeld` where another loopd holds a fresh one, unless `takeOver`.
    func take(takeOver: Bool = false) async throws {
        try await write { held in
            if let held, held.session != self.mine.session, held.isHeld(at: self.now()), !takeOver {
                throw LeaseHeld(workload: self.workload, lease: held, now: self.now())
            }
            return self.renewed
        }
    }

    /// Renews the lease every 20 seconds until the task is cancelled; throws `LeaseHeld` when another one has taken it.
    ///
    /// A cluster that does not answer is asked again at the next turn: the lease outlives two of them.
    func keep(every interval: Duration = .seconds(Lease.renewalInterval)) async throws {
        while true {
            try await Task.sleep(for: interval)
            do {
                try await renew()
            } catch let lost as LeaseHeld {
                throw lost
            } catch let cancelled as CancellationError {
                throw cancelled
            } catch {
                continue
            }
        }
    }

    /// Gives the lease back if it is still ours, within `limit`; also for a task that is cancelled, which is how most
    /// sessions end.
    ///
    /// Returns why it may still be ours.
    @discardableResult
    func release(limit: Duration = .seconds(3)) async -> (any Error)? {
        let released = await KubeClient.atEnd(limit, "release the lease") {
            try await self.write { held in
                guard held?.session == self.mine.session else { throw CancellationError() }
                return nil
            }
        }
        guard case .failure(let error) = released else { return nil }
        return error is CancellationError || (error as? KubeError)?.isNotFound == true ? nil : error
    }

    /// Who has taken the lease from us, as an object from a watch shows it; `nil` where nobody has.
    func loss(in workload: JSON) -> LeaseHeld? {
        // Whoever took it may be gone already, as `restore` is: it is lost all the same.
        guard let held = Lease(of: workload), held.session != mine.session, held.isFresh(at: now()) else { return nil }
        // A watch may still tell what was there before our own write. etcd numbers its versions; where they are no
        // numbers, the next renewal finds out.
        let seen = workload.at("metadata", "resourceVersion")?.string.flatMap { Int($0) }
        let written = lastVersion.withLock { $0 }.flatMap { Int($0) }
        if let seen, let written, seen < written { return nil }
        return LeaseHeld(workload: self.workload, lease: held, now: now())
    }

    private var renewed: Lease {
        var lease = mine
        lease.renewed = now()
        return lease
    }

    private func renew() async throws {
        if let version = lastVersion.withLock({ $0 }) {
            do {
                // Nobody has touched the workload since our last write: one request is enough.
                try await patch(renewed, version: version)
                return
            } catch let error as KubeError where error.isConflict {
                lastVersion.withLock { $0 = nil }
            }
        }
        try await write { held in
            if let held, held.session != self.mine.session, held.isHeld(at: self.now()) {
                throw LeaseHeld(workload: self.workload, lease: held, now: self.now())
            }
            return self.renewed
        }
    }

    /// Reads the lease, lets `decide` say what it shall be, and writes that; from the start again when another one wrote
    /// meanwhile.
    private func write(_ decide: (Lease?) throws -> Lease?) async throws {
        var backoff = Backoff(first: .milliseconds(10))
        while true {
            let object = try await client.get(resource, name, namespace: namespace)
            let lease = try decide(Lease(of: object))
            do {
                try await patch(lease, version: object.at("metadata", "resourceVersion")?.string ?? "")
                return
            } catch let error as KubeError where error.isConflict {
                // A rollout writes the workload's status many times a second.
                try await Task.sleep(for: backoff.next())
            }
        }
    }

    private func patch(_ lease: Lease?, version: String) async throws {
        let annotations: JSON = [Lease.annotation: lease.map { .string($0.text) } ?? .null]
        let metadata: JSON = ["resourceVersion": .string(version), "annotations": annotations]
        let object = try await client.patch(
            resource, name, namespace: namespace, as: .merge, ["metadata": metadata])
        lastVersion.withLock { $0 = object.at("metadata", "resourceVersion")?.string }
    }
}
