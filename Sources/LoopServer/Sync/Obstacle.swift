internal import Glibc
internal import Watcher
internal import Wire

/// Puts into words why something could not be written in a container: the path, who tried, and what to do.
enum Obstacle {
    /// What keeps one path from being written: the cause, who tried on what, and what to do.
    static func reason(_ code: Int32, _ text: [UInt8], in destination: String, _ opened: Opened?) -> String {
        let cause = text.isEmpty ? String(cString: strerror(code)) : String(decoding: text, as: UTF8.self)
        let who = opened.map { " (\(whoAndWhere($0, destination)))" } ?? ""
        return cause + who + (remedy(code).map { "; \($0)" } ?? "")
    }

    private static func whoAndWhere(_ opened: Opened, _ destination: String) -> String {
        "user \(opened.uid) in the container; \(destination) is owned by \(opened.owner), mode \(octal(opened.mode))"
    }

    /// A destination that can be listed but not written.
    static func destination(_ path: String, _ opened: Opened, pod: String) -> LoopEvent.Failure {
        if opened.kind == .file {
            return LoopEvent.Failure(
                "\(pod): cannot write below \(path): it is a file there", nextStep: remedy(ENOTDIR))
        }
        let cause = String(cString: strerror(opened.obstacle))
        return LoopEvent.Failure(
            "\(pod): cannot write \(path): \(cause) (\(whoAndWhere(opened, path)))", nextStep: remedy(opened.obstacle))
    }

    /// A destination that the helper could not open.
    static func refusal(_ failure: Failure, path: String, pod: String) -> LoopEvent.Failure {
        let who = "user \(failure.uid)" + (failure.mode.map { ", mode \(octal($0))" } ?? "")
        let text = String(decoding: failure.text, as: UTF8.self)
        return LoopEvent.Failure("\(pod): cannot write \(path): \(text) (\(who))", nextStep: remedy(failure.code))
    }

    private static func remedy(_ code: Int32) -> String? {
        switch code {
        case EROFS: "mount a writable volume (emptyDir) there, or turn readOnlyRootFilesystem off while developing"
        case EACCES, EPERM: "let the container's user own that folder, or sync to one that it owns"
        case ENOSPC, EDQUOT: "free some space in the container, or raise its volume's or ephemeral-storage limit"
        case ETXTBSY: "that program is running from this very file; stop it first"
        case EISDIR, ENOTEMPTY, EEXIST: "a folder with files that loopd did not write is in the way; remove it there"
        case ENOTDIR: "a file is in the way of a folder; remove it there"
        case EXDEV, ELOOP: "a link in the container leads out of the destination; loopd never follows it"
        case ESTALE: "another loopd writes to this container; end it, or start this one with --take-over"
        case ENAMETOOLONG: "the name is too long for the container's file system"
        default: nil
        }
    }

    /// A mode as `chmod` takes it.
    static func octal(_ mode: UInt32) -> String {
        let digits = String(mode & 0o7777, radix: 8)
        return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }
}
