internal import Glibc
internal import Reactor

/// A folder whose files change as a whole, or not at all, as the kubelet's do.
///
/// The files lie in a folder with a name of its own, to which the link `..data` leads, and every name that is seen is a
/// link through `..data`: renaming a new `..data` over the old one changes all of them at once, and what watches for that
/// in a pod works here as well. Only the owner can enter it.
struct ContentFolder {
    let path: String

    /// Makes the folder, which may be there, hold these files.
    ///
    /// Returns whether anything has changed.
    @discardableResult
    func write(_ files: [VolumeFile]) throws -> Bool {
        let previous = link("\(path)/..data")
        let names = Set(files.map { String($0.path.prefix { $0 != "/" }) })
        if let previous, holds(files, in: "\(path)/\(previous)") {
            // One of them may have been covered by another mount.
            try showNames(names)
            return false
        }
        var name = Array("\(path)/..content-XXXXXX".utf8CString)
        guard mkdtemp(&name) != nil else { throw SystemError.last("make a folder in \(path)") }
        let version = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        do {
            for file in files { try ContentFolder.place(file, in: version) }
            try replaceLink(with: String(version.split(separator: "/").last ?? ""))
        } catch {
            SocketDirectory.remove(version)
            throw error
        }
        try showNames(names)
        if let previous { SocketDirectory.remove("\(path)/\(previous)") }
        return true
    }

    private static func place(_ file: VolumeFile, in folder: String) throws {
        var path = folder
        for name in file.path.split(separator: "/").dropLast() {
            path += "/\(name)"
            guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw SystemError.last("mkdir \(path)") }
        }
        try write(file, to: "\(folder)/\(file.path)")
    }

    /// Writes one file aside and renames it into its place.
    static func replace(_ file: VolumeFile, at path: String) throws {
        let aside = "\(path).loopd-new"
        unlink(aside)
        try write(file, to: aside)
        guard rename(aside, path) == 0 else { throw SystemError.last("rename \(path)") }
    }

    private static func write(_ file: VolumeFile, to path: String) throws {
        guard PrivateFile.write(file.content, to: path) != nil, chmod(path, file.mode) == 0 else {
            throw SystemError.last("write \(path)")
        }
    }

    private func replaceLink(with version: String) throws {
        let draft = "\(path)/..data_tmp"
        unlink(draft)
        guard symlink(version, draft) == 0, rename(draft, "\(path)/..data") == 0 else {
            throw SystemError.last("rename \(draft)")
        }
    }

    /// Shows exactly these names; what a mount within this one, or the process, has put here stays.
    private func showNames(_ names: Set<String>) throws {
        for name in names {
            guard symlink("..data/\(name)", "\(path)/\(name)") == 0 || errno == EEXIST else {
                throw SystemError.last("symlink \(path)/\(name)")
            }
        }
        for name in SocketDirectory.names(in: path) where !names.contains(name) {
            if link("\(path)/\(name)") == "..data/\(name)" { unlink("\(path)/\(name)") }
        }
    }

    private func holds(_ files: [VolumeFile], in folder: String) -> Bool {
        var found = 0
        func count(_ path: String) -> Int {
            SocketDirectory.names(in: path).reduce(0) { sum, name in
                let inner = "\(path)/\(name)"
                var about = stat()
                guard lstat(inner, &about) == 0 else { return sum }
                return sum + (about.st_mode & S_IFMT == S_IFDIR ? count(inner) : 1)
            }
        }
        for file in files {
            let place = "\(folder)/\(file.path)"
            var about = stat()
            guard lstat(place, &about) == 0, about.st_mode & 0o777 == file.mode, about.st_size == file.content.count,
                (try? SmallFile.read(place, limit: file.content.count)) == file.content
            else { return false }
            found += 1
        }
        return found == count(folder)
    }

    private func link(_ path: String) -> String? {
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = bytes.withUnsafeMutableBufferPointer { buffer in
            buffer.withMemoryRebound(to: CChar.self) { $0.baseAddress.map { readlink(path, $0, 4096) } ?? -1 }
        }
        return count > 0 ? String(decoding: bytes.prefix(count), as: UTF8.self) : nil
    }
}
