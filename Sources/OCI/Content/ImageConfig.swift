public import JSON

/// An image's configuration: how it is run, and of which layers it is made.
public struct ImageConfig: Equatable, Sendable {
    /// The whole object: members that are not known here survive.
    public private(set) var json: JSON
    /// As it was read; `nil` once it was changed.
    private var original: [UInt8]?

    /// Reads a configuration.
    public init(_ bytes: [UInt8]) throws(ContentProblem) {
        do {
            json = try JSON(parsing: bytes)
        } catch {
            throw ContentProblem("the image's configuration is not JSON: \(error)")
        }
        guard json.object != nil else { throw ContentProblem("the image's configuration is not a JSON object") }
        original = bytes
    }

    /// The configuration of an image without layers.
    public init(platform: Platform) {
        // A fixed time: the same content is the same image.
        json = [
            "created": "1970-01-01T00:00:00Z", "architecture": .string(platform.architecture),
            "os": .string(platform.system), "config": [:], "rootfs": ["type": "layers", "diff_ids": []],
        ]
        json["variant"] = platform.variant.map { .string($0) }
    }

    /// Exactly as it was read, or rendered where it was changed.
    public var bytes: [UInt8] { original ?? json.bytes }

    /// What it runs on.
    public var platform: Platform? { Platform(json) }

    /// The digests of the layers' uncompressed content, from the bottom up.
    public var diffIDs: [Digest] {
        (json.at("rootfs", "diff_ids")?.array ?? []).compactMap { $0.string.flatMap { Digest($0) } }
    }

    /// The program; empty where there is none.
    public var entrypoint: [String] {
        get { words("Entrypoint") }
        set { setWords("Entrypoint", newValue) }
    }

    /// Its arguments.
    public var command: [String] {
        get { words("Cmd") }
        set { setWords("Cmd", newValue) }
    }

    /// `NAME=value` lines.
    public var environment: [String] {
        get { words("Env") }
        set { setWords("Env", newValue) }
    }

    /// A name or number, perhaps with a group; empty is root.
    public var user: String {
        get { setting("User")?.string ?? "" }
        set { set("User", newValue.isEmpty ? nil : .string(newValue)) }
    }

    /// The working folder; empty is the root.
    public var workingDirectory: String {
        get { setting("WorkingDir")?.string ?? "" }
        set { set("WorkingDir", newValue.isEmpty ? nil : .string(newValue)) }
    }

    /// A member of `config`, by Docker's name for it.
    public func setting(_ name: String) -> JSON? { json.at("config", name) }

    /// Changes a member of `config`; `nil` removes it.
    public mutating func set(_ name: String, _ value: JSON?) {
        guard setting(name) != value else { return }
        original = nil
        var config = json["config"] ?? [:]
        if config.object == nil { config = [:] }
        config[name] = value
        json["config"] = config
    }

    /// Sets a variable, in place where there is one of its name.
    public mutating func setVariable(_ name: String, to value: String) {
        var lines = environment
        let line = "\(name)=\(value)"
        if let place = lines.firstIndex(where: { $0.hasPrefix("\(name)=") }) {
            lines[place] = line
        } else {
            lines.append(line)
        }
        environment = lines
    }

    /// Adds a layer's content and a line of history.
    mutating func append(_ diffID: Digest, history: String) {
        original = nil
        var root = json["rootfs"] ?? ["type": "layers"]
        root["diff_ids"] = .array((root["diff_ids"]?.array ?? []) + [.string("\(diffID)")])
        json["rootfs"] = root
        var lines = json["history"]?.array ?? []
        let known = lines.count { $0["empty_layer"]?.bool != true }
        // podman and buildah do not build on an image whose history lacks a line for one of its layers.
        for _ in 0..<max(0, diffIDs.count - 1 - known) { lines.append(line("")) }
        json["history"] = .array(lines + [line(history)])
    }

    private func line(_ text: String) -> JSON {
        ["created": "1970-01-01T00:00:00Z", "created_by": .string(text)]
    }

    private func words(_ name: String) -> [String] { (setting(name)?.array ?? []).compactMap(\.string) }

    private mutating func setWords(_ name: String, _ words: [String]) {
        set(name, words.isEmpty ? nil : .array(words.map { .string($0) }))
    }
}
