internal import JSON

/// A change that the cluster refuses because nobody may make it to an object that is there: the object stays as it is, or
/// is made anew.
struct ImmutableChange: Hashable, Sendable {
    let reference: ObjectReference
    /// What cannot change: `spec.selector`.
    let fields: [String]
    /// What the server says of it where that is more than that it is immutable.
    var words: String?

    /// What the API server, its webhooks and the rules of definitions say of a field that stays as it was made.
    private static let phrases = [
        "immutable", "updates to statefulset spec for fields other than", "may not change fields other than",
        "may not add or remove containers", "may not change once set", "may not be changed in an update",
        "cannot change roleRef", "updates to provisioner are forbidden", "updates to parameters are forbidden",
        "updates to reclaimPolicy are forbidden",
    ]

    init(reference: ObjectReference, fields: [String], words: String? = nil) {
        self.reference = reference
        self.fields = fields
        self.words = words
    }

    /// `nil` where a refusal has another reason, or one beside this.
    init?(_ error: KubeError, of reference: ObjectReference) {
        guard error.code == 422, !error.causes.isEmpty,
            error.causes.allSatisfy({ cause in ImmutableChange.phrases.contains { cause.message.contains($0) } })
        else { return nil }
        let said = error.causes.map { ImmutableChange.words($0.message) }.filter { !$0.hasPrefix("field is immutable") }
        var fields: [String] = []
        for cause in error.causes where !fields.contains(cause.field) { fields.append(cause.field) }
        self.init(reference: reference, fields: fields, words: reference.hasSecrets ? nil : said.first)
    }

    /// A sentence without what kind of mistake it is and the value that it is about.
    private static func words(_ message: String) -> String {
        let line = message.prefix { $0 != "\n" }
        if line.hasPrefix("Forbidden: ") { return String(line.dropFirst("Forbidden: ".count)) }
        guard line.hasPrefix("Invalid value: ") else { return String(line) }
        var rest = line
        while let next = rest.firstRange(of: ": ") { rest = rest[next.upperBound...] }
        return String(rest)
    }

    /// A change of what a Job or a pod runs, seen before the cluster was asked; `nil` where there is none.
    init?(_ reference: ObjectReference, from old: JSON, to new: JSON) {
        switch reference.workloadKind {
        case .job where old.at("spec", "template") != new.at("spec", "template"):
            self.init(reference: reference, fields: ["spec.template"])
        case .pod where old["spec"] != new["spec"]: self.init(reference: reference, fields: ["spec"])
        default: return nil
        }
    }

    /// The line of a difference that says that it is made anew.
    var line: String { "! \(reference)  is made anew: \(reason)" }

    private var reason: String {
        switch reference.workloadKind {
        case .job where fields == ["spec.template"]: "its template is immutable"
        case .pod: "its spec is immutable"
        default: "\(fields.joined(separator: ", ")) is immutable"
        }
    }

    /// That the object stays as it is, and what to do.
    var failure: LoopEvent.Failure {
        if let kind = reference.workloadKind, !kind.rollsOut {
            let part = kind == .pod ? "spec" : fields == ["spec.template"] ? "template" : fields.joined(separator: ", ")
            let what = kind == .pod ? "a pod's spec" : "a Job's \(part)"
            return LoopEvent.Failure(
                "\(reference) stays as it is: its \(part) changed, and \(what) is immutable",
                nextStep: "\"recreate\": true in its service lets loopd make it anew, and `loopd deploy` asks")
        }
        let why = words.map { "\(fields.joined(separator: ", ")): \($0)" } ?? reason
        return LoopEvent.Failure("\(reference) stays as it is: \(why)", nextStep: nextStep)
    }

    private var nextStep: String {
        let place = reference.namespace.map { " -n \($0)" } ?? ""
        let delete = "kubectl delete \(reference)\(place)"
        switch reference.kind {
        case "StatefulSet":
            return "`\(delete) --cascade=orphan` leaves its pods, and the next deployment makes it anew around them"
        case "PersistentVolumeClaim", "PersistentVolume":
            return
                "take the change back, or `\(delete)` where nothing is lost with it: the next deployment makes it anew"
        default: return "`\(delete)`, and the next deployment makes it anew"
        }
    }
}
