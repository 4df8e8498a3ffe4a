import CAgent

/// Why a check did not pass, as the kubelet would say it.
struct ProbeFailure: Error {
    let line: Bytes
}

extension Probe {
    /// Connects and, for HTTP, asks.
    func connect(until deadline: Int64) throws(ProbeFailure) {
        switch check {
        case .exec: return
        case .tcp(let port): _ = try dial(port, Bytes("dial tcp "), deadline)
        case .http(let port, let path):
            let url = Bytes("Get \"http://") + address(port) + path + Bytes("\": ")
            let socket = try dial(port, url + Bytes("dial tcp "), deadline)
            let status = try ask(socket.raw, port, path, url, deadline)
            guard status >= 200, status < 400 else {
                throw ProbeFailure(line: Bytes("HTTP probe failed with statuscode: ") + Bytes(decimal: status))
            }
        }
    }

    private func address(_ port: UInt16) -> Bytes { SocketAddress(address: host, port: port).text }

    private func dial(_ port: UInt16, _ subject: Bytes, _ deadline: Int64) throws(ProbeFailure) -> Descriptor {
        do throws(ProbeFailure) {
            return try dialHost(port, subject, deadline)
        } catch {
            guard isOwnHost else { throw error }
            // The kubelet asks at the pod's address, which may be the only one where the service listens.
            for address in [Bytes("::1"), ownAddress(six: false), ownAddress(six: true)] {
                var other = self
                (other.host, other.isOwnHost) = (address, false)
                if !address.isEmpty, let socket = try? other.dialHost(port, subject, deadline) { return socket }
            }
            throw error
        }
    }

    private func ownAddress(six: Bool) -> Bytes {
        var text = [CChar](repeating: 0, count: 64)
        return cagent_own_address(six ? 1 : 0, &text, 64) == 0 ? Bytes(cString: text) : []
    }

    private func dialHost(_ port: UInt16, _ subject: Bytes, _ deadline: Int64) throws(ProbeFailure) -> Descriptor {
        let subject = subject + address(port)
        let dialled = host.withCString { cagent_dial($0, port) }
        guard let socket = try? Descriptor(dialled) else {
            if cagent_errno() == EINVAL { throw ProbeFailure(line: subject + Bytes(": not a numeric address")) }
            throw failure(subject + Bytes(": connect: "))
        }
        var watched = pollfd(fd: socket.raw, events: Int16(POLLOUT), revents: 0)
        guard wait(&watched, until: deadline) else { throw late(subject + Bytes(": connect: ")) }
        guard cagent_dialled(socket.raw) == 0 else { throw failure(subject + Bytes(": connect: ")) }
        return socket
    }

    /// The status of the answer to a GET.
    private func ask(
        _ socket: Int32, _ port: UInt16, _ path: Bytes, _ subject: Bytes, _ deadline: Int64
    ) throws(ProbeFailure) -> UInt64 {
        let request = request(port, path)
        var sent = 0
        while sent < request.count {
            let count = request.withUnsafeBytes {
                write(socket, $0.baseAddress.map { $0 + sent }, request.count - sent)
            }
            if count > 0 {
                sent += count
            } else {
                guard cagent_errno() == EAGAIN else { throw failure(subject) }
                var watched = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
                guard wait(&watched, until: deadline) else { throw late(subject) }
            }
        }
        var answer: Bytes = []
        var buffer = Bytes(repeating: 0, count: 2048)
        while true {
            let status = Probe.status(in: answer)
            if let status, status > 0 { return status }
            guard status == nil, answer.count < 64 << 10 else {
                throw ProbeFailure(line: subject + Bytes("malformed HTTP response"))
            }
            var watched = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            guard wait(&watched, until: deadline) else { throw late(subject) }
            let count = read(socket, &buffer, buffer.count)
            if count < 0, cagent_errno() == EAGAIN { continue }
            guard count >= 0 else { throw failure(subject) }
            guard count > 0 else {
                throw ProbeFailure(line: subject + Bytes(answer.isEmpty ? "EOF" : "malformed HTTP response"))
            }
            answer += buffer[..<count]
        }
    }

    private func request(_ port: UInt16, _ path: Bytes) -> Bytes {
        var lines = [Bytes("GET ") + path + Bytes(" HTTP/1.1")]
        var given: [Bytes] = []
        for header in headers {
            let colon = header.firstIndex(of: UInt8(ascii: ":")) ?? header.count
            given.append(Probe.lowercase(Array(header[..<colon])))
        }
        if !given.contains(Bytes("host")) { lines.append(Bytes("Host: ") + address(port)) }
        if !given.contains(Bytes("user-agent")) { lines.append(Bytes("User-Agent: kube-probe/loopd")) }
        if !given.contains(Bytes("accept")) { lines.append(Bytes("Accept: */*")) }
        lines += headers
        lines.append(Bytes("Connection: close"))
        var text: Bytes = []
        for line in lines { text += line + [13, 10] }
        return text + [13, 10]
    }

    /// The status in an answer's beginning, once it is there, and 0 for what is none.
    ///
    /// What only announces an answer (1xx) is passed over.
    static func status(in answer: Bytes) -> UInt64? {
        var rest = answer[...]
        while let end = rest.firstIndex(of: 10) {
            let line = rest[..<end]
            // HTTP/1.1 200 OK
            guard line.count >= 12, Array(line.prefix(7)) == Bytes("HTTP/1."),
                let status = UInt64(decimal: Array(line.dropFirst(9).prefix(3)))
            else { return 0 }
            if status >= 200 || status == 101 { return status }
            guard let next = afterEmptyLine(rest) else { return nil }
            rest = rest[next...]
        }
        return nil
    }

    private static func afterEmptyLine(_ text: ArraySlice<UInt8>) -> Int? {
        var length = 0
        for index in text.indices {
            if text[index] == 10 {
                if length == 0 { return index + 1 }
                length = 0
            } else if text[index] != 13 {
                length += 1
            }
        }
        return nil
    }

    private static func lowercase(_ text: Bytes) -> Bytes { text.map { $0 >= 65 && $0 <= 90 ? $0 + 32 : $0 } }

    private func failure(_ subject: Bytes) -> ProbeFailure {
        ProbeFailure(line: subject + SystemFailure.last().clause)
    }

    private func late(_ subject: Bytes) -> ProbeFailure {
        ProbeFailure(line: subject + Bytes("no answer within ") + Bytes(decimal: UInt64(timeout / 1000)) + Bytes(" s"))
    }
}
