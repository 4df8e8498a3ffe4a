internal import JSON

/// A JSON merge patch (RFC 7386).
enum MergePatch {
    static func apply(_ patch: JSON, to target: JSON) -> JSON {
        guard let changes = patch.object else { return patch }
        var result = target.object ?? JSONObject()
        for (key, value) in changes {
            if value.isNull {
                result[key] = nil
            } else {
                result[key] = apply(value, to: result[key] ?? .null)
            }
        }
        return .object(result)
    }
}
