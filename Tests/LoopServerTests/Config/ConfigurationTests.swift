import JSON
import Testing
import Watcher

@testable import LoopServer

@Suite("A good loop.json")
struct ConfigurationTests {
    private func parse(_ text: String, directory: String = "/projects/My Shop") throws -> Configuration {
        let (configuration, problems) = Configuration.parse(Array(text.utf8), file: "loop.json", directory: directory)
        #expect(problems.filter { $0.severity == .error } == [])
        return try #require(configuration)
    }

    @Test("everything that can be set is read")
    func everything() throws {
        let configuration = try parse(
            """
            {
              $schema: './loop.schema.json', version: 1, project: 'shop',
              cluster: {
                provider: 'existing', context: 'kind-shop', namespace: 'dev', kubeconfig: 'kube/config',
                allowContexts: ['kind-*'], helperImage: 'localhost:5000/helper:1',
              },
              watch: { debounce: '10ms', maxWait: '1.5s', ignore: ['*.log'], poll: '2s' },
              services: {
                web: {
                  root: './services//web/', workload: 'sts/web', container: 'app', manifests: ['k8s/', 'more.yaml'],
                  dependsOn: ['db'],
                  rules: [
                    { watch: ['./app/**', '*.{js,ts}'], sync: { to: '/srv//app/./', from: 'app/', mirror: true, via: 'cp' },
                      then: [{ exec: ['kill', '-HUP', ''] }] },
                    { watch: ['assets/'], sync: { to: '/', via: 'exec' } },
                  ],
                },
                db: { selector: { tier: 'db', app: 'shop' }, rules: [] },
                extras: { manifests: ['extras.yaml'] },
              },
            }
            """)
        var expected = Configuration(
            file: "loop.json", directory: "/projects/My Shop", project: "shop",
            cluster: Cluster(
                provider: .existing, context: "kind-shop", namespace: "dev",
                kubeconfig: "/projects/My Shop/kube/config", allowContexts: ["kind-*"],
                helperImage: "localhost:5000/helper:1"),
            watch: WatchSettings(
                debounce: .milliseconds(10), maxWait: .milliseconds(1500), ignore: ["*.log"], poll: .seconds(2)),
            services: [
                Service(
                    name: "web", root: "/projects/My Shop/services/web", target: .workload(.statefulset, name: "web"),
                    container: "app",
                    manifests: [
                        "/projects/My Shop/services/web/k8s", "/projects/My Shop/services/web/more.yaml",
                    ],
                    dependsOn: ["db"],
                    rules: [
                        Rule(
                            watch: [try Glob("./app/**"), try Glob("*.{js,ts}")],
                            sync: Sync(to: "/srv/app", from: "app", mirror: true, via: .cp),
                            then: [.exec(["kill", "-HUP", ""])]),
                        Rule(watch: [try Glob("assets/")], sync: Sync(to: "/", via: .exec)),
                    ]),
                Service(name: "db", root: "/projects/My Shop", target: .selector("app=shop,tier=db")),
                Service(name: "extras", root: "/projects/My Shop", manifests: ["/projects/My Shop/extras.yaml"]),
            ])
        expected.places = configuration.places
        #expect(configuration == expected)
        #expect(configuration.namespace == "dev")
    }

    @Test("what is not given has its default")
    func defaults() throws {
        let configuration = try parse("{services: {web: {workload: 'deployment/web'}}}")
        #expect(configuration.project == "my-shop")
        #expect(configuration.namespace == "my-shop")
        #expect(configuration.cluster == Cluster())
        #expect(configuration.cluster.provider == .playground)
        #expect(configuration.watch == WatchSettings())
        #expect(configuration.services.first?.root == "/projects/My Shop")
    }

    @Test("a context or kubeconfig without a provider means an existing cluster")
    func impliedProvider() throws {
        for key in ["context: 'kind-a'", "kubeconfig: '~/k'"] {
            let configuration = try parse("{cluster: {\(key)}, services: {a: {selector: 'b'}}}")
            #expect(configuration.cluster.provider == .existing)
        }
    }

    @Test("a long debounce takes its limit along")
    func longDebounce() throws {
        let configuration = try parse("{watch: {debounce: '1s'}, services: {a: {selector: 'b'}}}")
        #expect(configuration.watch.maxWait == .seconds(1))
    }

    static let contexts: [(pattern: String, context: String, matches: Bool)] = [
        ("kind-*", "kind-a", true), ("kind-*", "kind-", true), ("kind-*", "kin", false), ("kind-*", "my-kind-a", false),
        ("minikube", "minikube", true), ("minikube", "minikube2", false), ("*", "", true), ("*-dev-*", "a-dev-b", true),
        ("*-dev-*", "a-dev", false), ("a*b*c", "aXbYbZc", true), ("a*b*c", "aXbYbZ", false), ("[a]", "a", false),
        ("**", "x", true),
    ]

    @Test("contexts match their patterns", arguments: contexts)
    func allowed(pattern: String, context: String, matches: Bool) {
        #expect(Cluster(allowContexts: [pattern]).allows(context: context) == matches)
    }

    @Test("without a list, only clusters on this machine are allowed")
    func defaultContexts() {
        for context in [
            "k3d-x", "kind-x", "colima", "minikube", "loopd-playground", "docker-desktop", "prod", "gke_a_b_c",
        ] {
            #expect(Cluster().allows(context: context) == !["colima", "prod", "gke_a_b_c"].contains(context))
        }
    }

    @Test("the command line wins over the file")
    func overrides() throws {
        let file = try parse("{services: {a: {selector: 'b'}}}")
        var overrides = Overrides()
        #expect(file.overridden(by: overrides) == file)
        overrides.namespace = "other"
        #expect(file.overridden(by: overrides).namespace == "other")
        #expect(file.overridden(by: overrides).cluster.provider == .playground)
        overrides.context = "kind-a"
        #expect(file.overridden(by: overrides).cluster.provider == .existing)
        #expect(file.overridden(by: overrides).cluster.context == "kind-a")
        var existing = file
        existing.cluster = Cluster(provider: .existing, context: "kind-b", kubeconfig: "/k")
        #expect(existing.overridden(by: overrides).cluster.kubeconfig == "/k")
    }

    static let durations: [(text: String, duration: Duration?)] = [
        ("5ms", .milliseconds(5)), ("0ms", .zero), ("1s", .seconds(1)), ("1.5s", .milliseconds(1500)),
        ("0.25ms", .microseconds(250)), ("2m", .seconds(120)), ("", nil), ("5", nil), ("ms", nil), (".5s", nil),
        ("5.s", nil), ("-1s", nil), ("1h", nil), ("1e3s", nil), ("1 s", nil), ("1.2.3s", nil), ("9999999999s", nil),
        ("٣s", nil),
    ]

    @Test("durations are a number with its unit", arguments: durations)
    func duration(text: String, duration: Duration?) {
        #expect(DurationText.parse(text) == duration)
    }

    static let selectors: [(text: String, selector: String?)] = [
        ("app=web", "app=web"), ("app==web", "app=web"), (" app = web , tier != db ", "app=web,tier!=db"),
        ("app", "app"),
        ("!app", "!app"), ("example.com/app=web", "example.com/app=web"), ("app in (a, b)", "app in (a,b)"),
        ("app notin (a),x", "app notin (a),x"), ("app=", "app="), ("", nil), (",", nil), ("a=b=c", nil),
        ("app in a", nil), ("a b", nil), ("-a=b", nil), ("app=(a)", nil), ("app in (a", nil), ("a/b/c=d", nil),
        ("A.b_c-d=E", "A.b_c-d=E"),
    ]

    @Test("label selectors have one spelling", arguments: selectors)
    func selector(text: String, selector: String?) {
        #expect(LabelSelector.parse(text) == selector)
    }

    static let names: [(typed: String, near: String?)] = [
        ("wacth", "watch"), ("statsu", "status"), ("WATCH", "watch"), ("syn", "sync"), ("x", nil), ("completely", nil),
        ("", nil),
    ]

    @Test("a slip of the fingers finds the name that was meant", arguments: names)
    func nearest(typed: String, near: String?) {
        #expect(NearestName.of(typed, among: ["watch", "sync", "status", "check"]) == near)
    }
}
