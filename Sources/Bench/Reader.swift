internal import Glibc
internal import JSON
internal import Reactor
internal import TestCluster

/// A shell in a container that reads one file again and again and says when its first line has changed, or reads a pipe.
///
/// It works on any cluster, and it sees what a program there would see: the time from a save to its line is the save, the
/// way there, the file's appearance, and the line's way back.
final class Reader: Sendable {
    private let lines: TimedLines

    /// Starts to read a file, again and again; returns once it spins.
    convenience init(_ scene: Scene, pod: String, file: String) async throws {
        let script = """
            echo ready; last=
            while :; do
              x=; read -r x <"$0"
              case $x in "$last") ;; *) last=$x; echo "$x";; esac
            done 2>/dev/null
            """
        try await self.init(scene, pod, script, file)
    }

    /// Asks a server for its word again and again, from a pod, or without one from this machine.
    init(_ scene: Scene, pod: String?, words host: String, _ port: String) async throws {
        let each: @Sendable ([UInt8]) -> JSON? = { ["line": .string(String(decoding: $0, as: UTF8.self))] }
        if let pod {
            lines = try await TimedLines(scene, ["exec", pod, "--", "/probe", "words", host, port], each: each)
        } else {
            lines = try await TimedLines([Built.probe, "words", host, port], each: each)
        }
    }

    /// Makes a named pipe and waits for the lines that programs write there, without taking a core from them.
    convenience init(_ scene: Scene, pod: String, pipe: String) async throws {
        let script = """
            /bin/busybox mkfifo "$0"; exec 3<>"$0"; echo ready
            while read -r x <&3; do echo "$x"; done
            """
        try await self.init(scene, pod, script, pipe)
    }

    private init(_ scene: Scene, _ pod: String, _ script: String, _ file: String) async throws {
        lines = try await TimedLines(
            scene, ["exec", pod, "--", "sh", "-c", script, file], standardError: .inherit
        ) { ["line": .string(String(decoding: $0, as: UTF8.self))] }
        _ = try await seen("ready")
    }

    /// When a line was seen, in nanoseconds.
    func seen(_ line: String) async throws -> UInt64 {
        try await self.line(from: 0) { $0 == line }.at
    }

    /// The newest line, and when it was seen.
    var last: (text: String, at: UInt64)? {
        guard let line = lines.log.events(from: max(0, count - 1)).last, let text = line["line"]?.string,
            let moment = line["at"]?.integer
        else { return nil }
        return (text, UInt64(moment))
    }

    /// How many lines were seen.
    var count: Int { lines.log.count }

    /// The first line of a kind from a place on, and when it was seen.
    func line(
        from place: Int, where isWanted: @escaping @Sendable (String) -> Bool
    ) async throws -> (text: String, at: UInt64) {
        let log = lines.log
        let found = try await within(.seconds(60), "the line in the container") {
            await log.first(from: place) { $0["line"]?.string.map(isWanted) ?? false }
        }
        guard let text = found?["line"]?.string, let moment = found?["at"]?.integer else {
            throw Trouble("the reader ended")
        }
        return (text, UInt64(moment))
    }

    func stop() async {
        lines.child.signal(SIGKILL)
        _ = await lines.child.wait()
    }
}
