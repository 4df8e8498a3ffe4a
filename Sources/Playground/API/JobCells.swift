internal import JSON

/// The cells of a Job's row, as the API server words them.
enum JobCells {
    static func row(of job: JSON, _ age: JSON, now: Timestamp) -> [JSON] {
        let succeeded = job.at("status", "succeeded")?.integer ?? 0
        let parallelism = job.at("spec", "parallelism")?.integer ?? 0
        let wanted =
            job.at("spec", "completions")?.integer.map { "\($0)" } ?? (parallelism > 1 ? "1 of \(parallelism)" : "1")
        return [
            job.at("metadata", "name") ?? "", .string(status(of: job)), .string("\(succeeded)/\(wanted)"),
            .string(duration(of: job, now)), age,
        ]
    }

    private static func status(of job: JSON) -> String {
        if JobPlan.condition("Complete", of: job) { return "Complete" }
        if JobPlan.condition("Failed", of: job) { return "Failed" }
        if job.at("metadata", "deletionTimestamp") != nil { return "Terminating" }
        return JobPlan.condition("Suspended", of: job) ? "Suspended" : "Running"
    }

    private static func duration(of job: JSON, _ now: Timestamp) -> String {
        func time(_ field: String) -> Int? { job.at("status", field)?.string.flatMap { Timestamp($0)?.seconds } }
        guard let start = time("startTime") else { return "" }
        return Cells.duration((time("completionTime") ?? now.seconds) - start)
    }
}
