internal import JSON

/// Events as `events.k8s.io/v1` names their fields.
enum NewEvents {
    static let apiVersion = "events.k8s.io/v1"

    private static let names = [
        ("involvedObject", "regarding"), ("message", "note"), ("source", "deprecatedSource"),
        ("firstTimestamp", "deprecatedFirstTimestamp"), ("lastTimestamp", "deprecatedLastTimestamp"),
        ("count", "deprecatedCount"), ("reportingComponent", "reportingController"),
    ]

    static func view(of event: JSON) -> JSON { renamed(event, names) }

    static func stored(_ event: JSON) -> JSON {
        var event = renamed(event, names.map { ($0.1, $0.0) })
        event["apiVersion"] = "v1"
        return event
    }

    private static func renamed(_ event: JSON, _ names: [(String, String)]) -> JSON {
        var result = JSONObject()
        for (key, value) in event.object ?? JSONObject() {
            result[names.first { $0.0 == key }?.1 ?? key] = value
        }
        result["apiVersion"] = .string(apiVersion)
        return .object(result)
    }
}
