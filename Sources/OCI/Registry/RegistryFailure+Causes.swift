internal import JSON

extension Registry {
    /// The words for a call that got no answer.
    func failure(_ error: TransportFailure, _ what: String, _ repository: String?) -> RegistryFailure {
        switch error {
        case .unreachable(let why):
            RegistryFailure(
                .unreachable, registry: host, repository: repository, "cannot \(what): nothing answers at \(host)",
                details: [why], nextStep: "start the registry, or correct its name")
        case .broken(let why):
            RegistryFailure(
                .unreachable, registry: host, repository: repository,
                "cannot \(what): the registry \(host) stopped answering",
                details: [why], nextStep: "look at the registry's log and its disk")
        case .certificate(let why):
            RegistryFailure(
                .untrusted, registry: host, repository: repository,
                "cannot \(what): the certificate of \(host) is not trusted",
                details: [why],
                nextStep: "put its authority's certificate at ~/.config/containers/certs.d/\(host)/ca.crt")
        case .plain(let why):
            RegistryFailure(
                .untrusted, registry: host, repository: repository,
                "cannot \(what): \(host) speaks plain HTTP; loopd does that only to this machine", details: [why],
                nextStep: "use a registry on this machine (localhost:5000), or give \(host) TLS")
        case .unusable(let why):
            RegistryFailure(
                .protocolError, registry: host, repository: repository, "cannot \(what) at \(host): \(why)",
                nextStep: why == CurlTransport.missing.description
                    ? "install curl" : "check that \(host) is an image registry")
        }
    }

    /// The words for a registry that went on failing.
    func failure(_ trouble: Recovery.Trouble, _ what: String, _ repository: String?) -> RegistryFailure {
        switch trouble {
        case .transport(let error): failure(error, what, repository)
        case .answer(let answer): failure(answer, what, repository)
        }
    }

    /// The words for a login that does not work.
    func failure(_ refusal: Authenticator.Refusal, _ what: String, _ repository: String?) -> RegistryFailure {
        RegistryFailure(
            refusal.isDenied ? .denied : .unauthorized, registry: host, repository: repository,
            "cannot \(what): \(host) needs a login", details: [refusal.reason], nextStep: "docker login \(host)")
    }

    /// The words for an answer that says no.
    func failure(_ answer: Answer, _ what: String, _ repository: String?) -> RegistryFailure {
        let said = Registry.errors(answer)
        func made(_ kind: RegistryFailure.Kind, _ why: String, _ nextStep: String) -> RegistryFailure {
            RegistryFailure(
                kind, registry: host, repository: repository, "cannot \(what): \(why)",
                details: said.isEmpty ? ["status \(answer.status)"] : said.map(\.text), nextStep: nextStep)
        }
        let codes = said.map(\.code)
        if codes.contains("DIGEST_INVALID") {
            return made(
                .digestMismatch, "what arrived at \(host) is not what was sent", "try again; look at the network")
        }
        if codes.contains("NAME_INVALID") || codes.contains("TAG_INVALID") {
            return made(.invalid, "\(host) does not take the name", "use lower-case letters, digits and . _ - /")
        }
        switch answer.status {
        case 401: return made(.unauthorized, "\(host) refuses the login", "docker login \(host)")
        case 403:
            return made(
                .denied, "the login for \(host) may not do this", "ask for the right to push to \(repository ?? host)")
        case 404:
            return made(.notFound, "\(host) does not have it", "check the name: \(host)/\(repository ?? "")")
        case 405:
            return made(
                .unsupported, "\(host) does not do this", "look at the registry's settings")
        case 413: return made(.invalid, "\(host) does not take that much", "raise the limit of the proxy before it")
        case 429:
            return made(.failing, "\(host) has too many requests", "wait a while, or log in: docker login \(host)")
        case 500...: return made(.failing, "\(host) fails", "look at the registry's log and its disk")
        case 400: return made(.invalid, "\(host) refuses it", "look at the registry's log")
        default:
            return made(.protocolError, "\(host) answers with status \(answer.status)", "check that it is a registry")
        }
    }

    /// What a registry says about an error, by the specification, at most three.
    static func errors(_ answer: Answer) -> [(code: String, text: String)] {
        guard let list = (try? JSON(parsing: answer.body))?["errors"]?.array else {
            // A proxy before the registry, perhaps.
            let line = String(decoding: answer.body.prefix(200), as: UTF8.self).prefix { !$0.isNewline }
            return line.isEmpty || line.hasPrefix("<") ? [] : [("", String(line))]
        }
        return list.prefix(3).map { error in
            let code = error["code"]?.string ?? ""
            let message = error["message"]?.string ?? ""
            return (code, [code, String(message.prefix(300))].filter { !$0.isEmpty }.joined(separator: ": "))
        }
    }
}
