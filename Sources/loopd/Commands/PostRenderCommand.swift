internal import Glibc
internal import LoopServer
internal import Reactor

/// `loopd post-render`: what helm starts between rendering and applying.
enum PostRenderCommand {
    static func run(_ invocation: Invocation) async -> Outcome {
        let rendered = try? await offPool { readAll(STDIN_FILENO) }
        switch await PostRendering.run(rendered ?? [], through: invocation.arguments.first ?? "") {
        case .success(let bytes):
            let isWritten = (try? await offPool { writeAll(bytes, STDOUT_FILENO) }) ?? false
            return isWritten ? .done : .failed
        case .failure(let refusal):
            let line = Array("loopd: \(refusal.words)\n".utf8)
            _ = try? await offPool { writeAll(line, STDERR_FILENO) }
            return .failed
        }
    }

    private static func readAll(_ descriptor: Int32) -> [UInt8] {
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            if count <= 0 { return all }
            all += buffer[..<count]
        }
    }

    private static func writeAll(_ bytes: [UInt8], _ descriptor: Int32) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }
}
