internal import JSON

/// A pod's row: what state its containers are in, in one word.
enum PodCells {
    static func row(of pod: JSON, now: Timestamp) -> [JSON] {
        let spec = pod["spec"]
        let status = pod["status"]
        let summary = Summary(pod)
        var restarts = String(summary.restarts)
        if summary.restarts > 0, let last = summary.lastRestart {
            restarts += " (\(Cells.duration(now.seconds - last.seconds)) ago)"
        }
        let address = status?["podIPs"]?[0]?["ip"] ?? status?["podIP"] ?? "<none>"
        let gates = spec?["readinessGates"]?.array ?? []
        return [
            pod.at("metadata", "name") ?? "", .string("\(summary.ready)/\(summary.total)"), .string(summary.reason),
            .string(restarts), .string(Cells.age(pod.at("metadata", "creationTimestamp"), now)), address,
            spec?["nodeName"] ?? "<none>", status?["nominatedNodeName"] ?? "<none>",
            gates.isEmpty ? "<none>" : .string("0/\(gates.count)"),
        ]
    }

    /// The columns Ready, Status and Restarts.
    private struct Summary {
        var ready = 0
        var total: Int
        var reason: String
        var restarts: Int64 = 0
        var lastRestart: Timestamp?

        init(_ pod: JSON) {
            let status = pod["status"]
            let containers = pod.at("spec", "containers")?.array ?? []
            let initContainers = pod.at("spec", "initContainers")?.array ?? []
            let sidecars = Set(
                initContainers.filter { $0["restartPolicy"] == "Always" }.compactMap { $0["name"]?.string })
            total = containers.count + sidecars.count
            reason = status?["reason"]?.string ?? status?["phase"]?.string ?? "Unknown"
            let scheduled = (status?["conditions"]?.array ?? []).first { $0["type"] == "PodScheduled" }
            if scheduled?["reason"] == "SchedulingGated" { reason = "SchedulingGated" }
            let isInitializing = readInit(status, count: initContainers.count, sidecars: sidecars)
            if !isInitializing { readContainers(status) }
            if pod.at("metadata", "deletionTimestamp") != nil {
                if status?["reason"] == "NodeLost" {
                    reason = "Unknown"
                } else if !["Succeeded", "Failed"].contains(status?["phase"]?.string ?? "") {
                    reason = "Terminating"
                }
            }
        }

        private mutating func readInit(_ status: JSON?, count: Int, sidecars: Set<String>) -> Bool {
            for (index, container) in (status?["initContainerStatuses"]?.array ?? []).enumerated() {
                tally(container)
                let isSidecar = sidecars.contains(container["name"]?.string ?? "")
                let state = container["state"]
                if state?.at("terminated", "exitCode")?.integer == 0, state?["terminated"] != nil { continue }
                if isSidecar, container["started"] == true {
                    if container["ready"] == true { ready += 1 }
                    continue
                }
                if let terminated = state?["terminated"] {
                    reason = "Init:" + Self.ending(terminated)
                } else if let waiting = state?.at("waiting", "reason")?.string, waiting != "PodInitializing" {
                    reason = "Init:" + waiting
                } else {
                    reason = "Init:\(index)/\(count)"
                }
                return true
            }
            return false
        }

        private mutating func readContainers(_ status: JSON?) {
            // Init containers' restarts are shown only while they run.
            restarts = 0
            lastRestart = nil
            var hasRunning = false
            for container in (status?["containerStatuses"]?.array ?? []).reversed() {
                tally(container)
                let state = container["state"]
                if let waiting = state?.at("waiting", "reason")?.string, !waiting.isEmpty {
                    reason = waiting
                } else if let terminated = state?["terminated"] {
                    reason = Self.ending(terminated)
                } else if container["ready"] == true, state?["running"] != nil {
                    hasRunning = true
                    ready += 1
                }
            }
            if reason == "Completed", hasRunning {
                let isReady = (status?["conditions"]?.array ?? []).contains {
                    $0["type"] == "Ready" && $0["status"] == "True"
                }
                reason = isReady ? "Running" : "NotReady"
            }
        }

        private mutating func tally(_ container: JSON) {
            restarts &+= container["restartCount"]?.integer ?? 0
            if let ended = container.at("lastState", "terminated", "finishedAt")?.string.flatMap({ Timestamp($0) }) {
                lastRestart = max(lastRestart ?? ended, ended)
            }
        }

        private static func ending(_ terminated: JSON) -> String {
            if let reason = terminated["reason"]?.string, !reason.isEmpty { return reason }
            if let signal = terminated["signal"]?.integer, signal != 0 { return "Signal:\(signal)" }
            return "ExitCode:\(terminated["exitCode"]?.integer ?? 0)"
        }
    }
}
