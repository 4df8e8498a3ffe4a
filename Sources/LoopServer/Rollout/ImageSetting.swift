internal import JSON

extension ImageRollout {
    /// What was set: which object has it, and since when.
    struct Setting: Sendable {
        let reference: String
        let object: JSON
        /// When it was set, by `monotonicNow`; `nil` where the workload had it already.
        var started: UInt64?

        var uid: String { object.at("metadata", "uid")?.string ?? "" }
        /// etcd numbers its versions.
        var version: Int? { object.at("metadata", "resourceVersion")?.string.flatMap { Int($0) } }
    }
}
