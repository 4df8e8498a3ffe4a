internal import Glibc
internal import TestCluster

// Bench [NAME…]: measures loopd beside kubectl cp and inotifywait on the playground, or on the cluster of
// LOOPD_E2E_KUBECONFIG, and prints what it measured as a table. Without names: everything.
let measurements: [(name: String, measure: () async throws -> [Row])] = [
    ("save", SaveRows.save), ("many", SaveRows.many), ("big", SaveRows.big), ("replicas", SaveRows.replicas),
    ("sideload", SideloadRows.program), ("bigsideload", SideloadRows.bigProgram),
    ("image", ImageRows.push), ("diagnosis", DiagnosisRows.told), ("idle", RestRows.idle),
    ("startup", RestRows.startup), ("host", HostRows.latency), ("hostbulk", BulkRows.throughput),
    ("hostload", HostLoadRows.many), ("hostsave", HostLoadRows.save), ("kill", HostLossRows.lost),
    ("forward", ForwardRows.all),
]
let names = CommandLine.arguments.dropFirst()
let unknown = names.filter { name in !measurements.contains { $0.name == name } }
guard unknown.isEmpty else {
    print(
        "no measurement \"\(unknown.joined(separator: " "))\"; there are \(measurements.map(\.name).joined(separator: ", "))"
    )
    exit(2)
}
var rows: [Row] = []
var isComplete = true
for (name, measure) in measurements where names.isEmpty || names.contains(name) {
    print("measuring: \(name) …")
    // A pipe would keep it until the end.
    fflush(nil)
    do {
        rows += try await measure()
    } catch {
        print("\(name): \(error)")
        isComplete = false
    }
}
print("\n\(Row.table(rows))")
exit(isComplete ? 0 : 1)
