internal import JSON
internal import Reactor

/// The way of one workload, or of its manifest, into dev mode: what it is now, and what it shall be.
struct DevStep {
    /// Without dev mode.
    let base: JSON
    /// In dev mode.
    let target: JSON
    let record: DevRecord
    let program: HelperProgram
    /// Whether the pod template becomes another one.
    let changesTemplate: Bool
    /// What a person may want to know, in lines.
    let details: [String]

    /// - Parameters:
    ///   - object: as it is now, perhaps already in dev mode.
    ///   - remembered: what was changed in it, where its annotation is gone.
    ///   - isRunning: whether there may be containers of it to look at.
    ///   - known: a record whose age and holder stay where it means the same; else the object's own.
    ///   - image: the image that one of its containers gets with this step.
    init(
        _ object: JSON, remembered: DevRecord?, _ inputs: DevInputs, holder: String, isRunning: Bool,
        known: DevRecord? = nil, image: (RolledImage, reference: String)? = nil
    ) async throws {
        let old = DevRecord(of: object) ?? remembered
        let undone = old.map { DevWorkload.undone(object, $0) } ?? object
        base = try image.map { try $0.set($1, in: undone) } ?? undone
        let (wished, program) = try await inputs.gather(for: base, isRunning: isRunning)
        let template = try DevTemplate(base.at("spec", "template") ?? .null, wished)
        let new = DevRecord(
            container: template.container, image: template.image, program: wished.program,
            changes: template.changes, holder: holder, since: Timestamp.now().seconds)
        if let old, base == undone, old.fits(new), old.isHeld(by: object) {
            // Exactly as it was left, with whatever the server has added.
            record = old
            target = DevWorkload.annotated(object, old)
            changesTemplate = false
        } else {
            record = known.flatMap { $0.fits(new) ? $0 : nil } ?? new
            target = DevWorkload.entered(object, template, record)
            changesTemplate = true
        }
        self.program = program
        details = template.details
    }

    /// Why no pod will change although the template has; `nil` where they do.
    static func standstill(of workload: JSON, _ kind: WorkloadKind) -> String? {
        if workload.at("spec", "paused")?.bool == true { return "is paused: its pods change when it is resumed" }
        let partition = workload.at("spec", "updateStrategy", "rollingUpdate", "partition")?.integer ?? 0
        if kind == .statefulset, partition > 0 {
            return "has partition \(partition): pods below that number stay as they are"
        }
        return nil
    }
}
