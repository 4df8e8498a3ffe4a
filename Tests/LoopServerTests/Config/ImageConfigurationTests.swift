import Testing
import Watcher

@testable import LoopServer

@Suite("Images in loop.json") struct ImageConfigurationTests {
    private static func rule(_ members: String) -> String { ConfigurationProblemTests.rule(members) }

    private static func image(_ members: String) -> String { rule("\"watch\": [\"a/**\"], \"image\": {\(members)}") }

    private static func append(_ members: String) -> String { image("\"base\": \"scratch\", \(members)") }

    private static func registry(_ value: String) -> String {
        "{\"registry\": \(value), \(ConfigurationProblemTests.good)}"
    }

    private static func services(_ rules: [String: String]) -> String {
        let services = rules.sorted { $0.key < $1.key }.map { name, rules in
            "\"\(name)\": {\"workload\": \"deployment/\(name)\", \"rules\": [\(rules)]}"
        }
        return "{\"services\": {\(services.joined(separator: ", "))}}"
    }

    /// Documents with one mistake each, and words of the line that names it.
    static let mistakes: [(text: String, problem: String)] =
        registries + names + builders + engines + layers + together

    private static let registries: [(String, String)] = [
        (registry("1"), "$.registry: a string or an object should be here, not a number (\"localhost:5000\", or"),
        (registry("{}"), "$.registry: \"push\" is missing (its name on this machine: \"push\": \"localhost:5000\")"),
        (registry("{\"pull\": \"a:1\"}"), "$.registry: \"push\" is missing"),
        (
            registry("\"http://localhost:5000/\""),
            "$.registry: \"http://localhost:5000/\" has a scheme (\"localhost:5000\": loopd speaks plain HTTP to registries"
        ),
        (registry("{\"push\": \"a:1\", \"pull\": \"https://b\"}"), "$.registry.pull: \"https://b\" has a scheme"),
        (registry("{\"push\": \"a:1\", \"host\": \"b\"}"), "$.registry.host: unknown key \"host\""),
        (registry("\"localhost:port\""), "$.registry: \"localhost:port\" is no registry (a host with its port"),
        (registry("\"localhost:5000/\""), "\"localhost:5000/\" is no registry"),
        (registry("\"ghcr.io/Acme\""), "\"ghcr.io/Acme\" is no registry"),
        (
            "{\"cluster\": {\"registry\": \"a:1\"}, \(ConfigurationProblemTests.good)}",
            "$.cluster.registry: unknown key \"registry\" (\"registry\" belongs in loop.json)"
        ),
    ]

    private static let names: [(String, String)] = [
        (
            image("\"name\": \"ghcr.io/Acme/Web\""),
            ".image.name: \"ghcr.io/Acme/Web\" has upper-case letters, which registries refuse (\"ghcr.io/acme/web\"?)"
        ),
        (image("\"name\": \"web:1\""), ".name: \"web:1\" has a tag (\"web\": loopd's tags are made of the content)"),
        (image("\"name\": \"localhost:5000/web:1\""), "has a tag (\"localhost:5000/web\": loopd's tags"),
        (image("\"name\": \"web@sha256:0123\""), ".name: \"web@sha256:0123\" has a digest (\"web\": what is built"),
        (image("\"name\": \"docker://web\""), "\"docker://web\" is an address, not an image's name (\"web\"?)"),
        (image("\"name\": \"web-\""), "\"web-\" is no image's name (lower-case letters and digits with . _ -"),
        (image("\"name\": \"a//b\""), "\"a//b\" is no image's name"),
        (image("\"name\": \"a...b\""), "\"a...b\" is no image's name"),
        (image("\"name\": \"a b\""), "\"a b\" is no image's name"),
        (image("\"alias\": \"latest\""), ".alias: loopd never writes :latest (a name of your own: \"alias\": \"dev\")"),
        (image("\"alias\": \"loopd-dev\""), ".alias: \"loopd-…\" are loopd's own tags"),
        (image("\"alias\": \".dev\""), ".alias: \".dev\" is no tag"),
        (image("\"container\": \"A\""), ".image.container: \"A\" is not a DNS label"),
    ]

    private static let builders: [(String, String)] = [
        (
            rule("\"watch\": [\"a\"], \"image\": 1"),
            ".image: an object should be here, not a number ({} builds the Dockerfile"
        ),
        (image("\"nmae\": \"a\""), ".image.nmae: unknown key \"nmae\" (did you mean \"name\"?)"),
        (image("\"builder\": \"dokcer\""), ".builder: unknown value \"dokcer\" (did you mean \"docker\"?)"),
        (
            image("\"nix\": \".#a\", \"target\": \"x\""),
            ".image.target: \"target\" is for docker, podman or buildah, and \"nix\" for nix (leave one of them out)"
        ),
        (
            image("\"builder\": \"podman\", \"base\": \"x\""),
            ".image.base: \"base\" is for append, and \"podman\" is the builder"
        ),
        (
            image("\"run\": [\"make\"], \"args\": {}"),
            ".image.args: \"args\" is for docker, podman or buildah, and \"run\" for a command"
        ),
        (
            append("\"to\": \"/a\", \"env\": {}"),
            ".image.env: \"env\" is for a command, and \"base\" for append (\"config\" says how"
        ),
        (image("\"builder\": \"nix\""), ".image: \"nix\" is missing (what makes the archive: \"nix\": \".#image\")"),
        (image("\"builder\": \"command\""), ".image: \"run\" is missing"),
        (image("\"run\": \"make\""), ".image.run: an array should be here, not a string"),
        (image("\"run\": [\"make\"], \"dir\": \"/x\""), ".image.dir: \"/x\" is not relative"),
        (image("\"nix\": \".\""), ".image.nix: \".\" names no attribute"),
        (
            rule("\"image\": {\"nix\": \".#a\"}"),
            "rules[0]: \"watch\" is missing (what it is built from: \"watch\": [\"**/*.nix\""
        ),
        (
            rule("\"image\": {\"run\": [\"make\"]}"),
            "rules[0]: \"watch\" is missing (what it is built from: \"watch\": [\"src/**\"])"
        ),
        (
            rule("\"watch\": [\"a\"], \"image\": {}, \"sync\": {\"to\": \"/a\"}"),
            ".sync: a rule has \"sync\" or \"image\", not both (make two rules of it)"
        ),
        (
            rule("\"watch\": [\"a\"], \"image\": {}, \"deploy\": {\"nix\": \".#a\"}"),
            ".deploy: a rule has \"deploy\" or \"image\", not both"
        ),
        (
            rule("\"watch\": [\"a\"], \"image\": {}, \"then\": [{\"restart\": \"pod\"}]"),
            ".then: \"then\" beside an \"image\" (its pods start anew with the image: what it needs is in it)"
        ),
        (
            rule("\"watch\": [\"a\"], \"image\": {}, \"build\": [\"make\"]"),
            ".build: \"build\" beside an \"image\" without \"files\" (\"files\" of an appended layer are what the build makes"
        ),
    ]

    private static let engines: [(String, String)] = [
        (image("\"context\": \"../x\""), ".image.context: \"../x\" leads out with .."),
        (image("\"dockerfile\": \"/Dockerfile\""), ".image.dockerfile: \"/Dockerfile\" is not relative"),
        (
            image("\"platform\": \"arm64\""),
            ".image.platform: \"arm64\" is no platform (a system and an architecture: \"linux/arm64\")"
        ),
        (
            image("\"platform\": \"linux/arm64,linux/amd64\""),
            ".image.platform: \"linux/arm64,linux/amd64\" is no platform"
        ),
        (image("\"args\": {\"A\": 1}"), ".image.args.A: a string should be here, not a number"),
        (image("\"target\": \"\""), ".image.target: an empty string"),
        (image("\"secrets\": {\"a\": {}}"), ".image.secrets.a: neither \"file\" nor \"env\""),
        (
            image("\"secrets\": {\"a\": {\"env\": \"A\", \"file\": \"b\"}}"),
            ".secrets.a.env: a \"file\" or an \"env\", not both"
        ),
        (
            image("\"secrets\": {\"a\": \"hunter2\"}"),
            ".secrets.a: an object should be here, not a string ({\"file\": PATH} or"
        ),
        (image("\"secrets\": {\"a,b\": {\"env\": \"A\"}}"), "\"a,b\" is no secret's id"),
        (image("\"contexts\": {\"a\": \"\"}"), ".image.contexts.a: an empty string"),
    ]

    private static let layers: [(String, String)] = [
        (append("\"config\": {}"), ".image: neither \"to\" nor \"files\": nothing is in the layer"),
        (image("\"to\": \"/a\""), ".image: \"base\" is missing (the image below the layer, or \"scratch\""),
        (append("\"to\": \"a\""), ".image.to: \"a\" is not absolute"),
        (append("\"files\": []"), ".image.files: no file is named"),
        (append("\"files\": {\"from\": \"a\"}"), ".image.files: \"to\" is missing"),
        (append("\"files\": [{\"to\": \"/a\"}]"), ".image.files[0]: \"from\" is missing"),
        (
            append("\"files\": {\"from\": \"a\", \"to\": \"/b\", \"on\": \"node\"}"),
            ".image.files.on: unknown key \"on\""
        ),
        (
            append("\"files\": {\"from\": \"a\", \"to\": \"/b\"}, \"from\": \"a\""),
            ".image.from: \"from\" without \"to\""
        ),
        (append("\"to\": \"/a\", \"config\": {\"user\": 0}"), ".config.user: a string should be here, not a number"),
        (append("\"to\": \"/a\", \"config\": {\"cmd\": \"x\"}"), ".config.cmd: an array should be here, not a string"),
        (append("\"to\": \"/a\", \"config\": {\"workingDir\": \"a\"}"), ".config.workingDir: \"a\" is not absolute"),
        (
            append("\"to\": \"/a\", \"config\": {\"entryPoint\": []}"),
            "unknown key \"entryPoint\" (did you mean \"entrypoint\"?)"
        ),
        (
            image("\"base\": \"Alpine:3\", \"to\": \"/a\""),
            ".image.base: \"Alpine:3\" has upper-case letters, which registries refuse (\"alpine:3\"?)"
        ),
        (image("\"base\": \"a@sha256:xyz\", \"to\": \"/a\""), ".image.base: \"a@sha256:xyz\" is no image's name"),
        (
            rule("\"image\": {\"base\": \"a\", \"to\": \"/a\"}"),
            "\"watch\" is missing (the files of the layer: \"watch\": [\"app/**\"])"
        ),
        (
            rule("\"build\": [\"make\"], \"image\": {\"base\": \"a\", \"files\": {\"from\": \"a\", \"to\": \"/a\"}}"),
            "\"watch\" is missing (what \"files\" are made from: \"watch\": [\"src/**\"], here or at the build)"
        ),
        (
            rule("\"build\": \"mkae\", \"image\": {\"base\": \"a\", \"files\": {\"from\": \"a\", \"to\": \"/a\"}}"),
            ".build: there is no build \"mkae\""
        ),
    ]

    private static let together: [(String, String)] = [
        (
            services(["a": "{\"image\": {}}", "b": "{\"image\": \"aa\"}"]),
            "$.services.b.rules[0].image: no service builds an image \"aa\" (did you mean \"a\"?)"
        ),
        (
            services(["a": "{\"image\": \"nothing\"}"]),
            "no service builds an image \"nothing\" ({} instead builds the service's Dockerfile)"
        ),
        (
            services(["a": "{\"image\": {}}", "b": "{\"image\": \"nothing\"}"]),
            "no service builds an image \"nothing\" (built here: a)"
        ),
        (
            services(["a": "{\"image\": {}}, {\"image\": \"a\"}"]),
            ".a.rules[1].image: the service builds image \"a\" itself"
        ),
        (
            services(["a": "{\"image\": {}}", "b": "{\"image\": \"a\", \"watch\": [\"x\"]}"]),
            ".b.rules[0].watch: \"watch\" beside the name of an image (it belongs where the image is built)"
        ),
        (
            services(["a": "{\"image\": {\"name\": \"x\"}}", "b": "{\"image\": {\"name\": \"x\"}}"]),
            "$.services.b.rules[0].image: image \"x\" is built by services \"a\" and \"b\" (\"image\": \"x\" in one of them"
        ),
        (
            services(["a": "{\"image\": {}}, {\"image\": {\"target\": \"x\"}}"]),
            "$.services.a.rules[1].image: image \"a\" is built by two rules (give each its own \"name\"; only rules that append"
        ),
        (
            services([
                "a":
                    "{\"watch\": [\"x\"], \"image\": {\"base\": \"b\", \"to\": \"/\"}}, {\"watch\": [\"y\"], \"image\": {\"base\": \"b\", \"to\": \"/\"}}"
            ]), ".a.rules[1].image.base: \"base\" in a later layer of image \"a\" (the image's first rule says it)"
        ),
        (
            services([
                "a": "{\"watch\": [\"x\"], \"image\": {\"base\": \"a\", \"to\": \"/\"}}"
            ]), ".a.rules[0].image.base: a circle of bases: a → a"
        ),
        (
            services(["a": "{\"image\": {}}, {\"image\": {\"name\": \"b\"}}"]),
            "images \"a\" and \"b\" are both for the container of deployment/a (\"container\" says whose image it is)"
        ),
        (
            "{\"services\": {\"a\": {\"rules\": [{\"image\": {}}]}}}",
            ".a.rules[0].image: nothing would run image \"a\" (give the service the \"workload\" that does"
        ),
    ]

    @Test("each mistake is named where it stands", arguments: mistakes)
    func mistake(text: String, problem: String) {
        let problems = ConfigurationProblemTests.problems(text)
        #expect(problems.count == 1, "\(problems)")
        #expect(problems.first?.contains(problem) == true, "\(problems)")
        #expect(!problems.contains { $0.contains("hunter2") }, "a secret is shown")
    }

    @Test("an image may be there for a program's variables alone", arguments: ["host", "dev"])
    func named(section: String) throws {
        let text = """
            {"services": {
              "task": {"rules": [{"image": {}}]},
              "web": {"workload": "deployment/web", "\(section)": {"command": ["w"], "env": {"TASK": "${image:task}"}}}}}
            """
        #expect(try read(text).services.count == 2)
    }

    private func read(_ text: String) throws -> Configuration {
        let (configuration, problems) = Configuration.parse(Array(text.utf8), file: "loop.json", directory: "/p")
        #expect(problems.isEmpty, "\(problems)")
        return try #require(configuration)
    }

    private func globs(_ texts: String...) throws -> [Glob] { try texts.map { try Glob($0) } }

    @Test("a registry has one name for all, or one for this machine and one for the nodes")
    func registries() throws {
        let good = ConfigurationProblemTests.good
        #expect(try read("{\(good)}").registry == nil)
        #expect(try read("{\"registry\": \"ghcr.io/acme\", \(good)}").registry == RegistryNames(push: "ghcr.io/acme"))
        #expect(
            try read("{\"registry\": {\"push\": \"[::1]:5000\", \"pull\": \"r:5000\"}, \(good)}").registry
                == RegistryNames(push: "[::1]:5000", pull: "r:5000"))
    }

    @Test("the Dockerfile's image: everything that can be said, and nothing at all")
    func engine() throws {
        let text = """
            {"services": {"web": {"root": "web", "workload": "deployment/web", "rules": [
              {"image": {}}]},
            "api": {"root": "api", "workload": "deployment/api", "container": "app", "recreate": true, "rules": [
              {"watch": ["src/**"], "image": {
                "name": "ghcr.io/acme/api", "builder": "buildah", "alias": "dev", "container": "main",
                "context": "image", "dockerfile": "image/Dockerfile.dev", "target": "dev", "platform": "linux/arm64/v8",
                "args": {"VERSION": "1"},
                "contexts": {"lib": "../lib", "abs": "/abs", "base": "docker-image://alpine:3", "stage": "target:x"},
                "secrets": {"npm": {"file": "../.npmrc"}, "token": {"env": "TOKEN"}}}}]},
            "job": {"root": "odd*name", "workload": "deployment/job", "rules": [
              {"image": {"context": "sub", "dockerfile": "Docker[file]"}}]}}}
            """
        let services = try read(text).services
        let web = services[0].rules[0]
        #expect(web.watch == (try globs("**")))
        #expect(
            web.image == Image("web", .engine(EngineBuild(nil, context: "/p/web", dockerfile: "/p/web/Dockerfile"))))
        var build = EngineBuild(.buildah, context: "/p/api/image", dockerfile: "/p/api/image/Dockerfile.dev")
        build.target = "dev"
        build.platform = "linux/arm64/v8"
        build.arguments = ["VERSION": "1"]
        build.contexts = [
            "lib": "/p/api/../lib", "abs": "/abs", "base": "docker-image://alpine:3", "stage": "target:x",
        ]
        build.secrets = ["npm": .file("/p/api/../.npmrc"), "token": .environment("TOKEN")]
        #expect(
            services[1].rules[0].image == Image("ghcr.io/acme/api", .engine(build), container: "main", alias: "dev"))
        #expect(services[1].recreate && !services[0].recreate)
        #expect(services[2].rules[0].watch == (try globs("sub/**", "Docker\\[file\\]")))
    }

    @Test("Nix, a command, layers with a build, a base of one's own, and an image that another service builds")
    func others() throws {
        let text = """
            {"builds": {"all": {"run": ["make"], "watch": ["src/**"]}},
            "services": {
              "nix": {"workload": "deployment/nix", "rules": [{"watch": ["*.nix"], "image": {"nix": ".#image"}}]},
              "ko": {"workload": "deployment/ko", "rules": [
                {"watch": ["*.go"], "image": {"run": ["ko", "build", "${image}"], "dir": "cmd", "env": {"A": "b"}}}]},
              "app": {"workload": "deployment/app", "rules": [
                {"image": {"name": "app-base", "dockerfile": "base/Dockerfile", "context": "base"}},
                {"build": "all", "image": {"base": "app-base", "alias": "dev",
                  "files": {"from": "out/app", "to": "/usr/bin/"},
                  "config": {"entrypoint": ["/usr/bin/app"], "cmd": [], "env": {"X": ""}, "user": "1000:1000", "workingDir": "/srv/"}}},
                {"watch": ["assets/**"], "image": {"to": "/srv/assets/", "from": "assets"}},
                {"watch": ["x"], "build": ["cc"], "image": {"to": "/x", "files": [{"from": "y", "to": "/y"}, {"from": "z", "to": "/z"}]}}]},
              "worker": {"workload": "deployment/worker", "container": "w", "rules": [{"image": "app"}]}}}
            """
        let services = try read(text).services
        #expect(services[0].rules[0].image == Image("nix", .nix(Installable(.flake(".#image"), in: "/p"))))
        #expect(
            services[1].rules[0].image
                == Image(
                    "ko",
                    .command(ImageCommand(["ko", "build", "${image}"], directory: "/p/cmd", environment: ["A": "b"]))))
        var first = AppendedLayer()
        first.base = "app-base"
        first.files = [Sideload(from: "/p/out/app", to: "/usr/bin/app")]
        first.config.entrypoint = ["/usr/bin/app"]
        first.config.command = []
        first.config.environment = ["X": ""]
        first.config.user = "1000:1000"
        first.config.workingDirectory = "/srv"
        var second = AppendedLayer()
        (second.to, second.from) = ("/srv/assets", "assets")
        var third = AppendedLayer()
        third.to = "/x"
        third.files = [Sideload(from: "/p/y", to: "/y"), Sideload(from: "/p/z", to: "/z")]
        let rules = services[2].rules
        #expect(
            rules.dropFirst().map(\.image) == [
                Image("app", .append(first), alias: "dev"), Image("app", .append(second)), Image("app", .append(third)),
            ])
        #expect(rules.map(\.build) == [nil, "all", nil, "app/rules[3]"])
        #expect(rules.map { $0.watch.map(\.pattern) } == [["base/**"], [], ["assets/**"], ["x"]])
        #expect(services[3].rules[0].image == Image("app", nil))
        #expect(services[3].rules[0].watch.isEmpty)
    }

    @Test("an image that watches its context takes the files of later rules, which is said")
    func order() {
        let sync = "{\"watch\": [\"app/**\"], \"sync\": {\"to\": \"/app\"}}"
        let problems = ConfigurationProblemTests.problems(Self.services(["a": "{\"image\": {}}, \(sync)"]))
        #expect(problems.count == 1)
        #expect(
            problems.first?.contains(
                "$.services.a.rules[1].watch: warning: the image \"a\" before it takes \"app/**\" (the first rule that")
                == true)
        for rules in [
            "\(sync), {\"image\": {}}", "{\"image\": {\"context\": \"image\"}}, \(sync)",
            "{\"watch\": [\"Dockerfile\"], \"image\": {}}, \(sync)",
        ] {
            #expect(ConfigurationProblemTests.problems(Self.services(["a": rules])) == [])
        }
    }

    @Test("an image may be for a deployment, a manifest or another service to run")
    func consumers() throws {
        let image = "{\"image\": {}}"
        for text in [
            "{\"services\": {\"a\": {\"manifests\": [\"k8s\"], \"rules\": [\(image)]}}}",
            "{\"services\": {\"a\": {\"rules\": [\(image)]}, \"b\": {\"rules\": [{\"deploy\": {\"manifests\": \"k8s\"}}]}}}",
            "{\"services\": {\"a\": {\"rules\": [\(image)]}, \"b\": {\"workload\": \"ds/b\", \"rules\": [{\"image\": \"a\"}]}}}",
            "{\"services\": {\"a\": {\"selector\": \"app=a\", \"rules\": [\(image)]}}}",
        ] {
            _ = try read(text)
        }
    }
}
