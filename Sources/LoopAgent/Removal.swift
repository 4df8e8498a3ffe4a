import CAgent

/// Removing one name, and what is below it where that is asked for.
enum Removal {
    static func remove(_ name: Bytes, in folder: Int32, recursive: Bool) throws(SystemFailure) {
        if name.withCString({ cagent_remove(folder, $0, 0) }) == 0 { return }
        // EISDIR is what Linux says of a folder, EPERM what POSIX does.
        let failure = SystemFailure.last()
        guard failure.code == EISDIR || failure.code == EPERM else { throw failure }
        if name.withCString({ cagent_remove(folder, $0, 1) }) == 0 { return }
        let again = SystemFailure.last()
        guard recursive, again.code == ENOTEMPTY else { throw again.code == ENOTDIR ? failure : again }
        try empty(name, in: folder, depth: 0)
        try checked(name.withCString { cagent_remove(folder, $0, 1) })
    }

    private static func empty(_ name: Bytes, in folder: Int32, depth: Int) throws(SystemFailure) {
        // Every level holds a descriptor.
        guard depth < 200 else { throw SystemFailure(ELOOP, "folders nested too deeply to remove") }
        let flags = CAGENT_READ | CAGENT_DIRECTORY | CAGENT_NOFOLLOW
        guard let names = FolderReader(opened: name.withCString { cagent_open(folder, $0, flags, 0) }) else {
            throw .last()
        }
        while let child = try names.next() {
            if child.withCString({ cagent_remove(names.descriptor, $0, 0) }) == 0 { continue }
            let failure = SystemFailure.last()
            guard failure.code == EISDIR || failure.code == EPERM else { throw failure }
            try empty(child, in: names.descriptor, depth: depth + 1)
            try checked(child.withCString { cagent_remove(names.descriptor, $0, 1) })
        }
    }
}
