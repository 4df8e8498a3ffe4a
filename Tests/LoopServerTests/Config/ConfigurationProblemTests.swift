import JSON
import LoopServer
import Testing

@Suite("What is wrong with a loop.json")
struct ConfigurationProblemTests {
    /// A service that is good, for files whose mistake is elsewhere.
    static let good = #""services": {"web": {"workload": "deployment/web"}}"#

    static func problems(_ text: String) -> [String] {
        Configuration.parse(Array(text.utf8), file: "loop.json", directory: "/projects/shop").1.map(\.description)
    }

    static func service(_ members: String) -> String { "{\"services\": {\"web\": {\(members)}}}" }

    static func rule(_ members: String) -> String {
        service("\"workload\": \"deployment/web\", \"rules\": [{\(members)}]")
    }

    static func sync(_ members: String) -> String { rule("\"watch\": [\"a/**\"], \"sync\": {\(members)}") }

    static let documents: [(text: String, problem: String)] = [
        ("{", "loop.json:1:2: $: the file ends before the } of the object that begins at 1:1"),
        ("[]", "loop.json:1:1: $: an object should be here, not an array"),
        ("{}", "loop.json:1:1: $: \"services\" is missing (name at least one service)"),
        ("{\"services\": {}}", "loop.json:1:14: $.services: no service is named"),
        ("{\"services\": []}", "loop.json:1:14: $.services: an object should be here, not an array"),
        (
            "{\"version\": 2, \"anything\": 1}",
            "loop.json:1:13: $.version: version 2 is newer than this loopd understands (1) (install a newer loopd)"
        ),
        ("{\"version\": \"1\", \(good)}", "loop.json:1:13: $.version: a whole number from 1 should be here"),
        ("{\"version\": 0, \(good)}", "loop.json:1:13: $.version: a whole number from 1 should be here"),
        (
            "{\"project\": \"My App\", \(good)}",
            "loop.json:1:13: $.project: \"My App\" is not a DNS label: lower-case letters, digits and -, at most 63 (for example \"my-app\")"
        ),
        ("{\"project\": 1, \(good)}", "loop.json:1:13: $.project: a string should be here, not a number"),
        ("{\"project\": \"\", \(good)}", "loop.json:1:13: $.project: an empty string"),
        ("{\"project\": \"a\\u0000b\", \(good)}", "loop.json:1:13: $.project: a NUL character in a string"),
        (
            "{\"servces\": {}, \(good)}",
            "loop.json:1:2: $.servces: unknown key \"servces\" (did you mean \"services\"?)"
        ),
        (
            "{\"namespace\": \"x\", \(good)}",
            "loop.json:1:2: $.namespace: unknown key \"namespace\" (\"namespace\" belongs in cluster)"
        ),
        (
            "{\"a b\": 1, \(good)}",
            "loop.json:1:2: $[\"a b\"]: unknown key \"a b\" (known here: $schema, version, project, cluster, registry, watch, builds, services)"
        ),
        (
            "{\"forward\": {}, \(good)}",
            "loop.json:1:2: $.forward: unknown key \"forward\" (\"forward\" belongs in service)"
        ),
        (
            "{\"project\": \"a\",\n \"project\": \"b\", \(good)}",
            "loop.json:2:2: $.project: \"project\" is here twice (the first one is at 1:2)"
        ),
        (
            "{\"services\": {\"web\": {\"workload\": \"deployment/web\"},\n  \"web\": {\"workload\": \"deployment/b\"}}}",
            "loop.json:2:3: $.services.web: \"web\" is here twice (the first one is at 1:15)"
        ),
        (
            "{\"services\": {\"Web\": {\"workload\": \"deployment/web\"}}}",
            "loop.json:1:22: $.services.Web: \"Web\" is not a DNS label: lower-case letters, digits and -, at most 63"
        ),
        ("{\"cluster\": 1, \(good)}", "loop.json:1:13: $.cluster: an object should be here, not a number"),
        (
            "{\"cluster\": {\"provider\": \"k3d\"}, \(good)}",
            "loop.json:1:26: $.cluster.provider: \"k3d\" is not supported yet (supported: playground, existing)"
        ),
        (
            "{\"cluster\": {\"provider\": \"colima\"}, \(good)}",
            "loop.json:1:26: $.cluster.provider: \"colima\" is not supported yet (supported: playground, existing)"
        ),
        (
            "{\"cluster\": {\"provider\": \"playgroud\"}, \(good)}",
            "loop.json:1:26: $.cluster.provider: unknown value \"playgroud\" (did you mean \"playground\"?)"
        ),
        (
            "{\"cluster\": {\"namespace\": \"a.b\"}, \(good)}",
            "loop.json:1:27: $.cluster.namespace: \"a.b\" is not a DNS label: lower-case letters, digits and -, at most 63 (for example \"a-b\")"
        ),
        (
            "{\"cluster\": {\"allowContexts\": \"*\"}, \(good)}",
            "loop.json:1:31: $.cluster.allowContexts: an array should be here, not a string (in brackets: [ … ])"
        ),
        (
            "{\"cluster\": {\"allowContexts\": [1]}, \(good)}",
            "loop.json:1:32: $.cluster.allowContexts[0]: a string should be here, not a number"
        ),
        (
            "{\"cluster\": {\"allowContexts\": [\"*\"]}, \(good)}",
            "loop.json:1:32: $.cluster.allowContexts[0]: warning: every context is allowed, production too"
        ),
        (
            "{\"cluster\": {\"provider\": \"playground\", \"context\": \"x\"}, \(good)}",
            "loop.json:1:51: $.cluster.context: warning: \"context\" has no effect on the playground (\"provider\": \"existing\" uses it)"
        ),
        (
            "{\"watch\": {\"debounce\": 5}, \(good)}",
            "loop.json:1:24: $.watch.debounce: a duration should be here, not a number (a number with ms, s or m: \"5ms\", \"1s\")"
        ),
        (
            "{\"watch\": {\"debounce\": \"5 ms\"}, \(good)}",
            "loop.json:1:24: $.watch.debounce: \"5 ms\" is not a duration (a number with ms, s or m: \"5ms\", \"1s\")"
        ),
        (
            "{\"watch\": {\"debounce\": \"11s\"}, \(good)}",
            "loop.json:1:24: $.watch.debounce: \"11s\" is out of range (0s to 10s)"
        ),
        (
            "{\"watch\": {\"maxWait\": \"0s\"}, \(good)}",
            "loop.json:1:23: $.watch.maxWait: \"0s\" is out of range (1ms to 60s)"
        ),
        (
            "{\"watch\": {\"debounce\": \"2s\", \"maxWait\": \"1s\"}, \(good)}",
            "loop.json:1:41: $.watch.maxWait: shorter than \"debounce\" (2s)"
        ),
        (
            "{\"watch\": {\"poll\": true}, \(good)}",
            "loop.json:1:20: $.watch.poll: a duration should be here, not true or false (a number with ms, s or m: \"5ms\", \"1s\")"
        ),
        (
            "{\"watch\": {\"debouce\": \"1s\"}, \(good)}",
            "loop.json:1:12: $.watch.debouce: unknown key \"debouce\" (did you mean \"debounce\"?)"
        ),
    ]

    @Test("the root, cluster and watch sections name each mistake where it stands", arguments: documents)
    func document(text: String, problem: String) {
        #expect(ConfigurationProblemTests.problems(text) == [problem])
    }

    static let services: [(text: String, problem: String)] = [
        (
            service(""),
            "loop.json:1:22: $.services.web: the service has nothing to do (give it a \"workload\" with \"rules\", \"manifests\", or a \"host\")"
        ),
        (
            service("\"rules\": []"),
            "loop.json:1:22: $.services.web: a service with rules needs a \"workload\" or a \"selector\" (for example \"workload\": \"deployment/web\")"
        ),
        (
            service("\"workload\": \"web\""),
            "loop.json:1:35: $.services.web.workload: \"web\" names no kind (\"deployment/web\"?)"
        ),
        (
            service("\"workload\": \"a/b/c\""),
            "loop.json:1:35: $.services.web.workload: \"a/b/c\" names no kind (kind/name, for example \"deployment/web\")"
        ),
        (
            service("\"workload\": \"deploymnet/web\""),
            "loop.json:1:35: $.services.web.workload: \"deploymnet\" is not a kind that loopd syncs into (did you mean \"deployment/web\"?)"
        ),
        (
            service("\"workload\": \"cronjob/web\""),
            "loop.json:1:35: $.services.web.workload: a CronJob makes a Job at each of its times: there is no pod to work with in between (\"selector\" takes the pods of its Jobs by label; or make a Job of it, `kubectl create job --from=cronjob/web web-dev`, and name \"job/web-dev\")"
        ),
        (
            service("\"workload\": \"service/web\""),
            "loop.json:1:35: $.services.web.workload: \"service\" is not a kind that loopd syncs into (one of: deployment, statefulset, daemonset, job, pod)"
        ),
        (
            service("\"workload\": \"job/web\", \"dev\": true"),
            "loop.json:1:53: $.services.web.dev: a Job cannot be in dev mode: what it runs cannot be changed while it is there (files are synced into it without; a Deployment of the same pod template can be in dev mode)"
        ),
        (
            service("\"workload\": \"pod/web\", \"dev\": {}"),
            "loop.json:1:53: $.services.web.dev: a pod of its own cannot be in dev mode: what it runs cannot be changed while it is there (files are synced into it without; a Deployment of the same pod template can be in dev mode)"
        ),
        (
            service("\"workload\": \"deployment/Web\""),
            "loop.json:1:35: $.services.web.workload: \"Web\" is not a name that Kubernetes accepts (kind/name, for example \"deployment/web\")"
        ),
        (
            service("\"workload\": \"deployment/web\", \"selector\": \"a=b\""),
            "loop.json:1:65: $.services.web.selector: a service has a \"workload\" or a \"selector\", not both"
        ),
        (
            service("\"selector\": \"a=b=c\""),
            "loop.json:1:35: $.services.web.selector: \"a=b=c\" is not a label selector (for example \"app=web\" or {\"app\": \"web\"})"
        ),
        (
            service("\"selector\": {}"),
            "loop.json:1:35: $.services.web.selector: an empty selector would take every pod"
        ),
        (
            service("\"selector\": {\"app\": 1}"),
            "loop.json:1:43: $.services.web.selector.app: a string should be here, not a number"
        ),
        (
            service("\"selector\": {\"app\": \"a b\"}"),
            "loop.json:1:43: $.services.web.selector.app: app=a b is not a label"
        ),
        (
            service("\"workload\": \"deployment/web\", \"root\": \"../up\""),
            "loop.json:1:61: $.services.web.root: \"../up\" leads out with .. (what loopd reads stays inside the project)"
        ),
        (
            service("\"manifests\": [\"/etc/x.yaml\"]"),
            "loop.json:1:37: $.services.web.manifests[0]: \"/etc/x.yaml\" is not relative (paths are relative to loop.json or the service's root)"
        ),
        (
            service("\"manifests\": [\"~/x.yaml\"]"),
            "loop.json:1:37: $.services.web.manifests[0]: \"~/x.yaml\" is not relative (paths are relative to loop.json or the service's root)"
        ),
        (
            service("\"manifests\": \"k8s\""),
            "loop.json:1:36: $.services.web.manifests: an array should be here, not a string (in brackets: [ … ])"
        ),
        (
            service("\"workload\": \"deployment/web\", \"dependsOn\": [\"web\"]"),
            "loop.json:1:67: $.services.web.dependsOn[0]: a service cannot depend on itself"
        ),
        (
            service("\"workload\": \"deployment/web\", \"dependsOn\": [\"wbe\"]"),
            "loop.json:1:67: $.services.web.dependsOn[0]: there is no service \"wbe\" (did you mean \"web\"?)"
        ),
        (
            service("\"workload\": \"deployment/web\", \"contaner\": \"x\""),
            "loop.json:1:53: $.services.web.contaner: unknown key \"contaner\" (did you mean \"container\"?)"
        ),
    ]

    @Test("services name each mistake where it stands", arguments: services)
    func service(text: String, problem: String) {
        #expect(ConfigurationProblemTests.problems(text) == [problem])
    }

    static let rules: [(text: String, problem: String)] = [
        (rule("\"sync\": {\"to\": \"/a\"}"), "\"watch\" is missing (the files of the rule: \"watch\": [\"app/**\"])"),
        (
            rule("\"watch\": [\"a\"]"),
            "\"sync\" is missing (where the files go: \"sync\": {\"to\": \"/srv/app\"}; or \"sideload\" for what a build makes)"
        ),
        (rule("\"watch\": [], \"sync\": {\"to\": \"/a\"}"), ".watch: no pattern: the rule would never match"),
        (
            rule("\"watch\": \"a\", \"sync\": {\"to\": \"/a\"}"),
            ".watch: an array should be here, not a string (in brackets: [ … ])"
        ),
        (
            rule("\"watch\": [\"/a\"], \"sync\": {\"to\": \"/a\"}"),
            ".watch[0]: \"/a\" is not relative (patterns are relative to the service's root)"
        ),
        (
            rule("\"watch\": [\"a/../b\"], \"sync\": {\"to\": \"/a\"}"),
            ".watch[0]: \"a/../b\" leads out with .. (what loopd reads stays inside the project)"
        ),
        (
            rule("\"watch\": [\"!a\"], \"sync\": {\"to\": \"/a\"}"),
            ".watch[0]: \"!a\" excludes (what is not to be synced belongs in watch.ignore or .loopignore)"
        ),
        (
            rule("\"watch\": [\"./\"], \"sync\": {\"to\": \"/a\"}"),
            ".watch[0]: \"./\" matches no file (\"**\" takes everything)"
        ),
        (
            rule("\"watch\": [\"{a\"], \"sync\": {\"to\": \"/a\"}"),
            ".watch[0]: \"{a\" is no pattern: braces do not pair, or make more than 1024 alternatives"
        ),
        (sync(""), ".sync: \"to\" is missing (the folder in the container: \"to\": \"/srv/app\")"),
        (sync("\"to\": \"srv\""), ".sync.to: \"srv\" is not absolute (\"to\" is a folder in the container: \"/srv\"?)"),
        (sync("\"to\": \"/srv/../etc\""), ".sync.to: \"/srv/../etc\" has a .. (write the path that is meant)"),
        (sync("\"to\": \"/proc/1\""), ".sync.to: \"/proc/1\" belongs to the kernel"),
        (
            sync("\"to\": \"/\", \"mirror\": true"),
            ".sync.mirror: \"mirror\" on / would delete the container's own files"
        ),
        (sync("\"to\": \"/a\", \"mirror\": \"yes\""), ".sync.mirror: true or false should be here, not a string"),
        (sync("\"to\": \"/a\", \"via\": \"tar\""), ".sync.via: unknown value \"tar\" (one of: exec, cp)"),
        (
            sync("\"to\": \"/a\", \"from\": \"../x\""),
            ".sync.from: \"../x\" leads out with .. (what loopd reads stays inside the project)"
        ),
        (sync("\"to\": \"/a\", \"form\": \"x\""), ".sync.form: unknown key \"form\" (did you mean \"from\"?)"),
        (
            rule("\"watch\": [\"a\"], \"sync\": {\"to\": \"/a\"}, \"then\": [{}]"),
            ".then[0]: \"exec\" is missing ({\"exec\": [\"program\", \"argument\"]}, or {\"restart\": \"process\"})"
        ),
        (
            rule("\"watch\": [\"a\"], \"sync\": {\"to\": \"/a\"}, \"then\": [{\"exec\": \"ls\"}]"),
            ".then[0].exec: an array should be here, not a string (there is no shell: [\"program\", \"argument\"])"
        ),
        (
            rule("\"watch\": [\"a\"], \"sync\": {\"to\": \"/a\"}, \"then\": [{\"exec\": []}]"),
            ".then[0].exec: no program is named"
        ),
        (
            rule("\"watch\": [\"a\"], \"sync\": {\"to\": \"/a\"}, \"then\": [{\"exec\": [\"\", \"x\"]}]"),
            ".then[0].exec[0]: an empty string"
        ),
        (
            rule("\"watch\": [\"a\"], \"sync\": {\"to\": \"/a\"}, \"then\": [{\"restart\": \"process\"}]"),
            ".then: \"restart\" of a process needs dev mode"
        ),
    ]

    @Test("rules name each mistake where it stands", arguments: rules)
    func rule(text: String, problem: String) {
        let problems = ConfigurationProblemTests.problems(text)
        #expect(problems.count == 1)
        let path = problem.hasPrefix(".") ? problem : ": \(problem)"
        #expect(problems.first?.contains("$.services.web.rules[0]\(path)") == true, "\(problems)")
    }

    @Test("every problem is found in one pass, in the order of the file")
    func allAtOnce() {
        let text = """
            {
              "projct": "x",
              "cluster": { "provider": "k3d", "namespace": "UP" },
              "watch": { "debounce": 1 },
              "services": {
                "web": {
                  "workload": "deployment/web",
                  "rules": [{ "watch": ["/x"], "sync": { "to": "y" }, "then": [{ "restart": "proces" }] }],
                  "registry": 1
                }
              }
            }
            """
        let lines = Configuration.parse(Array(text.utf8), file: "f", directory: "/p").1.map {
            "\($0.position?.description ?? "-") \($0.path)"
        }
        #expect(
            lines == [
                "2:3 $.projct", "3:28 $.cluster.provider", "3:48 $.cluster.namespace", "4:26 $.watch.debounce",
                "8:29 $.services.web.rules[0].watch[0]", "8:52 $.services.web.rules[0].sync.to",
                "8:81 $.services.web.rules[0].then[0].restart", "9:7 $.services.web.registry",
            ])
    }

    @Test("services that need each other in a circle are named on the way")
    func circle() {
        let text = """
            {services: {
              a: {workload: 'deployment/a', dependsOn: ['b']},
              b: {workload: 'deployment/b', dependsOn: ['c']},
              c: {workload: 'deployment/c', dependsOn: ['a']},
              d: {workload: 'deployment/d', dependsOn: ['a']},
            }}
            """
        #expect(
            ConfigurationProblemTests.problems(text) == [
                "loop.json:2:45: $.services.a.dependsOn[0]: a circle: a → b → c → a",
                "loop.json:3:45: $.services.b.dependsOn[0]: a circle: b → c → a → b",
                "loop.json:4:45: $.services.c.dependsOn[0]: a circle: c → a → b → c",
            ])
    }

    @Test("an escape sequence in the file does not reach the terminal")
    func escapes() {
        let problems = ConfigurationProblemTests.problems("{\"\\u001b[2J\": 1, \(ConfigurationProblemTests.good)}")
        #expect(problems.count == 1)
        #expect(problems.allSatisfy { !$0.contains("\u{1B}") && $0.contains("\\u{1B}[2J") })
    }
}
