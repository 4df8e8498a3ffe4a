import JSON
import Testing

@testable import Playground

struct SelectorTests {
    private static let labels: JSON = ["app": "web", "tier": "front", "size": "5", "empty": ""]

    @Test(
        "label selectors are read in their full syntax",
        arguments: [
            ("", true), ("app=web", true), ("app==web", true), ("app!=web", false), ("other!=x", true), ("app", true),
            ("!app", false), ("!other", true), ("app in (web, api)", true), ("app notin (web,api)", false),
            ("other notin (x)", true), ("app=web,tier=front", true), ("app=web, tier = back", false), ("size>4", true),
            ("size<5", false), ("empty=", true), ("empty in ()", true), ("app in (api),!x", false),
        ])
    func labels(_ text: String, _ matches: Bool) throws {
        #expect(try LabelSelector(parsing: text).matches(Self.labels) == matches)
    }

    @Test(
        "a label selector that cannot be read is refused", arguments: ["app in web", "a=b,", "=x", "app in (a", "a b"])
    func unreadable(_ text: String) {
        #expect(throws: StatusError.self) { try LabelSelector(parsing: text) }
    }

    @Test(
        "field selectors compare fields, a missing one being empty",
        arguments: [
            ("metadata.name=p", true), ("metadata.name!=p", false), ("spec.nodeName=", true),
            ("status.phase=Running", true),
            ("status.phase!=Running,metadata.name=p", false), ("metadata.name==p", true),
        ])
    func fields(_ text: String, _ matches: Bool) throws {
        let pod: JSON = ["metadata": ["name": "p"], "spec": [:], "status": ["phase": "Running"]]
        #expect(try FieldSelector(parsing: text, for: .pod).matches(pod) == matches)
    }

    @Test("a field that cannot be selected is refused")
    func unknownField() {
        #expect(throws: StatusError.self) { try FieldSelector(parsing: "spec.replicas=1", for: .deployment) }
    }

    @Test("an object enters and leaves a watch's selector by its changes")
    func transitions() throws {
        let selector = ObjectSelector(labels: try LabelSelector(parsing: "app=web"))
        let inside: JSON = ["metadata": ["labels": ["app": "web"]]]
        let outside: JSON = ["metadata": ["labels": ["app": "api"]]]
        func type(_ old: JSON, _ new: JSON) -> StoredEvent.Kind? {
            APIServer.type(of: StoredEvent(type: .modified, object: new, previous: old), for: selector)
        }
        #expect(type(outside, inside) == .added)
        #expect(type(inside, inside) == .modified)
        #expect(type(inside, outside) == .deleted)
        #expect(type(outside, outside) == nil)
    }
}
