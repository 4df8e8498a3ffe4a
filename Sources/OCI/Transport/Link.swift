internal import HTTP
internal import Reactor

/// How a registry is reached: found out once, by asking it.
actor Link {
    /// A way to it, and the scheme that its URLs have.
    struct Way: Sendable {
        let origin: Origin
        let transport: any Transport
    }

    private let authority: String
    private let options: Registry.Options
    private var way: Way?

    /// - Parameter authority: host and port where it listens.
    init(_ authority: String, _ options: Registry.Options) {
        self.authority = authority
        self.options = options
    }

    /// The way to the registry.
    ///
    /// On this machine plain HTTP is the custom: HTTPS is what a registry gets that answers as one does which wants it.
    func find() async throws -> Way {
        if let way { return way }
        guard let plain = Origin(authority, isSecure: false), let secure = Origin(authority, isSecure: true) else {
            throw TransportFailure.unusable("\"\(authority)\" is not a registry's host and port")
        }
        let addresses = await Loopback.addresses(of: plain.host)
        try Task.checkCancellation()
        guard let addresses else {
            let found = Way(origin: secure, transport: await curl(secure, addresses: []))
            way = found
            return found
        }
        var first: (any Error)?
        for address in addresses {
            let transport = PlainTransport(plain, address: address, options.patience)
            do {
                let answer = try await transport.send(Call("GET", RegistryURL(plain, "/v2/")))
                if answer.status == 400, String(decoding: answer.body, as: UTF8.self).contains("HTTPS") {
                    return await useHTTPS(secure, address)
                }
                let found = Way(origin: plain, transport: transport)
                way = found
                return found
            } catch TransportFailure.unusable {
                // What answers with something else than HTTP speaks TLS, most probably.
                return await useHTTPS(secure, address)
            } catch let error as TransportFailure {
                first = first ?? error
            }
        }
        throw first ?? TransportFailure.unreachable("\(authority) has no address")
    }

    /// The way to another server that the registry refers to.
    func elsewhere(_ origin: Origin) async -> any Transport {
        await curl(origin, addresses: await Loopback.addresses(of: origin.host) ?? [])
    }

    private func useHTTPS(_ origin: Origin, _ address: String) async -> Way {
        let found = Way(origin: origin, transport: await curl(origin, addresses: [address]))
        way = found
        return found
    }

    private func curl(_ origin: Origin, addresses: [String]) async -> CurlTransport {
        let home = options.environment["HOME"]
        var transport = CurlTransport(
            programs: options.programs, patience: options.patience, temporaryFolder: options.temporaryFolder)
        transport.certificates = options.certificates
        if transport.certificates == nil {
            let names = [origin.authority, "\(origin.host):\(origin.port)"]
            transport.certificates = try? await offPool {
                names.lazy.compactMap { Certificates.file(for: $0, home: home) }.first
            }
        }
        if !Loopback.isAddress(origin.host) {
            transport.resolutions = addresses.map {
                "\(origin.host):\(origin.port):\($0.contains(":") ? "[\($0)]" : $0)"
            }
        }
        return transport
    }
}
