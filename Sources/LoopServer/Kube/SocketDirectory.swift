internal import Glibc
internal import Reactor

/// A folder that only its owner can enter, for one socket; removed at the end.
struct SocketDirectory: Sendable {
    let path: String
    var socket: String { "\(path)/kube.sock" }

    /// Makes the folder in the first of `parents` that can hold it: a socket's path has at most 107 bytes.
    static func create(in parents: [String] = standardParents) throws -> SocketDirectory {
        var failure = SystemError(code: ENOENT, attempt: "make a folder for a socket")
        for parent in parents {
            var template = Array("\(parent)/loopd-XXXXXX".utf8CString)
            guard template.count + "/kube.sock".utf8.count <= 108 else {
                failure = SystemError(code: ENAMETOOLONG, attempt: "make a folder for a socket in \(parent)")
                continue
            }
            // mkdtemp makes it with mode 0700.
            if template.withUnsafeMutableBufferPointer({ $0.baseAddress.map { mkdtemp($0) != nil } }) == true {
                return SocketDirectory(
                    path: String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self))
            }
            failure = .last("make a folder for a socket in \(parent)")
        }
        throw failure
    }

    static var standardParents: [String] {
        let runtime = getenv("XDG_RUNTIME_DIR").map { [String(cString: $0)] } ?? []
        return runtime.filter { !$0.isEmpty } + ["/tmp"]
    }

    /// Removes the socket and the folder.
    func remove() {
        unlink(socket)
        rmdir(path)
    }
}
