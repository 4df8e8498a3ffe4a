import Glibc
import JSON
import Testing

@testable import Playground

/// Applies and updates in any order, against the rules said once more in the plainest way.
struct ApplyModelTests {
    /// What a ConfigMap holds, and who owns each key of it.
    private struct Model {
        var values: [String: String] = [:]
        var owners: [String: Set<String>] = [:]

        /// Applies what a manager wants; `false` and no change where that is a conflict.
        mutating func apply(_ wanted: [String: String], by manager: String, isForced: Bool) -> Bool {
            let changed = wanted.filter { values[$0.key] != $0.value }.keys
            let isConflict = changed.contains { !(owners[$0] ?? []).subtracting([manager]).isEmpty }
            if isConflict, !isForced { return false }
            for (key, value) in wanted {
                owners[key] = changed.contains(key) ? [manager] : (owners[key] ?? []).union([manager])
                values[key] = value
            }
            for key in values.keys where wanted[key] == nil && owners[key]?.contains(manager) == true {
                owners[key]?.remove(manager)
                if owners[key]?.isEmpty == true {
                    owners[key] = nil
                    values[key] = nil
                }
            }
            return true
        }

        mutating func update(to new: [String: String], by manager: String) {
            for (key, value) in new where values[key] != value { owners[key] = [manager] }
            for key in values.keys where new[key] == nil { owners[key] = nil }
            values = new
        }
    }

    private static func object(_ values: [String: String]) -> JSON {
        var data: JSON = [:]
        for (key, value) in values { data[key] = .string(value) }
        return ["apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "map"], "data": data]
    }

    /// The owners that an object's managed fields name, by key.
    private static func owners(of object: JSON) -> [String: Set<String>] {
        var owners: [String: Set<String>] = [:]
        for entry in object.at("metadata", "managedFields")?.array ?? [] {
            for key in entry.at("fieldsV1", "f:data")?.object?.keys ?? [] where key != "." {
                owners[String(key.dropFirst(2)), default: []].insert(entry["manager"]?.string ?? "")
            }
        }
        return owners
    }

    @Test("of many programs that update, the oldest share one name, and nothing stays without an owner")
    func ancient() {
        var live = Self.object([:])
        for number in 1...15 {
            var changed = live
            changed["data"]?["key\(number)"] = "x"
            ManagedFields.record(in: &changed, from: live, .configMap, by: FieldManager(name: "tool\(number)"))
            live = changed
        }
        let owners = Self.owners(of: live)
        #expect(owners.count == 15)
        #expect(Set(owners.values.flatMap { $0 }).count == 10)
        #expect(owners["key1"] == ["ancient-changes"])
        #expect(owners["key15"] == ["tool15"])
    }

    @Test("whatever is applied and updated in whatever order, the values and their owners are as the rules have it")
    func random() throws {
        let seed = getenv("LOOPD_SEED").flatMap { UInt64(String(cString: $0)) } ?? UInt64.random(in: 0..<1_000_000)
        print("LOOPD_SEED=\(seed) repeats the applies")
        var generator = SeededNumbers(state: seed)
        func values(_ most: Int) -> [String: String] {
            let count = Int.random(in: 0...most, using: &generator)
            let keys = ["a", "b", "c", "d", "e"].shuffled(using: &generator).prefix(count)
            return Dictionary(uniqueKeysWithValues: keys.map { ($0, String(Int.random(in: 0..<2, using: &generator))) })
        }
        var live = Self.object([:])
        var model = Model()
        var conflicts = 0
        for step in 0..<2000 {
            if Int.random(in: 0..<4, using: &generator) > 0 {
                let manager = ["one", "two", "three"].randomElement(using: &generator) ?? "one"
                let isForced = Int.random(in: 0..<3, using: &generator) == 0
                let wanted = values(3)
                let application = try ServerSideApply(
                    Self.object(wanted), .configMap, "map", nil, by: FieldManager(name: manager), isForced: isForced)
                let applied = try? application.applied(to: live)
                #expect(model.apply(wanted, by: manager, isForced: isForced) == (applied != nil), "step \(step)")
                if applied == nil { conflicts += 1 }
                live = applied ?? live
            } else {
                let manager = ["four", "five"].randomElement(using: &generator) ?? "four"
                let new = values(5)
                var changed = live
                changed["data"] = Self.object(new)["data"]
                ManagedFields.record(in: &changed, from: live, .configMap, by: FieldManager(name: manager))
                model.update(to: new, by: manager)
                live = changed
            }
            let data = (live["data"]?.object ?? JSONObject()).map { ($0.key, $0.value.string ?? "") }
            try #require(Dictionary(uniqueKeysWithValues: data) == model.values, "step \(step)")
            try #require(Self.owners(of: live) == model.owners, "step \(step)")
        }
        #expect(conflicts > 0)
    }
}
