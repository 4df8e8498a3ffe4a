internal import Glibc
internal import HTTP
internal import JSON
internal import Reactor
internal import Synchronization

/// Changes what helm is about to apply.
///
/// helm starts loopd again as its post-renderer. That one asks this one, which knows the images and the session's dev modes,
/// over a socket that only its owner can reach: nothing of a session is in an argument or a file.
final class PostRenderer: Sendable {
    private let folder: String
    private let server: HTTPServer
    private let running: Task<Void, Never>
    private let complaint = Complaint()

    /// Listens in a private folder; `transform` gets what helm has rendered, and says what it becomes.
    init(folder: String, _ transform: @escaping @Sendable ([UInt8]) async throws -> [JSON]) throws {
        self.folder = folder
        server = HTTPServer(try Listener(.unix(path: PostRenderer.socket(in: folder)))) { [complaint] exchange in
            await PostRenderer.answer(exchange, transform) { complaint.set($0) }
        }
        running = Task { [server] in try? await server.run() }
    }

    private static func socket(in folder: String) -> String { "\(folder)/render.sock" }

    private static func answer(
        _ exchange: HTTPExchange, _ transform: @Sendable ([UInt8]) async throws -> [JSON],
        onFailure: (LoopEvent.Failure) -> Void
    ) async {
        do {
            let objects = try await transform(try await exchange.body(limit: limit))
            // JSON is YAML, and each document keeps to its lines.
            let text = objects.map { "---\n\($0.text)\n" }.joined()
            try await exchange.respond(HTTPResponse(200), body: Array(text.utf8))
        } catch {
            let failure = (error as? LoopFailure)?.failure ?? LoopEvent.Failure("\(error)")
            onFailure(failure)
            try? await exchange.respond(HTTPResponse(500), body: Array(failure.summary.utf8))
        }
    }

    private final class Complaint: Sendable {
        private let failure = Mutex<LoopEvent.Failure?>(nil)

        var value: LoopEvent.Failure? { failure.withLock { $0 } }

        func set(_ new: LoopEvent.Failure) { failure.withLock { $0 = new } }
    }

    /// How large a set may be.
    private static let limit = 64 << 20

    /// Why the last set could not be changed: helm shows only the words.
    var failure: LoopEvent.Failure? { complaint.value }

    /// Ends it.
    func stop() async {
        server.stop()
        await running.value
        unlink(PostRenderer.socket(in: folder))
    }

    // MARK: How helm finds it

    /// helm's arguments, by its major version.
    ///
    /// Up to 3 helm starts a program; from 4 on a plugin of that name.
    func arguments(major: Int, program: String) -> [String] {
        let words = [PostRenderer.command, PostRenderer.socket(in: folder)]
        let name = major < 4 ? program : PostRenderer.plugin
        return ["--post-renderer", name] + words.map { "--post-renderer-args=\($0)" }
    }

    private static let plugin = "loopd"

    /// The folder of plugins that has loopd's, beside those that the user has: helm looks for some kinds in one folder only.
    func plugins(program: String) throws -> String {
        let plugins = "\(folder)/plugins"
        let own = "\(plugins)/\(PostRenderer.plugin)"
        for made in [plugins, own] where mkdir(made, 0o700) != 0 && errno != EEXIST {
            throw SystemError.last("mkdir \(made)")
        }
        let link = "\(own)/\(PostRenderer.command)"
        // helm cuts a command at its spaces, which the program's own path may have.
        guard symlink(program, link) == 0 || errno == EEXIST else { throw SystemError.last("symlink \(link)") }
        let about = """
            apiVersion: v1
            name: \(PostRenderer.plugin)
            version: 1.0.0
            type: postrenderer/v1
            runtime: subprocess
            runtimeConfig:
              platformCommand:
              - command: "${HELM_PLUGIN_DIR}/\(PostRenderer.command)"

            """
        guard PrivateFile.write(Array(about.utf8), to: "\(own)/plugin.yaml") != nil else {
            throw SystemError.last("write \(own)/plugin.yaml")
        }
        for place in PostRenderer.usersPlugins {
            guard let entries = opendir(place) else { continue }
            defer { closedir(entries) }
            while let entry = readdir(entries) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                    pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                if !name.hasPrefix("."), name != PostRenderer.plugin {
                    symlink("\(place)/\(name)", "\(plugins)/\(name)")
                }
            }
        }
        return plugins
    }

    /// Where helm looks for plugins otherwise.
    private static var usersPlugins: [String] {
        let variables = ProcessEnvironment.inherited
        if let given = variables["HELM_PLUGINS"] { return given.split(separator: ":").map(String.init) }
        if let data = variables["HELM_DATA_HOME"] { return ["\(data)/plugins"] }
        let home = variables["HOME"] ?? "/root"
        return ["\(variables["XDG_DATA_HOME"] ?? "\(home)/.local/share")/helm/plugins"]
    }
}

extension PostRenderer {
    /// The hidden command of loopd that helm starts, with a socket's path.
    static let command = "post-render"
}

/// The other end of `PostRenderer`: what helm starts.
public enum PostRendering {
    /// Sends what helm has rendered through a socket, and returns what is to be applied instead; or why there is nothing.
    public static func run(_ rendered: [UInt8], through socket: String) async -> Result<[UInt8], Refusal> {
        do {
            let client = HTTPClient(endpoint: .unix(path: socket))
            let request = HTTPRequest("POST", "/", headers: ["Host": "localhost"])
            let answer = try await client.fetch(request, body: rendered, limit: 64 << 20)
            guard answer.response.status == 200 else {
                return .failure(Refusal(words: String(decoding: answer.body, as: UTF8.self)))
            }
            return .success(answer.body)
        } catch {
            return .failure(Refusal(words: "the loopd that started helm does not answer: \(error)"))
        }
    }

    /// Why nothing is to be applied.
    public struct Refusal: Error, Equatable {
        /// In one line.
        public let words: String
    }
}
