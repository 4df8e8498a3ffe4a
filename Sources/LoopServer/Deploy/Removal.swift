internal import JSON
internal import Reactor

/// Taking away what was found.
extension Undeployment {
    /// Removes everything, waits until it is gone, and says what has gone.
    ///
    /// Throws `LoopFailure` where something is still there at the end; what has gone until then is told by `emit`.
    func carryOut(
        until end: ContinuousClock.Instant, _ emit: @escaping @Sendable (LoopEvent) -> Void
    ) async throws {
        for part in parts where !part.isEmpty {
            let started = monotonicNow()
            let pods = try await pods(of: part.objects + part.releases.flatMap(\.objects))
            if let helm = HelmCommand.find(for: connection.context, namespace: namespace) {
                for release in part.releases {
                    let late = LoopFailure(
                        failure: LoopEvent.Failure(
                            "helm still uninstalls release \(release.name)",
                            nextStep: "`loopd undeploy` begins again"))
                    _ = try await atMost(max(end - ContinuousClock.now, .zero), otherwise: late) {
                        try await HelmRun(connection.leash).run(helm.uninstall(release.name), about: release.name)
                    }
                }
            }
            for project in part.projects {
                try await project.carryOut(connection, limit: max(end - ContinuousClock.now, .zero))
            }
            for object in part.objects { try await delete(object) }
            try await wait(for: part.objects + part.releases.flatMap(\.objects) + pods, until: end)
            for object in part.found { try await letGo(object) }
            for object in part.objects { await forgetKept(object.reference) }
            try await ReleaseHistory(
                connection.client, service: part.service, of: project, namespace: namespace
            ).forget()
            for (release, heir) in part.heirs {
                try await InventoryStore(
                    client: connection.client, namespace: namespace, service: heir, project: project, part: .releases
                ).add(release: release)
            }
            let gone =
                part.releases.map { "release/\($0.name)" } + part.projects.map(\.name)
                + part.objects.map(\.reference.description)
            emit(
                LoopEvent(
                    .removed(objects: gone, milliseconds: Double(monotonicNow() - started) / 1e6), service: part.service
                ))
        }
        try await remove(spaces.filter { $0.reference.name != namespace }, until: end, emit)
        // Only now: whoever is killed before that can begin again.
        for list in parts.flatMap(\.lists) { try await forget(.configMaps, list) }
        try await remove(spaces.filter { $0.reference.name == namespace }, until: end, emit)
    }

    private func remove(
        _ spaces: [Disappearance.Leaving], until end: ContinuousClock.Instant, _ emit: (LoopEvent) -> Void
    ) async throws {
        let started = monotonicNow()
        var gone: [Disappearance.Leaving] = []
        for space in spaces {
            // Somebody may have put something into it since.
            if let obstacle = try await contents(of: space.reference.name).obstacle() {
                emit(LoopEvent(.notice("\(space.reference) stays: \(obstacle)")))
            } else {
                try await delete(space)
                gone.append(space)
            }
        }
        if gone.isEmpty { return }
        try await wait(for: gone, until: end)
        emit(
            LoopEvent(
                .removed(
                    objects: gone.map(\.reference.description), milliseconds: Double(monotonicNow() - started) / 1e6)))
    }

    /// The pods of workloads: they end after their workload has gone.
    private func pods(of objects: [Disappearance.Leaving]) async throws -> [Disappearance.Leaving] {
        var pods: [Disappearance.Leaving] = []
        for object in objects where object.reference.workload != nil {
            guard let space = object.reference.namespace,
                let live = try await get(object.resource, object.reference.name, namespace: space)
            else { continue }
            let scope = KubeClient.Scope(.pods, namespace: space, labels: live.selectorText)
            for pod in try await connection.client.list(scope).items {
                guard let reference = ObjectReference(pod.asPod) else { continue }
                pods.append(.init(reference: reference, resource: .pods, uid: pod.at("metadata", "uid")?.string))
            }
        }
        return pods
    }

    private func delete(_ object: Disappearance.Leaving) async throws {
        do {
            try await connection.client.delete(
                object.resource, object.reference.name, namespace: object.reference.namespace, uid: object.uid)
        } catch let error as KubeError where error.isNotFound {
            return
        } catch let error as KubeError {
            throw LoopFailure(
                failure: LoopEvent.Failure("\(object.reference) cannot be deleted: \(error.message)"))
        }
    }

    /// Owns nothing of an object any more: its next deployment finds it as somebody else's, and theirs meets no conflict.
    private func letGo(_ object: Disappearance.Leaving) async throws {
        var backoff = Backoff(first: .milliseconds(10))
        while let live = try await get(object.resource, object.reference.name, namespace: object.reference.namespace),
            let patch = FieldManagers.departure(from: live)
        {
            do {
                _ = try await connection.client.patch(
                    object.resource, object.reference.name, namespace: object.reference.namespace, as: .json, patch)
                return
            } catch let error as KubeError where error.isConflict || error.isNotFound {
                try await Task.sleep(for: backoff.next())
            }
        }
    }

    /// Lets go of a Job or a pod that was broken off while it was made anew: nobody is to make it again.
    private func forgetKept(_ object: ObjectReference) async {
        guard let kind = object.workloadKind, !kind.rollsOut, let space = object.namespace else { return }
        let kept = KeptObjects(client: connection.client, namespace: space)
        try? await kept.forget(KeptObjects.secretName(kind, object.name))
    }

    private func forget(_ resource: KubeResource, _ name: String) async throws {
        do {
            try await connection.client.delete(resource, name, namespace: namespace)
        } catch let error as KubeError where error.isNotFound {}
    }

    private func wait(for objects: [Disappearance.Leaving], until end: ContinuousClock.Instant) async throws {
        let limit = max(end - ContinuousClock.now, .zero)
        let left = await Disappearance(client: connection.client).wait(for: objects, limit: limit)
        try Task.checkCancellation()
        guard let first = left.first else { return }
        let live = try await get(first.resource, first.reference.name, namespace: first.reference.namespace)
        let finalizers = (live?.at("metadata", "finalizers")?.array ?? []).compactMap(\.string)
        let names = left.map(\.reference.description).joined(separator: ", ")
        throw LoopFailure(
            failure: LoopEvent.Failure(
                "\(names) \(left.count == 1 ? "is" : "are") still there"
                    + (finalizers.isEmpty
                        ? "" : ": \(first.reference) waits for \(finalizers.joined(separator: ", "))"),
                nextStep: "it may still be on its way; `loopd undeploy` begins again"))
    }
}

extension JSON {
    /// An object of a list of pods, which does not say its kind.
    fileprivate var asPod: JSON {
        var pod = self
        pod["apiVersion"] = "v1"
        pod["kind"] = "Pod"
        return pod
    }
}
