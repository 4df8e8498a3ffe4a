import CAgent

extension Server {
    /// Carries out one message.
    mutating func handle(_ frame: Frame) throws(WireError) {
        let stream = frame.stream
        switch frame.message {
        case .hello(let hello): greet(hello)
        case _ where !hasGreeted: refuse(EPROTO, "the first message is not a hello")
        case .ping(let number): output.send(.pong(number))
        case .pong: break
        case .bye:
            saysGoodbye = true
            isEnding = true
        case .removeSelf: removeSelf()
        case .window(let bytes):
            if try !sockets.grant(bytes, stream) { try programs.first { $0.stream == stream }?.window.grant(bytes) }
        case .open(let request): open(request, stream)
        case .close(let number):
            for content in incoming.values where content.target.number == number { drop(content) }
            if let target = targets.removeValue(forKey: number) {
                target.end(shared: targets.values.contains { $0.placePath == target.placePath })
            }
            output.send(.closed, on: stream)
        case .list(let request):
            if let target = current(request.destination, .list, stream) {
                listings.append(Listing(request, of: target, on: stream))
            }
        case .digestRequest(let request):
            if let target = current(request.destination, .digest, stream) {
                digestings.append(Digesting(request, of: target, on: stream))
            }
        case .blockRequest(let request): blocks(request, stream)
        case .stage(let request): stage(request, stream)
        case .data(let bytes): if !sockets.take(bytes, stream, &output) { data(bytes, stream) }
        case .copy(let part): copy(part, stream)
        case .stageEnd(let size): stageEnd(size, stream)
        case .abandon(let request): abandon(request)
        case .commit(let request):
            // The disk may take its time.
            sockets.flush(&output)
            commit(request, stream)
        case .locate(let request): locate(request, stream)
        case .exec(let request): exec(request, stream)
        case .signal(let number): programs.first { $0.stream == stream }?.signal(number)
        case .service(let request): relay.pass(request, stream, &output)
        case .connect(let request):
            if isNew(stream) { sockets.connect(request, stream, &output) }
        case .listen(let request):
            if isNew(stream) { sockets.listen(request, stream, &output) }
        case .finish: sockets.finish(stream, &output)
        case .reset: sockets.reset(stream, &output)
        case .welcome, .failure, .opened, .closed, .entries, .listed, .digest, .digested, .staged, .committed,
            .blocks, .blocked, .located, .output, .exited, .serviceState, .connected, .listening, .accepted:
            refuse(EPROTO, "a message that only the helper sends")
        }
    }

    private mutating func greet(_ hello: Hello) {
        guard !hasGreeted else { return refuse(EPROTO, "a second hello") }
        hasGreeted = true
        silence = Server.silence(hello.heartbeatSeconds)
        var capabilities: Capabilities = [.files, .exec, .network]
        if relay.reachesSupervisor { capabilities.insert(.service) }
        output.send(
            .welcome(
                Welcome(
                    capabilities: capabilities, architecture: Bytes(cString: cagent_machine()), uid: geteuid(),
                    gid: getegid(), pid: UInt32(getpid()), digest: (try? Executable.digest()) ?? [],
                    path: Executable.path)))
        if hello.version != WireProtocol.version {
            refuse(EPROTONOSUPPORT, "the host speaks another version of the protocol")
        }
    }

    /// Whether a socket may have this number; refuses it otherwise.
    private mutating func isNew(_ stream: UInt32) -> Bool {
        let isHosts = stream != WireProtocol.connectionStream && stream < WireProtocol.firstHelperStream
        if isHosts, !sockets.has(stream), incoming[stream] == nil { return true }
        refuse(EPROTO, "a socket on a stream that is none of the host's free ones")
        return false
    }

    private mutating func removeSelf() {
        do throws(SystemFailure) {
            try Executable.remove()
            saysGoodbye = true
            isEnding = true
        } catch {
            output.send(.failure(Failure(.removeSelf, error, path: Executable.path)))
        }
    }

    private mutating func target(_ number: UInt32, _ operation: Failure.Operation, _ stream: UInt32) -> Target? {
        if let target = targets[number] { return target }
        let failure = SystemFailure(EBADF, "no open destination has this number")
        output.send(.failure(Failure(operation, failure, path: [])), on: stream)
        return nil
    }

    /// An open destination, as its path leads to it now.
    private mutating func current(_ number: UInt32, _ operation: Failure.Operation, _ stream: UInt32) -> Target? {
        guard let target = target(number, operation, stream) else { return nil }
        do throws(SystemFailure) {
            try target.refresh()
            return target
        } catch {
            output.send(.failure(Failure(operation, error, path: [])), on: stream)
            return nil
        }
    }

    private mutating func open(_ request: Open, _ stream: UInt32) {
        var number: UInt32 = 1
        while targets[number] != nil { number += 1 }
        do throws(SystemFailure) {
            let (target, answer) = try Target.open(request, number: number, token: token, resolver: resolver)
            targets[number] = target
            output.send(.opened(answer), on: stream)
        } catch {
            output.send(.failure(Failure(.open, error, path: request.path)), on: stream)
        }
    }

    private mutating func stage(_ request: Stage, _ stream: UInt32) {
        guard incoming[stream] == nil else { return refuse(EPROTO, "content on a stream that has some already") }
        guard let target = target(request.destination, .stage, stream) else { return }
        for content in incoming.values where content.target === target && content.request.stage == request.stage {
            drop(content)
        }
        // What was replaced may have the room that this needs.
        target.removeReplaced()
        do throws(SystemFailure) {
            incoming[stream] = try Incoming(request, for: target, on: stream)
        } catch {
            fail(request, error, target, stream)
        }
    }

    private mutating func data(_ bytes: Bytes, _ stream: UInt32) {
        // What arrives after a failure was under way already.
        guard let content = incoming[stream] else { return }
        do throws(SystemFailure) {
            if let grant = try content.take(bytes) { output.send(.window(grant), on: stream) }
        } catch {
            drop(content)
            fail(content.request, error, content.target, stream)
        }
    }

    private mutating func copy(_ part: Copy, _ stream: UInt32) {
        guard let content = incoming[stream] else { return }
        do throws(SystemFailure) {
            try content.take(part)
        } catch {
            drop(content)
            fail(content.request, error, content.target, stream)
        }
    }

    private mutating func blocks(_ request: BlockRequest, _ stream: UInt32) {
        guard let target = current(request.destination, .blocks, stream) else { return }
        do throws(SystemFailure) {
            blockings.append(try Blocking(request, of: target, on: stream))
        } catch {
            output.send(.failure(Failure(.blocks, error, path: request.path)), on: stream)
        }
    }

    private mutating func stageEnd(_ size: UInt64, _ stream: UInt32) {
        guard let content = incoming[stream] else { return }
        do throws(SystemFailure) {
            let staged = try content.end(size)
            incoming[stream] = nil
            output.send(.staged(staged), on: stream)
        } catch {
            drop(content)
            fail(content.request, error, content.target, stream)
        }
    }

    private mutating func abandon(_ request: Abandon) {
        for content in incoming.values
        where content.target.number == request.destination && content.request.stage == request.stage {
            drop(content)
        }
        targets[request.destination]?.forget(request.stage)
    }

    private mutating func locate(_ request: Locate, _ stream: UInt32) {
        guard let target = target(request.destination, .locate, stream) else { return }
        do throws(SystemFailure) {
            output.send(.located(try target.path(of: request.stage)), on: stream)
        } catch {
            output.send(.failure(Failure(.locate, error, path: [])), on: stream)
        }
    }

    private mutating func drop(_ content: Incoming) {
        content.abandon()
        incoming[content.stream] = nil
    }

    private mutating func fail(_ request: Stage, _ failure: SystemFailure, _ target: Target, _ stream: UInt32) {
        let mode = (try? status(target.folder))?.permissions
        output.send(.failure(Failure(.stage, failure, path: request.path, mode: mode)), on: stream)
    }

    private mutating func commit(_ request: Commit, _ stream: UInt32) {
        guard let target = target(request.destination, .commit, stream) else {
            commits[stream] = nil
            return
        }
        // Taken out while it grows, so that it is not copied.
        var operations = commits.removeValue(forKey: stream) ?? []
        operations += request.operations
        guard request.isLast else {
            commits[stream] = operations
            return
        }
        do throws(SystemFailure) {
            guard request.generation == target.generation else {
                throw SystemFailure(ESTALE, "the destination was opened for another generation")
            }
            try target.refresh()
            let place = try target.prepare()
            var results = try place.whileWriter {
                var batch = Batch(operations, on: target, through: place)
                return batch.apply()
            }
            if target.takeReplacement() {
                for index in results.indices { results[index].flags.insert(.destinationReplaced) }
            }
            answer(results, stream)
        } catch {
            let mode = (try? status(target.folder))?.permissions
            output.send(.failure(Failure(.commit, error, path: [], mode: mode)), on: stream)
        }
    }

    private mutating func answer(_ results: [OperationResult], _ stream: UInt32) {
        var start = 0
        repeat {
            // Texts are short, so that this many always fit in a frame.
            let end = min(start + 1000, results.count)
            let part = Committed(results: Array(results[start..<end]), isLast: end == results.count)
            output.send(.committed(part), on: stream)
            start = end
        } while start < results.count
    }

    private mutating func exec(_ request: Exec, _ stream: UInt32) {
        do throws(SystemFailure) {
            programs.append(try Program(request, on: stream))
        } catch {
            output.send(.failure(Failure(.exec, error, path: request.arguments.first ?? [])), on: stream)
        }
    }
}
