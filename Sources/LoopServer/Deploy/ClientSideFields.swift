internal import JSON

/// The fields of an object that `kubectl apply` has set without `--server-side`.
///
/// A server-side apply leaves them to kubectl: one that is taken out of the manifest would stay in the object. They are
/// taken over before, as kubectl does it for itself.
struct ClientSideFields: Sendable {
    /// As whom kubectl writes.
    static let manager = "kubectl-client-side-apply"

    private let object: JSON
    private let entries: [JSON]
    /// What is neither kubectl's nor loopd's.
    private let others: [JSON]
    private let own: JSON?

    /// `nil` where kubectl has none.
    init?(of object: JSON) {
        func isWhole(_ entry: JSON) -> Bool { entry["subresource"]?.string?.isEmpty ?? true }
        func isKubectl(_ entry: JSON) -> Bool {
            entry["manager"]?.string == ClientSideFields.manager && entry["operation"]?.string == "Update"
                && isWhole(entry)
        }
        func isOwn(_ entry: JSON) -> Bool {
            entry["manager"]?.string == ManifestApply.manager && entry["operation"]?.string == "Apply"
                && isWhole(entry)
        }
        let all = object.at("metadata", "managedFields")?.array ?? []
        entries = all.filter(isKubectl).sorted { ($0["time"]?.string ?? "") > ($1["time"]?.string ?? "") }
        guard !entries.isEmpty else { return nil }
        own = all.first(where: isOwn)
        others = all.filter { !isKubectl($0) && !isOwn($0) }
        self.object = object
    }

    /// The patch that makes them loopd's, if nobody changes the object meanwhile.
    ///
    /// The annotation with what kubectl has applied is among them, and goes with the next apply: it says nothing true then.
    var takeover: JSON {
        var target = own ?? entries[0]
        target["manager"] = .string(ManifestApply.manager)
        target["operation"] = "Apply"
        // Fields are named as their version has them.
        let same = entries.filter { $0["apiVersion"] == target["apiVersion"] }
        target["fieldsV1"] = same.reduce(target["fieldsV1"] ?? [:]) {
            ClientSideFields.union($0, $1["fieldsV1"] ?? [:])
        }
        return [
            DevWorkload.version(of: object),
            ["op": "replace", "path": "/metadata/managedFields", "value": .array(others + [target])],
        ]
    }

    /// Two sets of fields in one; a leaf of one that the other has parts of stays a member.
    static func union(_ one: JSON, _ other: JSON) -> JSON {
        var result = one
        for (name, part) in other.object ?? JSONObject() {
            guard let known = result[name] else {
                result[name] = part
                continue
            }
            var merged = union(known, part)
            if (known.object?.isEmpty ?? true) != (part.object?.isEmpty ?? true) { merged["."] = [:] }
            result[name] = merged
        }
        return result
    }

    /// What `applied`, the outcome of an apply of `wanted`, comes to once they are loopd's: without what kubectl has applied
    /// last and is not wanted, unless somebody else has set it, too.
    ///
    /// It goes by kubectl's own annotation: among the fields are those that the API fills in by itself.
    func removed(from applied: JSON, wanted: JSON) -> JSON {
        guard let text = object.at("metadata", "annotations", DevWorkload.lastApplied)?.string,
            let last = try? JSON(parsing: text)
        else { return applied }
        let owned = others.compactMap { $0["fieldsV1"] }
        return ClientSideFields.remove(last, from: applied, wanted: wanted, others: owned) ?? applied
    }

    private static func remove(_ last: JSON, from value: JSON, wanted: JSON?, others: [JSON]) -> JSON? {
        if wanted == nil, others.isEmpty { return nil }
        var result = value
        if let members = last.object {
            for (key, member) in members {
                guard let present = value[key] else { continue }
                result[key] = remove(
                    member, from: present, wanted: wanted?[key], others: others.compactMap { $0["f:\(key)"] })
            }
        } else if let elements = last.array, var kept = value.array {
            for element in elements {
                guard let name = element["name"], let index = kept.firstIndex(where: { $0["name"] == name }) else {
                    continue
                }
                let key = "k:\((["name": name] as JSON).text)"
                let left = remove(
                    element, from: kept[index], wanted: wanted?.array?.first { $0["name"] == name },
                    others: others.compactMap { $0[key] })
                if let left { kept[index] = left } else { kept.remove(at: index) }
            }
            result = .array(kept)
        }
        return result
    }
}
