internal import Glibc
internal import Reactor

/// Makes sure that one server at a time uses a state directory; the kernel lets go of it however the process ends.
final class StateLock: Sendable {
    private let descriptor: OwnedDescriptor

    init(path: String) throws {
        let raw = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard raw >= 0 else { throw SystemError.last("open \(path)") }
        let descriptor = OwnedDescriptor(raw)
        guard flock(descriptor.raw, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            guard code == EWOULDBLOCK else { throw SystemError(code: code, attempt: "lock \(path)") }
            let pid = String(decoding: (FileTree.read(path) ?? []).prefix { $0 != 0x0A }, as: UTF8.self)
            throw PlaygroundServer.InUse(
                description: "a playground\(pid.isEmpty ? "" : " (process \(pid))") already runs on this state: \(path)"
            )
        }
        let text = Array("\(getpid())\n".utf8)
        guard ftruncate(descriptor.raw, 0) == 0, write(descriptor.raw, text, text.count) == text.count else {
            throw SystemError.last("write \(path)")
        }
        self.descriptor = descriptor
    }
}
