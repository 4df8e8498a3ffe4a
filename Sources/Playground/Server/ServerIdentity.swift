internal import JSON

/// What makes a playground the same one after a restart: its secret and its ports.
struct ServerIdentity {
    private let path: String
    let secret: String
    var port: UInt16
    var registryPort: UInt16

    /// Reads the identity, or makes a new one.
    init(path: String) throws {
        self.path = path
        let saved = FileTree.read(path).flatMap { try? JSON(parsing: $0) }
        secret = saved?["secret"]?.string ?? RandomNames.secret()
        port = saved?["port"]?.integer.flatMap(UInt16.init(exactly:)) ?? 0
        registryPort = saved?["registryPort"]?.integer.flatMap(UInt16.init(exactly:)) ?? 0
    }

    func save() throws {
        let identity: JSON = [
            "secret": .string(secret), "port": .integer(Int64(port)), "registryPort": .integer(Int64(registryPort)),
        ]
        try FileTree.replace(path, with: identity.bytes)
    }
}
