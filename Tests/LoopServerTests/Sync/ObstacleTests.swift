import Glibc
import Testing
import Wire

@testable import LoopServer

@Suite("Obstacles in words") struct ObstacleTests {
    private let opened = Opened(
        destination: 1, kind: .folder, staging: [], isSameMount: true, owner: 0, obstacle: EROFS, mode: 0o755, uid: 1000
    )

    @Test(
        "each names the cause, who tried, whose it is and what to do",
        arguments: [
            (EROFS, "Read-only file system", "mount a writable volume"),
            (EACCES, "Permission denied", "let the container's user own that folder"),
            (EPERM, "Operation not permitted", "let the container's user own that folder"),
            (ENOSPC, "No space left on device", "free some space"),
            (EDQUOT, "Disk quota exceeded", "free some space"),
            (ETXTBSY, "Text file busy", "stop it first"),
            (EISDIR, "Is a directory", "remove it there"),
            (ENOTDIR, "Not a directory", "remove it there"),
            (ELOOP, "Too many levels of symbolic links", "never follows it"),
            (ESTALE, "Stale file handle", "--take-over"),
            (ENAMETOOLONG, "File name too long", "too long for the container's file system"),
        ])
    func explains(code: Int32, cause: String, remedy: String) {
        let text = Obstacle.reason(code, [], in: "/srv", opened)
        #expect(text.hasPrefix("\(cause) (user 1000 in the container; /srv is owned by 0, mode 0755); "))
        #expect(text.contains(remedy))
    }

    @Test("the helper's own words come before the system's, and an unknown error has no remedy")
    func quotes() {
        #expect(Obstacle.reason(EIO, Array("the disk is on fire".utf8), in: "/srv", nil) == "the disk is on fire")
    }

    @Test("a destination says pod, path, cause and remedy")
    func namesDestination() {
        let failure = Obstacle.destination("/srv", opened, pod: "web-1")
        #expect(
            failure.summary
                == "web-1: cannot write /srv: Read-only file system (user 1000 in the container; /srv is owned by 0, mode 0755)"
        )
        #expect(failure.nextStep?.hasPrefix("mount a writable volume") == true)
        let refused = Obstacle.refusal(
            Failure(.open, code: EACCES, path: [], uid: 7, mode: 0o70, text: Array("no".utf8)), path: "/srv", pod: "p")
        #expect(refused.summary == "p: cannot write /srv: no (user 7, mode 0070)")
    }
}
