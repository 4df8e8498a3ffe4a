internal import JSON
internal import Reactor

/// The way back of the images that rules roll out.
extension RollbackSearch {
    /// The last change of the images of the service's workload, and the way behind it; `nil` where it had no others.
    func lastImageChange(since applied: [AppliedObjects]) async throws -> Change? {
        let images = service.rules.compactMap(\.image)
        guard case .workload(let kind, let name) = service.target, kind.rollsOut, !images.isEmpty else { return nil }
        let object: JSON
        let revisions: [JSON]
        do {
            object = try await connection.client.get(kind.resource, name, namespace: namespace)
            let resource: KubeResource = kind == .deployment ? .replicaSets : .controllerRevisions
            revisions = try await connection.client.list(.init(resource, namespace: namespace)).items
        } catch let error as KubeError where error.isNotFound {
            return nil
        }
        let rolled = images.map { image in
            RolledImage(kind: kind, name: name, image: image.name, container: image.container ?? service.container)
        }
        let templates = EarlierTemplates.templates(of: object, among: revisions)
        for earlier in templates {
            var lines: [String] = []
            var changes: [(Image, String)] = []
            for (image, rolled) in zip(images, rolled) {
                guard let place = try? rolled.place(in: object),
                    let old = EarlierTemplates.image(of: place.container, place.list, in: earlier.template),
                    old != place.reference
                else { continue }
                changes.append((image, old))
                lines.append("~ \(rolled.workload)  image of \(place.container) \(place.reference) → \(old)")
            }
            guard !changes.isEmpty else { continue }
            let back = Rollback(
                place: changes.map { "image \($0.1)" }.joined(separator: ", "), lines: lines,
                carryOut: { [changes] in try await set(changes, in: ObjectReference(kind, name, namespace: namespace)) }
            )
            let moment = ChangeMoment.ofImages(
                rolled, of: object, present: templates.first?.created, earlier: earlier.created,
                applied: applied.first { $0.object(like: object) != nil })
            return Change(moment: moment) { back }
        }
        return nil
    }

    private func set(_ images: [(Image, String)], in workload: ObjectReference) async throws -> Bool {
        let started = monotonicNow()
        var isSet = true
        for (image, reference) in images {
            let rollout = ImageRollout(
                image, of: service, dev: inputs.devModes.first { $0.isAbout(workload.stub, namespace: namespace) },
                client: connection.client, namespace: namespace, emit: emit)
            let isDone = await rollout?.roll(to: reference) ?? true
            isSet = isSet && isDone
            await rollout?.end()
        }
        guard isSet else { return false }
        return await follow([workload], since: started)
    }
}

extension ObjectReference {
    /// As much of the object as tells which one it is.
    fileprivate var stub: JSON {
        var metadata: JSON = ["name": .string(name)]
        metadata["namespace"] = namespace.map(JSON.string)
        return ["apiVersion": .string(apiVersion), "kind": .string(kind), "metadata": metadata]
    }
}
