import HTTP
import JSON
import OCI
import Reactor
import Synchronization
import TestCluster
import Testing

@Suite("Logins", .timeLimit(.minutes(5)))
struct LoginTests {
    private static func auth(_ text: String) -> JSON { ["auth": .string(Base64.encode(Array(text.utf8)))] }

    /// A double of a credential helper: no password store is on this machine.
    private static let helper = """
        #!/bin/sh
        read -r name
        case "$1 $name" in
        "get helped.example") echo '{"ServerURL": "x", "Username": "h", "Secret": "from-helper"}' ;;
        "get token.example") echo '{"Username": "<token>", "Secret": "refresh"}' ;;
        *) echo 'credentials not found in native keychain'; exit 1 ;;
        esac
        """

    @Test(
        "a login is found where docker and podman keep it",
        arguments: [
            ("plain.example", "", .basic(user: "u", password: "p:w")),
            ("words.example", "", .basic(user: "n", password: "s")),
            ("identity.example", "", .identityToken("t")), ("old.example", "", .basic(user: "o", password: "o")),
            ("helped.example", "", .basic(user: "h", password: "from-helper")),
            ("token.example", "", .identityToken("refresh")), ("broken.example", "", nil), ("none.example", "", nil),
            ("missing-helper.example", "", .basic(user: "kept", password: "kept")),
            ("docker.io", "library/web", .basic(user: "hub", password: "hub")),
            ("podman.example", "", .basic(user: "podman", password: "podman")),
            ("podman.example", "team/app", .basic(user: "team", password: "team")),
            ("both.example", "", .basic(user: "docker", password: "first")),
        ] as [(String, String, Credentials?)])
    func files(registry: String, repository: String, expected: Credentials?) async throws {
        let scratch = try Scratch()
        try scratch.write("bin/docker-credential-double", Self.helper, mode: 0o755)
        let docker: JSON = [
            "auths": [
                "plain.example": Self.auth("u:p:w"), "words.example": ["username": "n", "password": "s"],
                "identity.example": ["identitytoken": "t", "auth": "eDp5"],
                "https://old.example/v1/": Self.auth("o:o"), "broken.example": ["auth": "%%%"],
                "missing-helper.example": Self.auth("kept:kept"), "https://index.docker.io/v1/": Self.auth("hub:hub"),
                "both.example": Self.auth("docker:first"),
            ],
            "credHelpers": [
                "helped.example": "double", "token.example": "double", "missing-helper.example": "nowhere",
            ],
        ]
        let podman: JSON = [
            "auths": [
                "podman.example": Self.auth("podman:podman"), "podman.example/team": Self.auth("team:team"),
                "both.example": Self.auth("podman:second"),
            ]
        ]
        try scratch.write(".docker/config.json", docker.bytes)
        try scratch.write("run/containers/auth.json", podman.bytes)
        let programs = DirectRunner(environment: environment(with: ["PATH": "\(scratch.path)/bin:/usr/bin:/bin"]))
        let store = CredentialStore(
            environment: ["HOME": scratch.path, "XDG_RUNTIME_DIR": "\(scratch.path)/run"],
            programs: HelperRunner(folder: "\(scratch.path)/bin", programs: programs))
        #expect(await store.credentials(for: registry, repository: repository) == expected)
    }

    /// Finds helpers in a folder: the search through `PATH` is this process's own.
    private struct HelperRunner: ProgramRunner {
        let folder: String
        let programs: DirectRunner

        func run(_ arguments: [String], input: [UInt8], limit: Int) async throws -> Output {
            try await programs.run(["\(folder)/\(arguments[0])"] + arguments.dropFirst(), input: input, limit: limit)
        }
    }

    @Test("the files are those that the environment names")
    func places() {
        let all = CredentialStore(environment: [
            "HOME": "/h", "DOCKER_CONFIG": "/d", "REGISTRY_AUTH_FILE": "/r", "XDG_RUNTIME_DIR": "/x",
        ])
        #expect(all.files == ["/d/config.json", "/r", "/x/containers/auth.json", "/h/.config/containers/auth.json"])
        #expect(CredentialStore(environment: ["HOME": "/h"]).files.first == "/h/.docker/config.json")
        #expect(CredentialStore(environment: [:]).files == [])
    }

    @Test("a login does not show itself")
    func hidden() {
        for login in [Credentials.basic(user: "u", password: "secret"), .identityToken("secret")] {
            #expect(!"\(login)".contains("secret"))
            #expect(!String(reflecting: login).contains("secret"))
        }
    }

    /// A registry that asks for tokens, and its token server, a double: what Docker's token specification says.
    private final class Tokens: Sendable {
        struct State {
            var asked: [String] = []
            var issued = 0
            var valid: Set<String> = []
        }
        let state = Mutex(State())
        let seconds: Int
        let accepts: @Sendable (HTTPRequest, String) -> Bool

        init(seconds: Int = 300, accepts: @escaping @Sendable (HTTPRequest, String) -> Bool = { _, _ in true }) {
            self.seconds = seconds
            self.accepts = accepts
        }

        func serve(_ exchange: HTTPExchange, port: UInt16) async throws -> Bool {
            let request = exchange.request
            if request.target.hasPrefix("/token") {
                let body = String(decoding: try await exchange.body(), as: UTF8.self)
                guard accepts(request, body) else {
                    try await exchange.refuse(401, "UNAUTHORIZED")
                    return true
                }
                let token = state.withLock { state in
                    state.asked.append(request.target)
                    state.issued += 1
                    let token = "token-\(state.issued)"
                    state.valid.insert("Bearer \(token)")
                    return token
                }
                let answer: JSON = ["token": .string(token), "expires_in": .integer(Int64(seconds))]
                try await exchange.respond(HTTPResponse(200), body: answer.bytes)
                return true
            }
            let header = request.headers["Authorization"] ?? ""
            if state.withLock({ $0.valid.contains(header) }) { return false }
            let realm = "Bearer realm=\"http://127.0.0.1:\(port)/token\",service=\"test registry\""
            try await exchange.refuse(401, "UNAUTHORIZED", headers: ["WWW-Authenticate": realm])
            return true
        }
    }

    private static func push(
        _ tokens: Tokens, login: JSON?, _ check: @Sendable (Registry, ImageContent) async throws -> Void
    )
        async throws
    {
        let port = Mutex<UInt16>(0)
        try await PlaygroundRegistry.run(fault: { exchange, _ in
            try await tokens.serve(exchange, port: port.withLock(\.self))
        }) { process, scratch in
            port.withLock { $0 = UInt16(process.name.split(separator: ":")[1]) ?? 0 }
            var environment = ["HOME": "/nowhere"]
            if let login {
                let config: JSON = ["auths": [process.name: login]]
                try scratch.write(".docker/config.json", config.bytes)
                environment["HOME"] = scratch.path
            }
            var image = ImageContent(scratch: .host)
            image.append(try await Layer.pack([LayerEntry("data", .bytes(noise(1000)))]))
            try await check(Registry(process.name, options: .init(environment: environment)), image)
        }
    }

    @Test("a token is asked for once, without a login where there is none, and used for all that it is for")
    func anonymous() async throws {
        let tokens = Tokens { request, _ in request.headers["Authorization"] == nil }
        try await Self.push(tokens, login: nil) { registry, image in
            _ = try await registry.push(image, to: "team/app", tags: ["1", "2"])
            let asked = tokens.state.withLock(\.asked)
            #expect(
                asked == ["/token?service=test%20registry&scope=repository%3Ateam%2Fapp%3Apull%2Cpush"], "\(asked)")
            #expect(try await isWhole(registry, "team/app", "1"))
        }
    }

    @Test("the token server gets the login, and a token that is refused before its time is replaced")
    func withLogin() async throws {
        let expected = "Basic \(Base64.encode(Array("user:pass".utf8)))"
        let tokens = Tokens { request, _ in request.headers["Authorization"] == expected }
        try await Self.push(tokens, login: Self.auth("user:pass")) { registry, image in
            _ = try await registry.push(image, to: "app", tags: ["1"])
            tokens.state.withLock { $0.valid = [] }
            #expect(try await registry.push(image, to: "app", tags: ["1"]).isUnchanged)
            #expect(tokens.state.withLock(\.issued) == 2)
        }
    }

    @Test("an identity token is sent as a form, not in a URL")
    func identity() async throws {
        let tokens = Tokens { request, body in
            request.method == "POST" && body.contains("grant_type=refresh_token")
                && body.contains("refresh_token=a%2Fb")
                && !request.target.contains("a%2Fb")
        }
        try await Self.push(tokens, login: ["identitytoken": "a/b"]) { registry, image in
            let report = try await registry.push(image, to: "app", tags: ["1"])
            #expect(report.blobsSent == 2)
        }
    }

    @Test("a token server that refuses is named, and the password is not")
    func refused() async throws {
        let tokens = Tokens { _, _ in false }
        try await Self.push(tokens, login: Self.auth("user:hunter2")) { registry, image in
            await #expect {
                try await registry.push(image, to: "app", tags: ["1"])
            } throws: { error in
                guard let failure = error as? RegistryFailure else { return false }
                return failure.kind == .unauthorized && "\(failure)".contains("refuses the login of user")
                    && !"\(failure)".contains("hunter2")
            }
        }
    }

    private final class Password: Sendable {
        private let state = Mutex("first")
        var current: String { state.withLock(\.self) }
        func change(to new: String) { state.withLock { $0 = new } }
    }

    /// A registry that takes one password, which changes; `status` is what it says to another one.
    private static func passwords(
        refusal status: Int, _ check: @Sendable (PlaygroundRegistry, Scratch, Password) async throws -> Void
    ) async throws {
        let password = Password()
        try await PlaygroundRegistry.run(fault: { exchange, _ in
            let given = exchange.request.headers["Authorization"]
            let right = "Basic \(Base64.encode(Array("h:\(password.current)".utf8)))"
            guard given != right else { return false }
            try await exchange.refuse(
                given == nil ? 401 : status, "DENIED", headers: ["WWW-Authenticate": "Basic realm=\"r\""])
            return true
        }) { process, scratch in try await check(process, scratch, password) }
    }

    private static func image() async throws -> ImageContent {
        var image = ImageContent(scratch: .host)
        image.append(try await Layer.pack([LayerEntry("data", .bytes(noise(1000)))]))
        return image
    }

    @Test("a login that comes to be there later is found without a new client", arguments: [false, true])
    func later(asksForTokens: Bool) async throws {
        let expected = "Basic \(Base64.encode(Array("h:first".utf8)))"
        let tokens = Tokens { request, _ in request.headers["Authorization"] == expected }
        let check: @Sendable (String, Scratch) async throws -> Void = { name, scratch in
            let registry = Registry(name, options: .init(environment: ["HOME": scratch.path]))
            let image = try await Self.image()
            await #expect {
                try await registry.push(image, to: "app", tags: ["1"])
            } throws: { error in
                (error as? RegistryFailure)?.kind == .unauthorized
            }
            let config: JSON = ["auths": [name: Self.auth("h:first")]]
            try scratch.write(".docker/config.json", config.bytes)
            #expect(try await registry.push(image, to: "app", tags: ["1"]).blobsSent == 2)
        }
        if asksForTokens {
            let port = Mutex<UInt16>(0)
            try await PlaygroundRegistry.run(fault: { exchange, _ in
                try await tokens.serve(exchange, port: port.withLock(\.self))
            }) { process, scratch in
                port.withLock { $0 = UInt16(process.name.split(separator: ":")[1]) ?? 0 }
                try await check(process.name, scratch)
            }
        } else {
            try await Self.passwords(refusal: 401) { process, scratch, _ in try await check(process.name, scratch) }
        }
    }

    @Test("a helper's login that has expired is asked for again, however the registry says so", arguments: [401, 403])
    func expired(status: Int) async throws {
        try await Self.passwords(refusal: status) { process, scratch, password in
            /// A double of a helper: it hands out what is valid now.
            struct Helper: ProgramRunner {
                let file: String
                func run(_ arguments: [String], input: [UInt8], limit: Int) async throws -> Output {
                    #expect(arguments == ["docker-credential-double", "get"])
                    return try await DirectRunner().run(["cat", file], input: input, limit: limit)
                }
            }
            let config: JSON = ["credHelpers": [process.name: "double"]]
            try scratch.write(".docker/config.json", config.bytes)
            let file = try scratch.write("login", "{\"Username\": \"h\", \"Secret\": \"first\"}")
            let registry = Registry(
                process.name, options: .init(environment: ["HOME": scratch.path], programs: Helper(file: file)))
            let image = try await Self.image()
            #expect(try await registry.push(image, to: "app", tags: ["1"]).blobsSent == 2)
            password.change(to: "second")
            await #expect {
                try await registry.push(image, to: "app", tags: ["2"])
            } throws: { error in
                [.unauthorized, .denied].contains((error as? RegistryFailure)?.kind)
            }
            try scratch.write("login", "{\"Username\": \"h\", \"Secret\": \"second\"}")
            _ = try await registry.push(image, to: "app", tags: ["2"])
            password.change(to: "third")
            try scratch.write("login", "{\"Username\": \"h\", \"Secret\": \"third\"}")
            _ = try await registry.push(image, to: "app", tags: ["3"])
        }
    }
}
