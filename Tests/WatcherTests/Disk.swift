import Glibc

/// A temporary folder and what tests do in it; everything throws with the path and the kernel's answer.
struct Disk: Sendable {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    let path: String

    /// Makes a folder, runs `body` and removes the folder again.
    static func withFolder<Result>(_ body: (Disk) async throws -> Result) async throws -> Result {
        var template = Array("/tmp/watcher-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Failure(description: "mkdtemp: \(errno)") }
        let disk = Disk(path: String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self))
        defer { _ = try? Disk(path: "/tmp").shell("chmod -R u+rwx '\(disk.path)'; rm -rf '\(disk.path)'") }
        return try await body(disk)
    }

    func at(_ name: String) -> String { name.hasPrefix("/") ? name : path + "/" + name }

    /// The folder above; it is there also when this one is not.
    var parent: Disk { Disk(path: String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])) }

    func below(_ name: String) -> Disk { Disk(path: at(name)) }

    private func check(_ result: Int32, _ what: String) throws {
        let code = errno
        guard result >= 0 else { throw Failure(description: "\(what): \(String(cString: strerror(code)))") }
    }

    func write(_ name: String, _ text: String = "content\n") throws {
        let descriptor = try open(name)
        defer { close(descriptor) }
        try append(text, to: descriptor)
    }

    /// Opens a file for writing and leaves it open.
    func open(_ name: String, flags: Int32 = O_WRONLY | O_CREAT | O_TRUNC) throws -> Int32 {
        let descriptor = Glibc.open(at(name), flags | O_CLOEXEC, 0o644)
        try check(descriptor, "open \(name)")
        return descriptor
    }

    func append(_ text: String, to descriptor: Int32) throws {
        let bytes = Array(text.utf8)
        try check(Int32(Glibc.write(descriptor, bytes, bytes.count)), "write")
    }

    func folder(_ name: String) throws { try check(mkdir(at(name), 0o755), "mkdir \(name)") }

    func folders(_ name: String) throws {
        var place = ""
        for part in name.split(separator: "/") {
            place += (place.isEmpty ? "" : "/") + part
            if mkdir(at(place), 0o755) != 0 && errno != EEXIST { try check(-1, "mkdir \(place)") }
        }
    }

    func move(_ from: String, _ to: String) throws { try check(rename(at(from), at(to)), "rename \(from) \(to)") }

    /// Two entries change places in one step.
    func exchange(_ one: String, _ other: String) throws {
        // Glibc's module lacks it.
        typealias Call = @convention(c) (Int32, UnsafePointer<CChar>, Int32, UnsafePointer<CChar>, UInt32) -> Int32
        guard let symbol = dlsym(nil, "renameat2") else { throw Failure(description: "no renameat2") }
        let call = unsafeBitCast(symbol, to: Call.self)
        try check(call(AT_FDCWD, at(one), AT_FDCWD, at(other), 2), "exchange \(one) \(other)")
    }

    func remove(_ name: String) throws { try check(unlink(at(name)), "unlink \(name)") }

    func removeFolder(_ name: String) throws { try check(rmdir(at(name)), "rmdir \(name)") }

    func link(_ name: String, to target: String) throws { try check(symlink(target, at(name)), "symlink \(name)") }

    func mode(_ name: String, _ bits: mode_t) throws { try check(chmod(at(name), bits), "chmod \(name)") }

    /// Runs a script with this folder as the working directory; throws unless it succeeds.
    @discardableResult
    func shell(_ script: String) throws -> String {
        var template = Array("/tmp/watcher-output-XXXXXX".utf8CString)
        let output = mkstemp(&template)
        try check(output, "mkstemp")
        defer { close(output) }
        // Nobody else needs its name.
        unlink(template)
        _ = fcntl(output, F_SETFD, FD_CLOEXEC)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        let words = ["/bin/sh", "-c", "cd '\(path)' || exit 97\n" + script]
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        let variables = [
            "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME=\(path)", "LC_ALL=C.UTF-8", "TERM=dumb",
            "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
        ]
        var environment: [UnsafeMutablePointer<CChar>?] = variables.map { strdup($0) } + [nil]
        defer { for variable in environment { free(variable) } }
        var child = pid_t()
        let code = posix_spawn(&child, "/bin/sh", &actions, nil, &arguments, &environment)
        guard code == 0 else { throw Failure(description: "sh: \(String(cString: strerror(code)))") }
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0 && errno == EINTR {}
        lseek(output, 0, SEEK_SET)
        let text = Self.read(output)
        guard status == 0 else { throw Failure(description: "\(script): status \(status)\n\(text)") }
        return text
    }

    func read(_ name: String) -> String { Self.read(at(name)) }

    static func read(_ path: String) -> String {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        return read(descriptor)
    }

    private static func read(_ descriptor: Int32) -> String {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
            bytes += chunk[..<count]
        }
    }

    /// Whether a program is installed.
    static func has(_ program: String) -> Bool {
        ["/usr/local/bin", "/usr/bin", "/bin"].contains { access("\($0)/\(program)", X_OK) == 0 }
    }
}
