internal import Wire

/// Why a way of bringing the helper in did not work here, so that the next one is tried.
struct RungFailed: Error, CustomStringConvertible {
    let description: String
}

/// A helper that answers, and how it got there.
struct StartedHelper {
    let link: HelperLink
    /// Where its executable lies in its container.
    let path: String
}

/// Brings the helper into a container that has programs of its own.
struct HelperUpload: Sendable {
    let exec: any ContainerExec
    let pod: String
    let container: String
    let program: HelperProgram
    let generation: UInt64
    /// How long the API may take to say why a stream takes nothing any more.
    var patience: Duration = .seconds(3)

    /// Reads a line, then hands the rest of the stream on.
    private struct Reader {
        let stream: any ExecStream
        var pending: [UInt8] = []
        var complaint = ""

        mutating func line() async throws -> String {
            while true {
                if let end = pending.firstIndex(of: 0x0A) {
                    defer { pending.removeSubrange(...end) }
                    return String(decoding: pending[..<end], as: UTF8.self)
                }
                guard pending.count < 4096 else { throw RungFailed(description: "the shell prints something else") }
                switch try await stream.read() {
                case .standardOutput(let bytes): pending += bytes
                case .standardError(let bytes): complaint += String(decoding: bytes.prefix(500), as: UTF8.self)
                case .ended(let end):
                    let words = complaint.split(separator: "\n").first.map { ": \($0)" } ?? ""
                    throw ExecEnd(kind: end.kind, message: end.message + words)
                }
            }
        }
    }

    /// By the container's shell: one exec session finds a place, takes the program, and becomes the helper.
    func byShell(places: [String]) async throws -> StartedHelper {
        do {
            return try await byShell(places: places, isNew: false)
        } catch is FoundDamaged {
            return try await byShell(places: places, isNew: true)
        }
    }

    /// A helper that was there runs, but is not the program that it should be, or does not speak.
    private struct FoundDamaged: Error {}

    private func byShell(places: [String], isNew: Bool) async throws -> StartedHelper {
        let stream = try await exec.start(
            UploadScript.command(program, places: places, isNew: isNew), pod: pod, container: container)
        do {
            return try await talk(Reader(stream: stream))
        } catch {
            stream.close()
            throw error
        }
    }

    private func talk(_ initial: Reader) async throws -> StartedHelper {
        var reader = initial
        var lastReason = "the shell said nothing"
        while true {
            guard let line = UploadScript.Line(try await reader.line()) else { continue }
            switch line {
            case .need:
                try await send(to: reader.stream)
            case .have(let path):
                do {
                    return try await greet(reader.stream, leading: reader.pending, path: path)
                } catch let end as ExecEnd {
                    guard case .exited = end.kind else { throw end }
                    throw FoundDamaged()
                } catch let error where error is RungFailed || error is LinkError {
                    throw FoundDamaged()
                }
            case .done(let path):
                return try await greet(reader.stream, leading: reader.pending, path: path)
            case .lost(_, let reason):
                lastReason = reason
            case .none(let reason):
                throw RungFailed(description: reason.isEmpty ? lastReason : reason)
            }
        }
    }

    /// By `tar` alone, for images that have it but no shell: unpack, then run.
    func byTar(places: [String]) async throws -> StartedHelper {
        var reason = "no place to unpack to"
        for place in places {
            let path = "\(place)/\(program.folder)/helper"
            do {
                do {
                    if let running = try await run(path) { return running }
                } catch is RungFailed {
                    // Another program of that name: the archive replaces it.
                }
                let archive = HelperArchive.tar(program, path: "\(program.folder)/helper")
                let stream = try await exec.start(
                    ["tar", "-x", "-f", "-", "-C", place], pod: pod, container: container)
                defer { stream.close() }
                try await send(archive, to: stream)
                if let end = try await unpacked(stream, path), end.kind != .exited(0) {
                    if end.kind == .programMissing { throw end }
                    reason = end.message
                    continue
                }
                if let running = try await run(path) { return running }
                reason = "\(place) does not let programs run"
            } catch let failed as RungFailed {
                reason = failed.description
            } catch let end as ExecEnd {
                // tar gives up at once where it cannot enter the place.
                guard case .exited = end.kind else { throw end }
                reason = end.message
            }
        }
        throw RungFailed(description: reason)
    }

    /// Runs a helper that may be there; `nil` when it is not, or does not run.
    private func run(_ path: String) async throws -> StartedHelper? {
        let stream: any ExecStream
        do {
            stream = try await exec.start([path, "serve"], pod: pod, container: container)
        } catch let end as ExecEnd where end.kind == .programMissing || end.kind == .exited(126) {
            return nil
        }
        do {
            return try await greet(stream, leading: [], path: path)
        } catch is LinkError {
            stream.close()
            return nil
        } catch let end as ExecEnd {
            stream.close()
            if end.kind == .programMissing { return nil }
            guard case .exited = end.kind else { throw end }
            return nil
        }
    }

    /// Waits until tar has ended, or until the helper is there in full.
    ///
    /// busybox's tar reads to the end of file whatever the archive says, and an end of file could overtake the archive: so
    /// the helper itself is asked.
    private func unpacked(_ stream: any ExecStream, _ path: String) async throws -> ExecEnd? {
        let (exec, pod, container, digest) = (exec, pod, container, program.digest.hex)
        return try await withThrowingTaskGroup(of: ExecEnd?.self) { group in
            group.addTask {
                while true {
                    if case .ended(let end) = try await stream.read() { return end }
                }
            }
            group.addTask {
                var backoff = Backoff()
                while true {
                    let answer = try? await exec.run([path, "version"], pod: pod, container: container)
                    if let answer, answer.code == 0, answer.output.contains(digest) { return nil }
                    try await Task.sleep(for: backoff.next())
                }
            }
            defer { group.cancelAll() }
            return try await group.next() ?? nil
        }
    }

    private func send(to stream: any ExecStream) async throws { try await send(program.bytes, to: stream) }

    private func send(_ bytes: [UInt8], to stream: any ExecStream) async throws {
        let chunk = 256 << 10
        for start in stride(from: 0, to: bytes.count, by: chunk) {
            do {
                try await stream.write(Array(bytes[start..<min(start + chunk, bytes.count)]))
            } catch let lost as ExecEnd where lost.kind == .disconnected {
                throw try await reason(stream) ?? lost
            }
        }
    }

    /// Why a stream takes nothing any more: the API says it as the last output; `nil` when it does not.
    private func reason(_ stream: any ExecStream) async throws -> ExecEnd? {
        let end = try await withThrowingTaskGroup(of: ExecEnd?.self) { group in
            group.addTask {
                while true {
                    if case .ended(let end) = try await stream.read() { return end }
                }
            }
            group.addTask {
                try await Task.sleep(for: patience)
                // Closing is what lets a read return that does not know of cancellation.
                stream.close()
                return nil
            }
            defer { group.cancelAll() }
            return try await group.next() ?? nil
        }
        return end?.kind == .disconnected ? nil : end
    }

    /// Takes up the protocol, and checks that the program there is the one that was sent.
    private func greet(_ stream: any ExecStream, leading: [UInt8], path: String) async throws -> StartedHelper {
        let link: HelperLink
        do {
            link = try await HelperLink.open(ExecChannel(stream), generation: generation, leading: leading)
        } catch let lost as ExecEnd where lost.kind == .disconnected {
            throw try await reason(stream) ?? lost
        }
        guard SHA256Digest(link.welcome.digest) == program.digest else {
            link.drop("another program answers")
            throw RungFailed(description: "\(path) is not the helper that was sent")
        }
        return StartedHelper(link: link, path: path)
    }
}
