internal import JSON
internal import LoopServer
internal import Wire

/// `loopd version`: loopd, the protocol that it speaks with its helper, and the helpers that it can send.
enum VersionCommand {
    static func run(_ invocation: Invocation, _ console: Console) -> Outcome {
        let programs = Programs.find()
        if invocation.isJSON {
            var helpers = JSONObject()
            for architecture in Programs.architectures {
                helpers[architecture] = programs.helpers[architecture].map(JSON.string) ?? .null
            }
            let report: JSON = [
                "loopd": .string(LoopdVersion.current), "protocol": .integer(Int64(WireProtocol.version)),
                "helpers": .object(helpers), "leash": programs.leash.map(JSON.string) ?? .null,
            ]
            console.show(report.pretty())
            return .done
        }
        console.show("loopd \(LoopdVersion.current)")
        for architecture in Programs.architectures {
            let path = programs.helpers[architecture] ?? "not built"
            console.show("helper linux/\(architecture), protocol \(WireProtocol.version): \(path)")
        }
        return .done
    }
}
