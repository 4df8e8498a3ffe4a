import Testing
import Watcher

@testable import LoopServer

@Suite("A service's rules") struct ServicePlanTests {
    struct RuleText: Sendable {
        var watch: [String]
        var to: String
        var from: String?
        var mirror = false
    }

    private func plan(_ rules: [RuleText], root: String = "/p") throws -> ServicePlan {
        var service = Service(name: "web", root: root)
        service.rules = try rules.map { rule in
            Rule(
                watch: try rule.watch.map { try Glob($0) },
                sync: Sync(to: rule.to, from: rule.from, mirror: rule.mirror, via: .automatic), then: [])
        }
        return ServicePlan(service, project: "/p")
    }

    private func text(_ plan: ServicePlan, _ placement: Placement?) -> String? {
        placement.map { "\(plan.destinations[$0.place.destination].path) \($0.place.path) \($0.rule)" }
    }

    @Test("a closure goes to the store and to its profile's folder, and one that is copied to nodes goes to neither")
    func closures() throws {
        for (store, destinations) in [(nil, ["/nix/var", "/nix/store"]), ("ssh://node", [])] as [(String?, [String])] {
            var closure = Closure(Installable(.flake(".#app"), in: "/p"), profile: "/nix/var/app")
            closure.copyTo = store
            var service = Service(name: "app", root: "/p")
            service.rules = [Rule(watch: [try Glob("**")], action: .closure(closure), then: [])]
            #expect(ServicePlan(service, project: "/p").destinations.map(\.path) == destinations)
        }
    }

    struct Case: CustomTestStringConvertible, Sendable {
        let rules: [RuleText]
        var root = "/p"
        let path: String
        let placement: String?
        var testDescription: String { "\(path) of \(rules.map(\.watch))" }
    }

    static let cases = [
        Case(rules: [.init(watch: ["app/**"], to: "/srv")], path: "app/x/y.py", placement: "/srv x/y.py 0"),
        Case(rules: [.init(watch: ["app/**"], to: "/srv")], path: "app", placement: nil),
        Case(rules: [.init(watch: ["app/**"], to: "/srv")], path: "application/x", placement: nil),
        Case(rules: [.init(watch: ["app/**"], to: "/")], path: "app/x", placement: "/ x 0"),
        Case(rules: [.init(watch: ["**"], to: "/srv")], path: "a/b", placement: "/srv a/b 0"),
        Case(rules: [.init(watch: ["*.txt"], to: "/srv")], path: "a.txt", placement: "/srv a.txt 0"),
        Case(rules: [.init(watch: ["*.txt"], to: "/srv")], path: "d/a.txt", placement: nil),
        Case(rules: [.init(watch: ["app/**"], to: "/srv", from: "app/x")], path: "app/x/y", placement: "/srv y 0"),
        Case(rules: [.init(watch: ["app/**"], to: "/srv", from: "app/x")], path: "app/z", placement: nil),
        Case(rules: [.init(watch: ["app/**"], to: "/srv", from: ".")], path: "app/z", placement: "/srv app/z 0"),
        Case(
            rules: [.init(watch: ["app/*.py"], to: "/py"), .init(watch: ["app/**"], to: "/srv")], path: "app/a.py",
            placement: "/py a.py 0"),
        Case(
            rules: [.init(watch: ["app/*.py"], to: "/py"), .init(watch: ["app/**"], to: "/srv")], path: "app/a.js",
            placement: "/srv a.js 1"),
        Case(
            rules: [.init(watch: ["app/**"], to: "/srv")], root: "/p/web", path: "web/app/a", placement: "/srv a 0"),
        Case(rules: [.init(watch: ["app/**"], to: "/srv")], root: "/p/web", path: "app/a", placement: nil),
    ]

    @Test("place a file by the first rule that takes it", arguments: cases)
    func place(testCase: Case) throws {
        let plan = try plan(testCase.rules, root: testCase.root)
        let placement = plan.placement(of: RelativePath(testCase.path))
        #expect(text(plan, placement) == testCase.placement)
        // And back: the place knows the file, and a walk gets there.
        guard let placement else { return }
        #expect(plan.sources(of: placement.place).contains(RelativePath(testCase.path)))
        #expect(plan.bases.contains { RelativePath(testCase.path).isInside($0) })
        var folder = RelativePath(testCase.path).parent
        while let above = folder {
            #expect(plan.canMatch(inside: above), "\(above)")
            folder = above.parent
        }
    }

    @Test("a walk does not enter what no rule can take")
    func prunes() throws {
        let plan = try plan([.init(watch: ["*.txt"], to: "/srv"), .init(watch: ["app/*.py"], to: "/srv")])
        #expect(plan.bases == [.root])
        #expect(plan.canMatch(inside: RelativePath("app")))
        #expect(!plan.canMatch(inside: RelativePath("node_modules")))
        #expect(!plan.canMatch(inside: RelativePath("app/deep")))
    }

    @Test("rules with one destination share it, and what one of them asks for holds")
    func share() throws {
        let plan = try plan([
            .init(watch: ["a.txt"], to: "/srv"), .init(watch: ["b.txt"], to: "/srv", mirror: true),
            .init(watch: ["c.txt"], to: "/opt"), .init(watch: ["d/**"], to: "/opt"), .init(watch: ["e/**"], to: "/"),
        ])
        #expect(
            plan.destinations == [
                Destination(path: "/srv", mirror: true, isListedWhole: true),
                Destination(path: "/opt", mirror: false, isListedWhole: true),
                Destination(path: "/", mirror: false, isListedWhole: false),
            ])
    }

    @Test("nested destinations know each other's names for a path")
    func nest() throws {
        let plan = try plan([
            .init(watch: ["a/**"], to: "/srv"), .init(watch: ["b/**"], to: "/srv/app"), .init(watch: ["c/**"], to: "/"),
        ])
        func place(_ destination: Int, _ path: String) -> Place {
            Place(destination: destination, path: RelativePath(path))
        }
        #expect(plan.aliases(of: place(0, "app/x")) == [place(1, "x"), place(2, "srv/app/x")])
        #expect(plan.aliases(of: place(0, "application")) == [place(2, "srv/application")])
        #expect(plan.isNested(place(0, "app/x")) && plan.isNested(place(2, "srv/x")))
        #expect(!plan.isNested(place(1, "x")) && !plan.isNested(place(0, "other")))
    }
}
