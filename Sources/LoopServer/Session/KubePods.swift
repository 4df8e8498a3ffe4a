internal import HTTP
internal import JSON
internal import Reactor

/// The pods of one namespace, as the ladder needs them.
struct KubePods: Sendable {
    let client: KubeClient
    let namespace: String
    let kubectl: Kubectl
    let leash: String
}

extension KubePods: PodObjects {
    func pod(_ name: String) async throws -> JSON { try await client.get(.pods, name, namespace: namespace) }

    func node(_ name: String) async throws -> JSON { try await client.get(.nodes, name) }

    func addEphemeralContainer(_ container: JSON, to pod: String) async throws {
        _ = try await client.patch(
            .pods, pod, namespace: namespace, part: "ephemeralcontainers", as: .strategic,
            ["spec": ["ephemeralContainers": [container]]])
    }

    func wait(
        forPod name: String, limit: Duration, until isDone: @escaping @Sendable (JSON) -> Bool
    ) async throws -> JSON {
        let watch = ResourceWatch(client, .init(.pods, namespace: namespace, fields: "metadata.name=\(name)"))
        return try await withThrowingTaskGroup(of: JSON?.self) { group in
            group.addTask {
                await watch.run()
                return nil
            }
            group.addTask {
                var pods = ObjectSet()
                while let change = await watch.next() {
                    pods.apply(change)
                    guard pods.isSynced else { continue }
                    guard let pod = pods.objects[name] else { throw ExecError.podNotFound(name) }
                    if isDone(pod) { return pod }
                }
                return nil
            }
            group.addTask {
                try await Task.sleep(for: limit)
                throw RungFailed(description: "pod \(name) did not get there within \(limit)")
            }
            defer { group.cancelAll() }
            while let answer = try await group.next() { if let answer { return answer } }
            throw CancellationError()
        }
    }
}

extension KubePods: PodActions {
    func delete(_ instance: ContainerInstance) async throws {
        _ = try await client.deletePod(instance.pod, uid: instance.id.podUID, namespace: namespace)
    }

    func lastLines(of instance: ContainerInstance, _ count: Int) async -> [String] {
        let body = try? await client.log(
            pod: instance.pod, namespace: namespace, container: instance.container, tailLines: count)
        guard let bytes = try? await body?.readAll(limit: 1 << 20) else { return [] }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map { String($0.prefix(500)) }
    }
}

extension KubePods: ContainerExec {
    func start(_ command: [String], pod: String, container: String) async throws -> any ExecStream {
        let request = ExecSession.Request(namespace: namespace, pod: pod, container: container, command: command)
        do {
            return KubeExecStream(session: try await ExecSession.open(client, request))
        } catch let error as ExecError {
            throw ExecEnd(error)
        }
    }
}

/// An exec session as the ladder reads it.
private struct KubeExecStream: ExecStream {
    let session: ExecSession

    func write(_ bytes: [UInt8]) async throws {
        do {
            try await session.write(bytes)
        } catch let error as ExecError {
            throw ExecEnd(error)
        }
    }

    func read() async throws -> ExecOutput {
        do {
            switch try await session.next() {
            case .standardOutput(let bytes): return .standardOutput(bytes)
            case .standardError(let bytes): return .standardError(bytes)
            case nil:
                let code = session.result?.exitCode ?? 0
                return .ended(ExecEnd(kind: .exited(code), message: "it ended with exit code \(code)"))
            }
        } catch let error as ExecError {
            return .ended(ExecEnd(error))
        }
    }

    func close() { session.close() }
}

extension ExecEnd {
    /// What an exec error means for the ladder.
    init(_ error: ExecError) {
        switch error {
        case .commandNotFound: kind = .programMissing
        case .forbidden, .protocolNotSupported: kind = .forbidden
        case .containerNotFound, .containerNotRunning, .podNotFound: kind = .containerUnavailable
        case .connectionLost: kind = .disconnected
        case .failed(let message) where ExecEnd.saysContainerEnded(message): kind = .containerUnavailable
        // A program that is there and cannot be started: a mount without exec, a foreign architecture.
        case .failed: kind = .exited(126)
        }
        message = error.description
    }

    /// Whether the words of a runtime are about a container that ends or has ended: the cluster may call it running for a
    /// moment longer.
    static func saysContainerEnded(_ message: String) -> Bool {
        [
            // runc: its first process ended before another one could join.
            "setns process", "procReady not received", "cannot exec in a stopped container", "no such process",
            // containerd, CRI-O and Docker.
            "no running task found", "not in running state", "not created or running", "is not running",
        ].contains { message.contains($0) }
    }
}

extension KubePods: ContainerCommands {
    func copy(_ folder: String, to target: String, pod: String, container: String) async throws {
        let output = try await kubectl.run(
            ["cp", folder, "\(namespace)/\(pod):\(target)", "-c", container, "--retries=3"], leash: leash)
        guard output.status.isSuccess else {
            let words = output.errorText.split(separator: "\n").last.map(String.init) ?? "\(output.status)"
            throw LinkError.disconnected("kubectl cp: \(words)")
        }
    }

    func run(_ command: [String], pod: String, container: String) async throws -> Output {
        try await kubectl.run(
            ["exec", "-n", namespace, pod, "-c", container, "--"] + command, leash: leash)
    }
}

extension Kubectl {
    /// Runs kubectl on a leash: it does not outlive loopd, whatever loopd dies of.
    func run(_ arguments: [String], leash: String) async throws -> Output {
        try await Leashed.run(command(arguments), leash: leash)
    }
}
