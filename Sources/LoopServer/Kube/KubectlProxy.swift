internal import Glibc
internal import HTTP
internal import Reactor
internal import Synchronization

/// The one kubectl that stays running: it brings kubeconfig, TLS and login plugins, and loopd speaks plain HTTP to it.
///
/// It listens on a socket in a folder that only its owner can enter, and runs on a leash: whatever ends loopd ends it. When
/// it dies by itself it is started again, with growing pauses.
final class KubectlProxy: Sendable {
    private struct State {
        var child: Child?
        var complaint = ""
        /// Reads what it prints as errors.
        var notes: Task<Void, Never>?
        var supervisor: Task<Void, Never>?
    }

    let context: KubeContext
    private let leash: String
    private let directory: SocketDirectory
    private let state = Mutex(State())

    private init(context: KubeContext, leash: String, directory: SocketDirectory) {
        self.context = context
        self.leash = leash
        self.directory = directory
    }

    /// Where it listens.
    var endpoint: Endpoint { .unix(path: directory.socket) }

    /// The last line that it, or a login plugin, printed as an error; empty where there is none.
    var complaint: String { state.withLock { $0.complaint } }

    /// Its process; `nil` between two lives.
    ///
    /// For tests.
    var pid: Int32? { state.withLock { $0.child?.pid } }

    /// Starts the proxy and returns once it listens.
    ///
    /// Throws `ClusterError`.
    ///
    /// - Parameter programs: where the leash is.
    static func start(
        _ context: KubeContext, programs: Programs, parents: [String] = SocketDirectory.standardParents
    ) async throws -> KubectlProxy {
        guard let leash = programs.leash else {
            throw ClusterError(
                kind: .leashMissing, summary: "the program `leash` is not beside loopd nor in ../libexec/loopd",
                nextStep: "install loopd as a whole, or name its folder in LOOPD_LIBEXEC")
        }
        let directory: SocketDirectory
        do {
            directory = try SocketDirectory.create(in: parents)
        } catch {
            throw ClusterError(
                kind: .unreachable, summary: "\(error)", nextStep: "make XDG_RUNTIME_DIR or /tmp writable for you")
        }
        let proxy = KubectlProxy(context: context, leash: leash, directory: directory)
        do {
            let first = try await proxy.launch()
            let supervisor = Task { await proxy.supervise(first) }
            proxy.state.withLock { $0.supervisor = supervisor }
            return proxy
        } catch {
            directory.remove()
            throw error
        }
    }

    /// Ends the proxy, waits for it, and removes its folder.
    func stop() async {
        let supervisor = state.withLock { $0.supervisor }
        supervisor?.cancel()
        await supervisor?.value
        await finishNotes()
        directory.remove()
    }

    private func supervise(_ first: Child) async {
        var backoff = Backoff(first: .milliseconds(20), limit: .seconds(10))
        var child: Child? = first
        while true {
            if let running = child {
                let start = ContinuousClock.now
                await withTaskCancellationHandler {
                    _ = await running.wait()
                } onCancel: {
                    // The leash ends the proxy, and itself, when its pipe closes.
                    running.standardInput?.close()
                }
                state.withLock { $0.child = nil }
                // One that lived worked; one that dies at once would be started again and again.
                if ContinuousClock.now - start > .seconds(1) { backoff.reset() }
            }
            do {
                try await Task.sleep(for: backoff.next())
                child = try await launch()
            } catch is CancellationError {
                return
            } catch {
                // What kubectl said is kept as its complaint; the next try comes.
                child = nil
            }
            if Task.isCancelled, child == nil { return }
        }
    }

    /// Starts the program and waits until it listens.
    private func launch() async throws -> Child {
        var launch = Launch(
            [leash, "--"]
                + context.kubectl.command([
                    "proxy", "--unix-socket=\(directory.socket)", "--reject-paths=^$", "--append-server-path",
                ]))
        launch.standardInput = .pipe
        // Away from the terminal: Ctrl-C is loopd's to hear, and the proxy is still needed for a clean end.
        launch.grouping = .session
        let child: Child
        do {
            child = try await Child.spawn(launch)
        } catch let error as SystemError {
            throw ClusterError(kind: .leashMissing, summary: "\(error)", nextStep: "install loopd as a whole")
        }
        do {
            // Not a child of this task: it reads for as long as the process lives.
            let notes = Task { await self.noteComplaints(of: child) }
            state.withLock { $0.notes = notes }
            try await waitUntilReady(child)
            state.withLock { $0.child = child }
            return child
        } catch {
            child.standardInput?.close()
            _ = await child.wait()
            throw error
        }
    }

    private func waitUntilReady(_ child: Child) async throws {
        var printed = ""
        while let bytes = try await child.standardOutput?.read(), !bytes.isEmpty {
            printed += String(decoding: bytes, as: UTF8.self)
            if printed.contains("Starting to serve on") {
                // It prints nothing more there; but a full pipe would stop it if it did.
                Task { while let more = try? await child.standardOutput?.read(), !more.isEmpty {} }
                return
            }
        }
        let status = await child.wait()
        await finishNotes()
        let reason = complaint.isEmpty ? "\(status)" : complaint
        throw ClusterError(
            kind: .unreachable, summary: "`kubectl proxy` for context \"\(context.name)\" ended: \(reason)",
            nextStep: "try `\(context.kubectl.command(["get", "--raw", "/version"]).joined(separator: " "))`")
    }

    private func noteComplaints(of child: Child) async {
        var lines = LineSplitter()
        func note(_ bytes: [UInt8]) {
            // Its own log repeats what it answers; what a login plugin says stands only here.
            let told = lines.feed(bytes).last { !$0.allSatisfy(\.isWhitespace) && !KubectlProxy.isLog($0) }
            if let told { state.withLock { $0.complaint = String(told.prefix(500)) } }
        }
        while let bytes = try? await child.standardError?.read(), !bytes.isEmpty { note(bytes) }
        if let bytes = try? child.standardError?.readNow() { note(bytes) }
        note([0x0A])
    }

    /// Waits until everything is noted that a process that has ended had to say.
    private func finishNotes() async {
        let notes = state.withLock { $0.notes }
        // What it left behind may hold the pipe open: what is in it now is all.
        notes?.cancel()
        await notes?.value
    }

    /// Whether a line has klog's header: `E1121 10:54:56.900404    2897 proxy_server.go:147] …`.
    static func isLog(_ line: String) -> Bool {
        let words = line.split(separator: " ", maxSplits: 1)
        guard let head = words.first, words.count == 2, "IWEF".contains(head.prefix(1)) else { return false }
        return head.count == 5 && head.dropFirst().allSatisfy(\.isNumber) && words[1].contains("] ")
    }
}
