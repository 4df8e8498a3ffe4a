internal import Glibc

extension EngineSearch {
    /// A search in this process's environment and on this machine's disk.
    ///
    /// Looks block for as long as the disk does: they belong off the cooperative pool.
    static func here() -> EngineSearch {
        let variables = ProcessEnvironment.inherited
        return EngineSearch(
            environment: variables, userID: getuid(), isMac: isMac,
            hasProgram: { program(named: $0, in: variables["PATH"] ?? "/usr/local/bin:/usr/bin:/bin") != nil },
            socket: connect, contents: { contents(of: $0, limit: 1 << 20) })
    }

    private static var isMac: Bool {
        #if os(macOS)
            true
        #else
            false
        #endif
    }

    /// Where a program is in a search path.
    static func program(named name: String, in path: String) -> String? {
        path.split(separator: ":").map { "\($0)/\(name)" }.first { file in
            var status = stat()
            return stat(file, &status) == 0 && status.st_mode & S_IFMT == S_IFREG && access(file, X_OK) == 0
        }
    }

    /// The bytes of a file of at most `limit` bytes.
    static func contents(of path: String, limit: Int) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let got = read(descriptor, &buffer, buffer.count)
            guard got > 0 else { return got == 0 ? bytes : nil }
            bytes += buffer[..<got]
            if bytes.count > limit { return nil }
        }
    }

    /// Connects to a Unix socket and hangs up.
    private static func connect(to path: String) -> SocketState {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return .missing }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let descriptor = Glibc.socket(
            AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { return .missing }
        defer { close(descriptor) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        if result == 0 { return .answers }
        switch errno {
        // Its queue is full: whoever listens is only busy.
        case EAGAIN: return .answers
        case EACCES, EPERM: return .denied
        case ECONNREFUSED: return .stale
        default: return .missing
        }
    }
}
