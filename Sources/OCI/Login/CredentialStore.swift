internal import Glibc
internal import HTTP
internal import JSON
internal import Reactor

/// Finds logins where `docker login` and `podman login` leave them.
public struct CredentialStore: Sendable {
    /// Variables that say where the files are: `DOCKER_CONFIG`, `REGISTRY_AUTH_FILE`, `XDG_RUNTIME_DIR`, `HOME`.
    let environment: [String: String]
    let programs: any ProgramRunner
    private static let limit = 1 << 20

    /// The logins of an environment; helpers are started by `programs`.
    public init(environment: [String: String], programs: any ProgramRunner = DirectRunner()) {
        self.environment = environment
        self.programs = programs
    }

    /// The files that may hold logins, the first one that has one for a registry holds.
    public var files: [String] {
        var files: [String] = []
        func add(_ variable: String, _ rest: String) {
            if let value = environment[variable], !value.isEmpty { files.append(value + rest) }
        }
        add("DOCKER_CONFIG", "/config.json")
        if files.isEmpty { add("HOME", "/.docker/config.json") }
        add("REGISTRY_AUTH_FILE", "")
        add("XDG_RUNTIME_DIR", "/containers/auth.json")
        add("HOME", "/.config/containers/auth.json")
        return files
    }

    /// The login for a registry, the most special one for a repository of it; `nil` where there is none.
    ///
    /// A helper that has none, fails or is missing leaves the search to the other places.
    public func credentials(for registry: String, repository: String = "") async -> Credentials? {
        for path in files {
            guard let bytes = try? await CredentialStore.read(path), let json = try? JSON(parsing: bytes) else {
                continue
            }
            if let found = await credentials(in: json, for: registry, repository) { return found }
        }
        return nil
    }

    private func credentials(in json: JSON, for registry: String, _ repository: String) async -> Credentials? {
        let keys = CredentialStore.keys(for: registry, repository)
        for key in keys {
            if let helper = json.at("credHelpers", key)?.string, let found = await ask(helper, key) { return found }
        }
        if let helper = json["credsStore"]?.string, !helper.isEmpty {
            for key in keys where json.at("auths", key) != nil || key == keys.last || CredentialStore.isHub(registry) {
                if let found = await ask(helper, key) { return found }
            }
        }
        let logins = json["auths"]?.object ?? JSONObject()
        for wanted in keys {
            for (key, entry) in logins where CredentialStore.plain(key) == wanted {
                if let found = CredentialStore.credentials(of: entry) { return found }
            }
        }
        return nil
    }

    /// The names that a registry's login may stand under, the most special first.
    static func keys(for registry: String, _ repository: String) -> [String] {
        if isHub(registry) { return ["https://index.docker.io/v1/", "index.docker.io", "docker.io"] }
        var keys: [String] = []
        var path = repository
        while !path.isEmpty {
            keys.append("\(registry)/\(path)")
            path = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
        }
        return keys + [registry]
    }

    private static func isHub(_ registry: String) -> Bool { registry == "docker.io" }

    /// A key as older programs wrote it, without what is around host and path.
    private static func plain(_ key: String) -> String {
        if key == "https://index.docker.io/v1/" { return key }
        var key = key[...]
        for scheme in ["https://", "http://"] where key.hasPrefix(scheme) { key = key.dropFirst(scheme.count) }
        for end in ["/v1/", "/v2/", "/v1", "/v2", "/"] where key.hasSuffix(end) {
            key = key.dropLast(end.count)
            break
        }
        return String(key)
    }

    private static func credentials(of entry: JSON) -> Credentials? {
        if let token = entry["identitytoken"]?.string, !token.isEmpty { return .identityToken(token) }
        if let auth = entry["auth"]?.string, let bytes = Base64.decode(auth) {
            let parts = bytes.split(separator: UInt8(ascii: ":"), maxSplits: 1, omittingEmptySubsequences: false)
            // Old programs padded with null bytes.
            guard parts.count == 2, !parts[0].isEmpty else { return nil }
            return .basic(
                user: String(decoding: parts[0], as: UTF8.self),
                password: String(decoding: parts[1].prefix { $0 != 0 }, as: UTF8.self))
        }
        if let user = entry["username"]?.string, let password = entry["password"]?.string, !user.isEmpty {
            return .basic(user: user, password: password)
        }
        return nil
    }

    /// Asks `docker-credential-NAME`, at most 20 seconds: one may unlock a keychain first.
    private func ask(_ helper: String, _ key: String) async -> Credentials? {
        guard helper.utf8.allSatisfy({ $0 > 0x20 && $0 != UInt8(ascii: "/") }) else { return nil }
        let programs = programs
        // Slow or not there: it is as if there were no login.
        let output =
            await atMost(.seconds(20)) {
                try? await programs.run(
                    ["docker-credential-\(helper)", "get"], input: Array("\(key)\n".utf8), limit: CredentialStore.limit)
            } ?? nil
        guard let output, output.status.isSuccess, let json = try? JSON(parsing: output.standardOutput),
            let user = json["Username"]?.string, let secret = json["Secret"]?.string, !secret.isEmpty
        else { return nil }
        return user == "<token>" ? .identityToken(secret) : .basic(user: user, password: secret)
    }

    private static func read(_ path: String) async throws -> [UInt8] {
        try await offPool {
            let file = try OpenFile(path)
            let status = try file.status()
            guard status.isRegular, status.size <= limit else { return [] }
            return try file.readNow(at: 0, count: Int(status.size))
        }
    }
}
