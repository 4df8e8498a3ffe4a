internal import JSON
internal import Reactor

/// What stands between an object and what a set says of it: fields that cannot change, and fields that kubectl has set.
extension ManifestApply {
    /// Decides about an object that cannot become what the set says: it is made anew where that is allowed, or stays as it is.
    ///
    /// Throws `LoopFailure` where it should be made anew, and the cluster would not take the new one.
    func plan(_ change: ImmutableChange, _ index: Int, live: JSON, in plan: inout Plan) async throws {
        let item = plan.items[index]
        guard recreates, let recreation = recreation(of: item.reference) else {
            plan.items[index].isUnchanged = true
            plan.immutable.append(change.failure)
            return
        }
        if let obstacle = Recreation.obstacle(to: live, recreation.kind, mayRecreate: true) {
            plan.items[index].isUnchanged = true
            plan.immutable.append(obstacle)
            return
        }
        try await recreation.tryOut(item.object, insteadOf: live)
        plan.items[index].predecessor = live
        plan.lines.append(change.line)
    }

    /// Lets the cluster say what it thinks of an object without fields that are taken over from kubectl and are not wanted: an
    /// apply without effect leaves those to kubectl.
    ///
    /// Returns why it cannot become that. Whatever else there is to say of it, the apply says.
    func tryOut(
        _ wanted: JSON, insteadOf live: JSON, _ reference: ObjectReference, _ resource: KubeResource
    ) async -> ImmutableChange? {
        let names = (live.object?.keys ?? []) + (wanted.object?.keys ?? []).filter { live[$0] == nil }
        let parts = names.filter {
            !["apiVersion", "kind", "metadata", "status"].contains($0) && live[$0] != wanted[$0]
        }
        guard !parts.isEmpty else { return nil }
        let patch = parts.map { part -> JSON in
            guard let value = wanted[part] else { return ["op": "remove", "path": .string("/\(part)")] }
            return ["op": "add", "path": .string("/\(part)"), "value": value]
        }
        do {
            _ = try await client.patch(
                resource, reference.name, namespace: reference.namespace, as: .json, .array(patch), dryRun: true)
            return nil
        } catch {
            return (error as? KubeError).flatMap { ImmutableChange($0, of: reference) }
        }
    }

    private func recreation(of reference: ObjectReference) -> Recreation? {
        guard let kind = reference.workloadKind, !kind.rollsOut, let namespace = reference.namespace else { return nil }
        return Recreation(client: client, namespace: namespace, kind: kind, name: reference.name, emit: emit)
    }

    /// Deletes the object that was there before and makes the new one, without the fields being anybody's: it is applied next.
    func makeAnew(_ item: Item) async throws {
        guard let predecessor = item.predecessor, let recreation = recreation(of: item.reference) else { return }
        do {
            _ = try await recreation.replace(predecessor, with: item.object)
        } catch is Recreation.Unfinished {
            throw LoopFailure(failure: await recreation.leave())
        } catch let error as KubeError {
            throw refused(item.reference, error)
        }
    }

    /// Lets go of what making a Job or a pod anew has left: the fields that it has set, which are those of the manifest from
    /// here on, and the Secret of one that was broken off.
    func finish(_ item: Item) async {
        guard let recreation = recreation(of: item.reference) else { return }
        try? await recreation.forget()
        guard item.predecessor != nil else { return }
        let restore = DevRestore(client: client, namespace: recreation.namespace)
        try? await restore.giveBack(recreation.kind, recreation.name)
    }

    /// Takes the fields over that kubectl has set, so that those that have left the manifest go.
    func takeOver(_ item: Item, _ resource: KubeResource) async throws {
        let (name, namespace) = (item.reference.name, item.reference.namespace)
        var backoff = Backoff(first: .milliseconds(10))
        for attempt in 1... {
            do {
                let live = try await client.get(resource, name, namespace: namespace)
                guard let fields = ClientSideFields(of: live) else { return }
                _ = try await client.patch(resource, name, namespace: namespace, as: .json, fields.takeover)
                return
            } catch let error as KubeError where error.isNotFound {
                return
            } catch let error as KubeError {
                guard error.isConflict, attempt < 20 else { throw refused(item.reference, error) }
            }
            try await Task.sleep(for: backoff.next())
        }
    }
}
