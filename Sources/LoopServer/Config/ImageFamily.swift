/// The kinds of builders, and the keys of `image` that belong to each of them.
enum ImageFamily: CaseIterable {
    case engine
    case nix
    case command
    case append

    /// The values of `builder`.
    var builders: [String] {
        switch self {
        case .engine: EngineBuild.Program.allCases.map(\.rawValue)
        case .nix: ["nix"]
        case .command: ["command"]
        case .append: ["append"]
        }
    }

    /// The keys that mean something to these builders alone; the first one is what cannot be left out.
    var keys: [String] {
        switch self {
        case .engine: ["context", "dockerfile", "target", "platform", "args", "contexts", "secrets"]
        case .nix: ["nix"]
        case .command: ["run", "dir", "env"]
        case .append: ["base", "to", "from", "files", "config"]
        }
    }

    /// As messages name it.
    var title: String {
        switch self {
        case .engine: "docker, podman or buildah"
        case .nix: "nix"
        case .command: "a command"
        case .append: "append"
        }
    }

    /// The family of a value of `builder`.
    static func of(builder: String) -> ImageFamily? { allCases.first { $0.builders.contains(builder) } }

    /// The family that keys without a `builder` mean: a Dockerfile is what needs no key at all.
    static func of(keys: some Sequence<String>) -> ImageFamily {
        let keys = Set(keys)
        let withOwnKeys: [ImageFamily] = [.nix, .command, .append]
        return withOwnKeys.first { keys.contains($0.keys[0]) }
            ?? withOwnKeys.first { !keys.isDisjoint(with: $0.keys) } ?? .engine
    }
}
