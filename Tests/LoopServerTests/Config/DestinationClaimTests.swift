import LoopServer
import Testing

@Suite("Two services and one folder")
struct DestinationClaimTests {
    private static func problems(_ one: String, _ other: String) -> [String] {
        let text = "{services: {\n  web: {\(one)},\n  api: {\(other)},\n}}"
        return Configuration.parse(Array(text.utf8), file: "loop.json", directory: "/p").1.map(\.description)
    }

    private static func service(
        _ target: String = "workload: 'deployment/web'", to: String, and more: String = ""
    ) -> String { "\(target), rules: [{watch: ['a/**'], sync: {to: '\(to)'\(more)}}]" }

    @Test("two services that write to one folder of one container are refused, with both places, in one line")
    func sameFolder() {
        #expect(
            Self.problems(Self.service(to: "/srv"), Self.service(to: "/srv/")) == [
                "loop.json:3:74: $.services.api.rules[0].sync.to: services \"web\" (2:74) and \"api\" both write to /srv"
                    + " in one container (make them rules of one service, or give each its own folder)"
            ])
    }

    @Test("a folder within another service's mirror is refused, whichever comes first")
    func mirror() {
        let (outer, inner) = (Self.service(to: "/srv", and: ", mirror: true"), Self.service(to: "/srv/app"))
        for (one, other) in [(outer, inner), (inner, outer)] {
            let problems = Self.problems(one, other)
            #expect(problems.count == 1)
            #expect(
                problems.first?.contains("\"web\" (2:74) and \"api\" meet: /srv/app lies in /srv, which is a mirror,")
                    == true, "\(problems)")
        }
    }

    @Test("where only the cluster knows whether it is one container, it is a warning")
    func perhaps() {
        let named = Self.service("workload: 'deployment/web', container: 'main'", to: "/srv")
        let problems = Self.problems(Self.service(to: "/srv"), named)
        #expect(problems.count == 1)
        #expect(problems.first?.contains("warning: services \"web\"") == true, "\(problems)")
        #expect(problems.first?.hasSuffix("(name the \"container\" of both services)") == true, "\(problems)")
    }

    @Test(
        "services that cannot meet are good",
        arguments: [
            (service(to: "/srv/a"), service(to: "/srv/b")),
            (service(to: "/srv"), service(to: "/srv/app")),
            (service(to: "/srv/app", and: ", mirror: true"), service(to: "/srv/apple")),
            (service(to: "/srv"), service("workload: 'deployment/api'", to: "/srv")),
            (service(to: "/srv"), service("workload: 'statefulset/web'", to: "/srv")),
            (service(to: "/srv"), service("selector: 'app=web'", to: "/srv")),
            (
                service("workload: 'deployment/web', container: 'main'", to: "/srv"),
                service("workload: 'deployment/web', container: 'side'", to: "/srv")
            ),
        ])
    func apart(one: String, other: String) { #expect(Self.problems(one, other) == []) }

    @Test("rules of one service share a folder")
    func rules() {
        let text = """
            {services: {web: {workload: 'deployment/web', rules: [
              {watch: ['a/**'], sync: {to: '/srv', mirror: true}}, {watch: ['b/**'], sync: {to: '/srv'}},
              {watch: ['c/**'], sync: {to: '/srv/c'}},
            ]}}}
            """
        #expect(Configuration.parse(Array(text.utf8), file: "loop.json", directory: "/p").1 == [])
    }
}
