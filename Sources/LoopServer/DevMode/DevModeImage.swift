internal import JSON

/// Images that come into a workload that is in dev mode.
extension DevModeSession {
    /// Sets an image together with what dev mode has to be with it, as one change, and returns the workload as it is then.
    ///
    /// `nil` where dev mode is not this session's to change, or does not go with that image, which is told: the image
    /// alone is to be set then. Throws what the cluster answers; a conflict among others.
    func roll(_ image: RolledImage, to reference: String, in object: JSON) async throws -> JSON? {
        guard case .keep(let inputs) = purpose, isHeld(object) else { return nil }
        do {
            return try await enterOnce(inputs, image: (image, reference))
        } catch is DevTemplate.SupervisedByImage {
            return nil
        } catch is DevTemplate.CommandUnknown {
            return try await carry(image, reference, in: object)
        } catch let failure as LoopFailure {
            giveUp(failure.failure)
            return nil
        }
    }

    /// Sets an image, and leaves dev mode as it is: what an image runs that no container has run yet nobody may know, and
    /// the command of the one before is the best guess.
    private func carry(_ image: RolledImage, _ reference: String, in object: JSON) async throws -> JSON? {
        let target = try DevWorkload.withImage(image, reference, in: object)
        guard let record = DevRecord(of: target), let patch = DevWorkload.patch(from: object, to: target) else {
            return nil
        }
        let written = try await client.patch(kind.resource, name, namespace: namespace, as: .json, patch)
        note(record, in: written)
        emit(.detail("dev mode: nobody knows what \(reference) runs; it is started as the image before"))
        return written
    }
}

extension DevWorkload {
    /// A workload with another image, in dev mode as it is where it is in it: only what copies the image changes with it.
    ///
    /// Throws `LoopFailure` where there is no such container.
    static func withImage(_ image: RolledImage, _ reference: String, in workload: JSON) throws -> JSON {
        var result = try image.set(reference, in: workload)
        guard image.kind.rollsOut, var record = DevRecord(of: workload),
            var spec = result.at("spec", "template", "spec")
        else { return result }
        let place = try image.place(in: workload)
        record.changes = record.changes.map { change in
            // What seeds a volume runs the service's own image.
            guard change.before == nil, change.path.listOfElement == "initContainers", var added = change.after,
                added["image"]?.string == place.reference
            else { return change }
            added["image"] = .string(reference)
            change.path.key("image").set(.string(reference), in: &spec)
            if RolledImage.isOwn(reference) {
                added["imagePullPolicy"] = "IfNotPresent"
                change.path.key("imagePullPolicy").set("IfNotPresent", in: &spec)
            }
            return TemplateChange(path: change.path, before: nil, after: added)
        }
        if record.container == place.container { record.image = reference }
        result["spec"]?["template"]?["spec"] = spec
        return annotated(result, record)
    }
}
