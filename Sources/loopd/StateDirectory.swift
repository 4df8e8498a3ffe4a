internal import Glibc
internal import Reactor

/// The folder for what outlives a loopd process: baselines of what was synced, and the playground.
enum StateDirectory {
    /// `LOOPD_STATE_DIR`, else `loopd` in `XDG_STATE_HOME`, else in `~/.local/state`.
    static func path() -> String {
        path { name in getenv(name).map { String(cString: $0) } }
    }

    static func path(environment: (String) -> String?) -> String {
        if let named = environment("LOOPD_STATE_DIR"), !named.isEmpty { return absolute(named) }
        // The XDG specification: a relative path is to be ignored.
        if let state = environment("XDG_STATE_HOME"), state.hasPrefix("/") { return "\(state)/loopd" }
        let home = environment("HOME").flatMap { $0.hasPrefix("/") ? $0 : nil } ?? "/"
        return "\(home == "/" ? "" : home)/.local/state/loopd"
    }

    /// A path that stays the same when the working directory changes.
    static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/"), let current = getcwd(nil, 0) else { return path }
        defer { free(current) }
        let folder = String(cString: current)
        return folder == "/" ? "/\(path)" : "\(folder)/\(path)"
    }

    /// Creates the folder with everything above it; what is created belongs to the user alone.
    static func create(_ path: String) throws(SystemError) {
        var folder = ""
        for part in path.split(separator: "/") {
            folder += "/\(part)"
            guard mkdir(folder, 0o700) != 0, errno != EEXIST else { continue }
            // A read-only file system answers EROFS for folders that exist, too.
            let failure = SystemError.last("create the folder \(folder)")
            if access(folder, X_OK) != 0 { throw failure }
        }
    }
}
