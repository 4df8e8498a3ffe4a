import JSON
import Testing

@Suite("JSON objects")
struct JSONObjectTests {
    @Test("keys keep their order, in small and in indexed objects", arguments: [3, 15, 16, 17, 200])
    func order(count: Int) {
        var object = JSONObject()
        for number in (0..<count).reversed() { object["k\(number)"] = .integer(Int64(number)) }
        #expect(object.keys == (0..<count).reversed().map { "k\($0)" })
        object["k1"] = "changed"
        #expect(object.keys == (0..<count).reversed().map { "k\($0)" })
        object["k1"] = nil
        object["k1"] = "again"
        #expect(object.keys.last == "k1")
        #expect(object.count == count)
        #expect(object["k\(count - 1)"] == .integer(Int64(count - 1)))
        #expect(object["missing"] == nil)
    }

    @Test("removing keys of an indexed object leaves the others where they are")
    func removal() {
        var object = JSONObject()
        for number in 0..<100 { object["k\(number)"] = .integer(Int64(number)) }
        for number in stride(from: 0, to: 100, by: 2) { object["k\(number)"] = nil }
        #expect(object.count == 50)
        #expect((0..<100).allSatisfy { object["k\($0)"] == ($0 % 2 == 0 ? nil : .integer(Int64($0))) })
    }

    @Test("equality does not look at the order, but at every key and value")
    func equality() {
        let left: JSON = ["a": 1, "b": [2]]
        #expect(left == ["b": [2], "a": 1])
        #expect(left != ["a": 1])
        #expect(left != ["a": 1, "b": [3]])
        #expect(left != ["a": 1, "c": [2]])
    }

    @Test("paths lead through objects, and nowhere through other values")
    func paths() {
        var pod: JSON = ["metadata": ["name": "web", "labels": ["app": "web"]]]
        #expect(pod.at("metadata", "labels", "app") == "web")
        #expect(pod.at("metadata", "name", "app") == nil)
        pod["status"] = ["phase": "Running"]
        #expect(pod.at("status", "phase")?.string == "Running")
        #expect((["a", "b"] as JSON)[1] == "b")
        #expect((["a", "b"] as JSON)[2] == nil)
    }

    @Test("whole numbers are whole in both spellings")
    func integers() throws {
        #expect(try JSON(parsing: "3.0").integer == 3)
        #expect(try JSON(parsing: "3.5").integer == nil)
        #expect(try JSON(parsing: "1e30").integer == nil)
        #expect(try JSON(parsing: "3").double == 3)
    }
}
