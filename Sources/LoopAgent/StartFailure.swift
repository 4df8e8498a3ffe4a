import CAgent

/// Why a program could not be executed, in words, where errno says too little.
enum StartFailure {
    static func explain(_ code: Int32, _ name: Bytes) -> SystemFailure {
        let reason: Bytes
        switch code {
        case ENOENT:
            if let file = find(name) {
                reason = file + Bytes(": the interpreter or loader that it names is missing")
            } else {
                reason = name + Bytes(": no such program")
            }
        case ENOEXEC:
            reason =
                (find(name) ?? name) + Bytes(": neither a program for this machine nor a script that begins with #!")
        case EACCES: reason = (find(name) ?? name) + Bytes(": not executable")
        case ETXTBSY: reason = (find(name) ?? name) + Bytes(": still open for writing")
        default: reason = name + Bytes(": not started")
        }
        return SystemFailure(code: code, reason: reason)
    }

    /// The exit code that a shell has for it.
    static func exit(_ failure: SystemFailure) -> ProgramExit { .code(failure.code == ENOENT ? 127 : 126) }

    /// The first file of that name on the way that execution looks for it.
    private static func find(_ name: Bytes) -> Bytes? {
        if name.contains(UInt8(ascii: "/")) { return exists(name) ? name : nil }
        var buffer = [CChar](repeating: 0, count: 4096)
        var rest: UnsafePointer<CChar>? = cagent_search_path()
        return name.withCString { name in
            while let candidate = cagent_next_candidate(name, &rest, &buffer, buffer.count) {
                let path = Bytes(cString: candidate)
                if exists(path) { return path }
            }
            return nil
        }
    }

    private static func exists(_ path: Bytes) -> Bool { path.withCString { access($0, F_OK) } == 0 }
}
