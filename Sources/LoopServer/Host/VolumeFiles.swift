internal import Glibc
internal import JSON

/// One file of a volume.
struct VolumeFile: Equatable, Sendable {
    /// Relative to the volume, without `..`.
    let path: String
    let content: [UInt8]
    /// For its owner only.
    let mode: mode_t

    /// Throws where the path leaves the volume.
    init(_ path: String, _ content: [UInt8], mode: Int64?) throws {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        // Names that begin with two dots are for the folder's own use.
        guard !path.utf8.contains(0), parts.allSatisfy({ !$0.isEmpty && $0 != "." && !$0.hasPrefix("..") }) else {
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "a volume of the pod has a file \"\(path)\", which would lie outside of it: it is not written"))
        }
        self.path = path
        self.content = content
        // Its group in the pod is nobody here; and what nobody may read is no use.
        self.mode = mode_t(truncatingIfNeeded: mode ?? 0o644) & 0o700 | 0o400
    }
}

/// What a volume of the pod is on this machine.
enum VolumeContent: Equatable, Sendable {
    /// Files that the API knows.
    case files([VolumeFile])
    /// A folder for the process, empty at first.
    case empty
    /// It is only where the pod is; its type.
    case elsewhere(String)
}

/// A token of the pod's service account that a volume holds.
struct TokenWish: Hashable, Sendable {
    /// Whom it is for; `nil` is the cluster's API.
    let audience: String?

    init(_ source: JSON) { audience = source["audience"]?.string.flatMap { $0.isEmpty ? nil : $0 } }

    init(audience: String?) { self.audience = audience }
}

extension PodReferences {
    /// The tokens that mounted volumes hold.
    var tokenWishes: Set<TokenWish> {
        Set(
            mountedVolumes.flatMap { $0.at("projected", "sources")?.array ?? [] }
                .compactMap { $0["serviceAccountToken"].map(TokenWish.init) })
    }

    /// What is in a volume, as the kubelet lays it out; tokens that are not given are left out.
    func content(of volume: JSON, tokens: [TokenWish: String]) throws -> VolumeContent {
        if let source = volume["configMap"] { return .files(try files(source, .configMap, "name", source)) }
        if let source = volume["secret"] { return .files(try files(source, .secret, "secretName", source)) }
        if let source = volume["downwardAPI"] { return .files(try fields(source, source)) }
        if let source = volume["projected"] { return .files(try projected(source, tokens)) }
        if volume["emptyDir"] != nil { return .empty }
        return .elsewhere(volume.object?.keys.first { $0 != "name" } ?? "of no type")
    }

    private func projected(_ source: JSON, _ tokens: [TokenWish: String]) throws -> [VolumeFile] {
        var all: [VolumeFile] = []
        for part in source["sources"]?.array ?? [] {
            if let map = part["configMap"] { all += try files(map, .configMap, "name", source) }
            if let secret = part["secret"] { all += try files(secret, .secret, "name", source) }
            if let fields = part["downwardAPI"] { all += try self.fields(fields, source) }
            if let wish = part["serviceAccountToken"], let token = tokens[TokenWish(wish)] {
                all.append(
                    try VolumeFile(
                        wish["path"]?.string ?? "token", Array(token.utf8), mode: source["defaultMode"]?.integer))
            }
        }
        // Of two files at one place, the later one counts.
        var seen: Set<String> = []
        return all.reversed().filter { seen.insert($0.path).inserted }.reversed()
    }

    private func files(
        _ source: JSON, _ kind: Source.Kind, _ key: String, _ modes: JSON
    ) throws -> [VolumeFile] {
        guard let content = try content(of: source, kind, named: key) else { return [] }
        let entries = content.data.merging(content.binaryData) { text, _ in text }
        let usual = modes["defaultMode"]?.integer
        guard let items = source["items"]?.array, !items.isEmpty else {
            return try entries.sorted { $0.key < $1.key }.map { try VolumeFile($0.key, $0.value, mode: usual) }
        }
        return try items.compactMap { item in
            let wanted = item["key"]?.string ?? ""
            guard let bytes = entries[wanted] else {
                if source["optional"]?.bool == true { return nil }
                throw LoopFailure(
                    failure: LoopEvent.Failure(
                        "\(kind.rawValue) \"\(source[key]?.string ?? "")\" in namespace \(namespace) has no key "
                            + "\"\(wanted)\", which a volume of the pod needs",
                        nextStep: "add the key, or mark the volume as optional"))
            }
            return try VolumeFile(item["path"]?.string ?? "", bytes, mode: item["mode"]?.integer ?? usual)
        }
    }

    private func fields(_ source: JSON, _ modes: JSON) throws -> [VolumeFile] {
        try (source["items"]?.array ?? []).compactMap { item in
            let value: String?
            if let path = item.at("fieldRef", "fieldPath")?.string {
                value = try field(path)
            } else {
                value = try resource(item["resourceFieldRef"] ?? .null)
            }
            return try value.map {
                try VolumeFile(
                    item["path"]?.string ?? "", Array($0.utf8),
                    mode: item["mode"]?.integer ?? modes["defaultMode"]?.integer)
            }
        }
    }
}

extension DevTemplate {
    /// Whether dev mode has added a volume to a pod.
    static func isOwn(_ volume: JSON) -> Bool {
        let name = volume["name"]?.string ?? ""
        if name.hasPrefix("loopd-helper") {
            return volume.at("configMap", "name")?.string.map(ProgramConfigMap.isName) ?? false
        }
        return (name.hasPrefix("loopd-state") || name.hasPrefix("loopd-seed")) && volume["emptyDir"] != nil
    }
}
