internal import JSON
internal import OCI

/// What an image says about how it is run.
struct ImageConfiguration: Equatable, Sendable {
    var entrypoint: [String] = []
    var command: [String] = []
    /// A name or number, perhaps with a group; empty is root.
    var user = ""

    init(entrypoint: [String] = [], command: [String] = [], user: String = "") {
        self.entrypoint = entrypoint
        self.command = command
        self.user = user
    }

    /// From the `config` of an image's configuration.
    init(_ config: JSON) {
        entrypoint = (config["Entrypoint"]?.array ?? []).compactMap(\.string)
        command = (config["Cmd"]?.array ?? []).compactMap(\.string)
        user = config["User"]?.string ?? ""
    }

    /// What a whole image says.
    init(_ image: ImageContent) { self.init(image.config.json["config"] ?? .null) }

    /// Whether its program runs as another user than root, whom files of the image may not belong to.
    var isRoot: Bool { ["", "0", "root"].contains(user.prefix { $0 != ":" }) }

    /// Words for a pod's `command`, where the kubelet replaces `$(NAME)` and makes one dollar of two.
    static func escaped(_ words: [String]) -> [String] {
        words.map { word in
            var result = ""
            var rest = Array(word)[...]
            while let character = rest.popFirst() {
                result.append(character)
                if character == "$", rest.first == "$" || rest.first == "(" { result.append("$") }
            }
            return result
        }
    }
}
