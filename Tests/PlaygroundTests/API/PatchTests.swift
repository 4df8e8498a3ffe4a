import JSON
import Testing

@testable import Playground

struct PatchTests {
    /// A patch of a Deployment's pod spec, what it is applied to, and what comes out.
    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let original: String
        let patch: String
        let result: String
        var testDescription: String { name }
    }

    private static let strategic: [Case] = [
        Case(
            name: "an element with a known key merges, one with a new key comes first",
            original: #"{"containers":[{"name":"a","image":"1"},{"name":"b","image":"1"}]}"#,
            patch: #"{"containers":[{"name":"c","image":"3"},{"name":"a","image":"2"}]}"#,
            result: #"{"containers":[{"name":"c","image":"3"},{"name":"a","image":"2"},{"name":"b","image":"1"}]}"#),
        Case(
            name: "$patch: delete removes the element of its key",
            original: #"{"containers":[{"name":"a"},{"name":"b"}]}"#,
            patch: #"{"containers":[{"name":"a","$patch":"delete"}]}"#, result: #"{"containers":[{"name":"b"}]}"#),
        Case(
            name: "$patch: replace replaces the whole list",
            original: #"{"containers":[{"name":"a"},{"name":"b"}]}"#,
            patch: #"{"containers":[{"name":"c"},{"$patch":"replace"}]}"#, result: #"{"containers":[{"name":"c"}]}"#),
        Case(
            name: "$patch: replace replaces a map",
            original: #"{"nodeSelector":{"a":"1","b":"2"},"hostname":"x"}"#,
            patch: #"{"nodeSelector":{"$patch":"replace","c":"3"}}"#,
            result: #"{"nodeSelector":{"c":"3"},"hostname":"x"}"#),
        Case(
            name: "$setElementOrder orders the elements, others stay in between",
            original: #"{"containers":[{"name":"a"},{"name":"server"},{"name":"b"}]}"#,
            patch:
                #"{"$setElementOrder/containers":[{"name":"b"},{"name":"a"}],"containers":[{"name":"a","image":"2"}]}"#,
            result: #"{"containers":[{"name":"server"},{"name":"b"},{"name":"a","image":"2"}]}"#),
        Case(
            name: "$setElementOrder alone reorders",
            original: #"{"containers":[{"name":"a"},{"name":"b"}]}"#,
            patch: #"{"$setElementOrder/containers":[{"name":"b"},{"name":"a"}]}"#,
            result: #"{"containers":[{"name":"b"},{"name":"a"}]}"#),
        Case(
            name: "$retainKeys drops the volume's former source",
            original: #"{"volumes":[{"name":"v","emptyDir":{}}]}"#,
            patch: #"{"volumes":[{"$retainKeys":["name","hostPath"],"name":"v","hostPath":{"path":"/x"}}]}"#,
            result: #"{"volumes":[{"name":"v","hostPath":{"path":"/x"}}]}"#),
        Case(
            name: "a list without a merge key is replaced",
            original: #"{"tolerations":[{"key":"a"}]}"#, patch: #"{"tolerations":[{"key":"b"}]}"#,
            result: #"{"tolerations":[{"key":"b"}]}"#),
        Case(
            name: "null removes a member, also deep in an element",
            original: #"{"hostname":"x","containers":[{"name":"a","image":"1","tty":true}]}"#,
            patch: #"{"hostname":null,"containers":[{"name":"a","tty":null}]}"#,
            result: #"{"containers":[{"name":"a","image":"1"}]}"#),
        Case(
            name: "ports merge by their number, environment by its name",
            original: #"{"containers":[{"name":"a","ports":[{"containerPort":80}],"env":[{"name":"A","value":"1"}]}]}"#,
            patch:
                #"{"containers":[{"name":"a","ports":[{"containerPort":80,"name":"web"}],"env":[{"name":"A","value":"2"}]}]}"#,
            result:
                #"{"containers":[{"name":"a","ports":[{"containerPort":80,"name":"web"}],"env":[{"name":"A","value":"2"}]}]}"#
        ),
        Case(
            name: "a new list keeps no directives",
            original: "{}", patch: #"{"containers":[{"name":"a"},{"name":"b","$patch":"delete"}]}"#,
            result: #"{"containers":[{"name":"a"}]}"#),
    ]

    @Test("strategic merge patches apply as in Kubernetes", arguments: strategic)
    func strategicMerge(_ each: Case) throws {
        func deployment(_ spec: String) throws -> JSON { ["spec": ["template": ["spec": try JSON(parsing: spec)]]] }
        let result = try StrategicMerge.apply(
            try deployment(each.patch), to: try deployment(each.original), kind: .deployment)
        #expect(result == (try deployment(each.result)))
    }

    @Test("finalizers unite, and $deleteFromPrimitiveList takes out")
    func primitiveLists() throws {
        let object: JSON = ["metadata": ["finalizers": ["a", "b"]]]
        let united = try StrategicMerge.apply(["metadata": ["finalizers": ["b", "c"]]], to: object, kind: .configMap)
        #expect(Set(united.at("metadata", "finalizers")?.array?.compactMap(\.string) ?? []) == ["a", "b", "c"])
        let less = try StrategicMerge.apply(
            ["metadata": ["$deleteFromPrimitiveList/finalizers": ["a"]]], to: object, kind: .configMap)
        #expect(less.at("metadata", "finalizers") == ["b"])
    }

    @Test("an element without its merge key, or an unknown directive, is refused")
    func refusals() throws {
        let pod: JSON = ["spec": ["containers": [["name": "a"]]]]
        #expect(throws: StatusError.self) {
            try StrategicMerge.apply(["spec": ["containers": [["image": "x"]]]], to: pod, kind: .pod)
        }
        #expect(throws: StatusError.self) {
            try StrategicMerge.apply(["spec": ["$patch": "mix"]], to: pod, kind: .pod)
        }
    }

    @Test(
        "merge patches follow RFC 7386",
        arguments: [
            (#"{"a":"b"}"#, #"{"a":"c"}"#, #"{"a":"c"}"#), (#"{"a":"b"}"#, #"{"a":null}"#, "{}"),
            (#"{"a":["b"]}"#, #"{"a":"c"}"#, #"{"a":"c"}"#),
            (#"{"a":{"b":"c"}}"#, #"{"a":{"b":"d","c":null}}"#, #"{"a":{"b":"d"}}"#),
            (#"["a"]"#, #"["c"]"#, #"["c"]"#), (#"{"a":"foo"}"#, "null", "null"),
            ("{}", #"{"a":{"bb":{"ccc":null}}}"#, #"{"a":{"bb":{}}}"#),
        ])
    func mergePatch(_ original: String, _ patch: String, _ result: String) throws {
        #expect(
            MergePatch.apply(try JSON(parsing: patch), to: try JSON(parsing: original)) == (try JSON(parsing: result)))
    }

    @Test(
        "JSON patches follow RFC 6902",
        arguments: [
            (#"{"a":1}"#, #"[{"op":"add","path":"/b","value":2}]"#, #"{"a":1,"b":2}"#),
            (#"{"a":[1,3]}"#, #"[{"op":"add","path":"/a/1","value":2}]"#, #"{"a":[1,2,3]}"#),
            (#"{"a":[1]}"#, #"[{"op":"add","path":"/a/-","value":2}]"#, #"{"a":[1,2]}"#),
            (#"{"a":[1,2]}"#, #"[{"op":"remove","path":"/a/0"}]"#, #"{"a":[2]}"#),
            (#"{"a/b":{"m~n":1}}"#, #"[{"op":"replace","path":"/a~1b/m~0n","value":2}]"#, #"{"a/b":{"m~n":2}}"#),
            (#"{"a":1}"#, #"[{"op":"move","from":"/a","path":"/b"}]"#, #"{"b":1}"#),
            (#"{"a":{"x":1}}"#, #"[{"op":"copy","from":"/a","path":"/b"}]"#, #"{"a":{"x":1},"b":{"x":1}}"#),
            (
                #"{"a":1}"#, #"[{"op":"test","path":"/a","value":1},{"op":"replace","path":"/a","value":2}]"#,
                #"{"a":2}"#
            ),
            (#"{"~1":1}"#, #"[{"op":"remove","path":"/~01"}]"#, "{}"),
        ])
    func jsonPatch(_ original: String, _ patch: String, _ result: String) throws {
        #expect(
            try JSONPatch.apply(try JSON(parsing: patch), to: try JSON(parsing: original))
                == (try JSON(parsing: result)))
    }

    @Test(
        "a JSON patch that does not apply changes nothing",
        arguments: [
            #"[{"op":"remove","path":"/x"}]"#, #"[{"op":"replace","path":"/x","value":1}]"#,
            #"[{"op":"test","path":"/a","value":2}]"#, #"[{"op":"add","path":"/x/y","value":1}]"#,
            #"[{"op":"jump","path":"/a"}]"#, #"[{"op":"add","path":"a","value":1}]"#, #"{"op":"add"}"#,
        ])
    func failedPatch(_ patch: String) throws {
        #expect(throws: JSONPatch.Failure.self) { try JSONPatch.apply(try JSON(parsing: patch), to: ["a": 1]) }
    }
}
