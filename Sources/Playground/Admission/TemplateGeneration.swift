internal import JSON

/// The annotation that counts the changes of a DaemonSet's pod template; only the system writes it.
enum TemplateGeneration {
    private static let annotation = "deprecated.daemonset.template.generation"

    static func of(_ set: JSON) -> JSON? { set.at("metadata", "annotations", annotation) }

    static func begin(_ set: inout JSON) {
        set.setDefault("metadata", [:])
        set.edit("metadata") { note("1", in: &$0) }
    }

    /// Keeps the count, or adds one where the template changed.
    static func carry(from old: JSON, to new: JSON, _ metadata: inout JSON) {
        let count = of(old)?.string.flatMap { Int($0) } ?? 1
        let isChanged = new.at("spec", "template") != old.at("spec", "template")
        note(String(isChanged ? count &+ 1 : count), in: &metadata)
    }

    private static func note(_ count: String, in metadata: inout JSON) {
        metadata.setDefault("annotations", [:])
        metadata.edit("annotations") { $0[annotation] = .string(count) }
    }
}
