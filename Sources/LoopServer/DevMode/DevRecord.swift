internal import JSON

/// What dev mode has changed in a workload, as an annotation on it: enough to take it back, whoever does.
struct DevRecord: Equatable, Sendable {
    static let annotation = "loopd.dev/dev-mode"
    /// Of the form; a record of another one is left to the loopd that wrote it.
    static let version: Int64 = 1

    /// The container that the helper runs.
    var container: String
    /// Its image when it was entered: what the image says of its command holds for this one only.
    var image: String
    /// The ConfigMap with the helper's program.
    var program: String
    /// What is different in the template's `spec`.
    var changes: [TemplateChange]
    /// Who changed it, and when in seconds since 1970.
    var holder: String
    var since: Int64

    /// Whether both stand for the same template, as far as a server's completions leave it the same.
    func fits(_ other: DevRecord) -> Bool {
        container == other.container && image == other.image && program == other.program
            && changes.count == other.changes.count && zip(changes, other.changes).allSatisfy { $0.fits($1) }
    }

    /// Whether every field of the template still is what dev mode made of it.
    func isHeld(by workload: JSON) -> Bool { lost(in: workload).isEmpty }

    /// The changes that somebody has taken back.
    func lost(in workload: JSON) -> [TemplateChange] {
        let spec = workload.at("spec", "template", "spec") ?? .null
        return changes.filter { !$0.isHeld(in: spec) }
    }
}

extension DevRecord {
    /// The annotation's value.
    var text: String {
        let json: JSON = [
            "version": .integer(DevRecord.version), "container": .string(container), "image": .string(image),
            "program": .string(program), "holder": .string(holder), "since": .integer(since),
            "changes": .array(
                changes.map { change in
                    var json: JSON = ["path": change.path.json]
                    json["before"] = change.before
                    json["after"] = change.after
                    return json
                }),
        ]
        return json.text
    }

    /// From the annotation's value; `nil` where it is none of this version.
    init?(text: String) {
        guard let json = try? JSON(parsing: text), json["version"]?.integer == DevRecord.version,
            let container = json["container"]?.string, let program = json["program"]?.string,
            let recorded = json["changes"]?.array
        else { return nil }
        let changes = recorded.compactMap { json in
            json["path"].flatMap { TemplatePath($0) }.map {
                TemplateChange(path: $0, before: json["before"], after: json["after"])
            }
        }
        guard changes.count == recorded.count else { return nil }
        self.init(
            container: container, image: json["image"]?.string ?? "", program: program,
            changes: changes, holder: json["holder"]?.string ?? "", since: json["since"]?.integer ?? 0)
    }

    /// The annotation as it stands, of whatever version.
    static func text(in workload: JSON) -> String? { workload["metadata"]?.strings("annotations")[annotation] }

    /// The record in a workload's annotations.
    init?(of workload: JSON) {
        guard let text = DevRecord.text(in: workload) else { return nil }
        self.init(text: text)
    }
}

extension DevRecord {
    /// What to say of an annotation that another version of loopd has written; `nil` where there is none.
    static func unreadable(in workload: JSON) -> LoopEvent.Failure? {
        guard let text = text(in: workload), DevRecord(text: text) == nil else {
            return nil
        }
        return LoopEvent.Failure(
            "dev mode: the annotation \(annotation) is not of this version of loopd",
            nextStep: "`loopd restore` of the version that wrote it, or remove it and apply the manifests again")
    }
}
