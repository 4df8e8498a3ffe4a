internal import Glibc
internal import Reactor

/// Carries a container's output from its named pipes into its log.
struct LogPump: Sendable {
    private static let pipeSize: Int32 = 1 << 20
    private static let setPipeSize: Int32 = 1031  // F_SETPIPE_SZ, which Glibc hides behind _GNU_SOURCE.

    private let task: Task<Void, Never>

    /// The pipes' paths in a container's folder.
    static func pipe(_ source: ContainerLog.Source, in folder: String) -> String { "\(folder)/\(source.rawValue)" }

    static func makePipes(in folder: String) throws(SystemError) {
        for source in [ContainerLog.Source.stdout, .stderr] {
            guard mkfifo(pipe(source, in: folder), 0o600) == 0 else { throw .last("mkfifo \(folder)") }
        }
    }

    /// Both ends of a pipe, for the container to inherit: a reader that goes away must not end it by SIGPIPE.
    static func openForContainer(_ source: ContainerLog.Source, in folder: String) throws(SystemError)
        -> OwnedDescriptor
    {
        let raw = open(pipe(source, in: folder), O_RDWR | O_CLOEXEC)
        guard raw >= 0 else { throw .last("open \(pipe(source, in: folder))") }
        // An unprivileged limit may refuse the larger pipe: the usual 64 KiB do as well.
        _ = fcntl(raw, setPipeSize, pipeSize)
        return OwnedDescriptor(raw)
    }

    /// The container's input: one that nobody writes to and that never ends, where it asks for `stdin`; else none.
    static func openInput(in folder: String, isKept: Bool) throws(SystemError) -> OwnedDescriptor {
        let path = isKept ? "\(folder)/stdin" : "/dev/null"
        if isKept, mkfifo(path, 0o600) != 0 { throw .last("mkfifo \(path)") }
        let raw = open(path, O_RDWR | O_CLOEXEC)
        guard raw >= 0 else { throw .last("open \(path)") }
        return OwnedDescriptor(raw)
    }

    /// Starts to read; the container's end must be open already, else the pipe looks ended.
    init(from folder: String, into log: ContainerLog) throws {
        let streams = try [ContainerLog.Source.stdout, .stderr].map { source in
            let raw = open(LogPump.pipe(source, in: folder), O_RDONLY | O_NONBLOCK | O_CLOEXEC)
            guard raw >= 0 else { throw SystemError.last("open \(LogPump.pipe(source, in: folder))") }
            return (source, try Stream(OwnedDescriptor(raw)))
        }
        task = Task.detached {
            await withTaskGroup(of: Void.self) { group in
                for (source, stream) in streams {
                    group.addTask { await LogPump.carry(source, from: stream, into: log) }
                }
            }
            log.end()
        }
    }

    /// Waits for the end of both pipes, at most `patience`: a process that left the container may hold them for ever.
    func finish(within patience: Duration) async {
        let limit = Task {
            try await Task.sleep(for: patience)
            task.cancel()
        }
        await task.value
        limit.cancel()
    }

    /// Stops to read; what the container writes from now on waits in the pipes.
    func stop() { task.cancel() }

    private static func carry(_ source: ContainerLog.Source, from stream: Stream, into log: ContainerLog) async {
        var formatter = LogFormatter(source: source)
        while let bytes = try? await stream.read(upTo: 65536), !bytes.isEmpty {
            let records = formatter.records(of: bytes, at: .now)
            if !records.isEmpty { log.append(records) }
            // A container that never pauses must not keep a thread of the pool to itself.
            await Task.yield()
        }
        let rest = formatter.remainder(at: .now)
        if !rest.isEmpty { log.append(rest) }
        stream.close()
    }
}
