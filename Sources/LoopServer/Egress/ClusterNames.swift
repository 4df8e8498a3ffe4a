internal import JSON
internal import Reactor
internal import Synchronization

/// Resolves names as a pod of one namespace would, by asking the API instead of the cluster's name service.
///
/// Answers are kept for a moment: a program that opens many connections at once would otherwise wait for the API at each of
/// them. It is short, because a Service that was made anew has another address.
final class ClusterNames: Sendable {
    private static let lifetime = Duration.seconds(2)
    private static let shortLifetime = Duration.milliseconds(500)
    private static let mostAnswers = 1024
    /// ExternalName Services that point at each other would never end.
    private static let mostAliases = 8

    private struct Answer {
        let task: Task<Resolved, any Error>
        /// `nil` while it is under way.
        var end: ContinuousClock.Instant?
        let number: UInt64
    }
    private struct State {
        var answers: [String: Answer] = [:]
        /// What the cluster has said last of names that are its own: it stays true while nobody answers.
        var found: [String: Resolved] = [:]
        var next: UInt64 = 0
    }

    let namespace: String
    private let client: KubeClient
    private let domain: String
    private let ranges: ClusterRanges
    /// How long something waits for the API that does not need it.
    private let patience: Duration
    private let state = Mutex(State())

    /// The names that pods of `namespace` know, in a cluster whose own ones end with `domain`.
    init(
        _ client: KubeClient, namespace: String, domain: String = "cluster.local", patience: Duration = .seconds(2)
    ) {
        self.patience = patience
        self.client = client
        self.namespace = namespace
        self.domain = domain
        ranges = ClusterRanges(client, namespace: namespace, patience: patience)
    }

    /// Where a name, or an address as text, leads to.
    ///
    /// Throws a `LoopFailure` for a name that can only be the cluster's and is not there, or may not be seen.
    func resolve(_ name: String) async throws -> Resolved {
        let key = name.lowercased()
        let now = ContinuousClock.now
        let (task, number) = state.withLock { state -> (Task<Resolved, any Error>, UInt64?) in
            if let known = state.answers[key], known.end.map({ $0 > now }) ?? true { return (known.task, nil) }
            if state.answers.count >= ClusterNames.mostAnswers {
                state.answers = state.answers.filter { $0.value.end.map { $0 > now } ?? true }
            }
            state.next += 1
            let task = Task { try await self.lookUp(key, aliases: 0) }
            if state.answers.count < ClusterNames.mostAnswers {
                state.answers[key] = Answer(task: task, end: nil, number: state.next)
            }
            return (task, state.next)
        }
        if let number { Task { await self.expire(key, number, after: task) } }
        // Others may wait for the answer, too: who is cancelled leaves it to them.
        let answered = Gate()
        Task {
            _ = await task.result
            answered.close()
        }
        await answered.pass()
        try Task.checkCancellation()
        return try await task.value
    }

    /// Lets an answer go when it has been there for its time.
    private func expire(_ key: String, _ number: UInt64, after task: Task<Resolved, any Error>) async {
        let lifetime =
            if case .success(.cluster) = await task.result { ClusterNames.lifetime } else { ClusterNames.shortLifetime }
        state.withLock { state in
            guard state.answers[key]?.number == number else { return }
            state.answers[key]?.end = .now + lifetime
        }
    }

    /// What nearly is a name's Service, for who has mistyped it.
    func nearest(to name: String) async -> String? {
        let readings = ClusterName.readings(of: name, namespace: namespace, domain: domain).names
        for case .service(let service, let namespace) in readings {
            let list = try? await soon { [client] in
                try await client.list(.init(.services, namespace: namespace), metadataOnly: true)
            }
            let known = (list?.items ?? []).compactMap { $0.at("metadata", "name")?.string }
            if let near = NearestName.of(service, among: known) {
                return namespace == self.namespace ? near : "\(near).\(namespace)"
            }
        }
        return nil
    }

    private func lookUp(_ name: String, aliases: Int) async throws -> Resolved {
        if name == "localhost" || name.hasSuffix(".localhost") { return .outside(name, hint: nil) }
        if let address = IPAddress(name) {
            guard await ranges.contains(address) else { return .outside("\(address)", hint: nil) }
            return .cluster(ClusterTarget(addresses: ["\(address)"], service: nil, namespace: namespace))
        }
        let (readings, isExplicit) = ClusterName.readings(of: name, namespace: namespace, domain: domain)
        // `example.com` is hardly one of the cluster: when that does not answer, the name is the outside's.
        let isOutsideInDoubt = !isExplicit && name.contains(".")
        let known = state.withLock { $0.found[name] }
        var hints: [String] = []
        for reading in readings {
            do {
                let found =
                    try await isOutsideInDoubt || known != nil
                    ? soon { try await self.look(at: reading, aliases: aliases) }
                    : look(at: reading, aliases: aliases)
                if let found {
                    remember(found, as: name)
                    return found
                }
                // `example.com` could be a Service of a namespace "com": not worth a word.
                if isExplicit || reading == readings.first { hints.append(reading.absence) }
            } catch let error as KubeError where error.isForbidden {
                let missing = "no right to get Services in namespace \(reading.namespace ?? namespace)"
                guard !isExplicit else {
                    throw ClusterNames.failure(
                        "\(name): \(missing)",
                        nextStep: "let yourself be given the right to get services and to list endpointslices there")
                }
                hints.append(missing)
            } catch  where !(error is LoopFailure || error is CancellationError) {
                if let known { return known }
                guard isOutsideInDoubt else {
                    throw ClusterNames.failure("\(name): the cluster cannot be asked for it: \(error)", nextStep: nil)
                }
                hints.append("the cluster cannot be asked for it: \(error)")
                break
            }
        }
        state.withLock { _ = $0.found.removeValue(forKey: name) }
        guard isExplicit else { return .outside(name, hint: hints.first.map { _ in hints.joined(separator: ", ") }) }
        let near = await nearest(to: name).map { "did you mean \"\($0)\"?" }
        throw ClusterNames.failure(
            "\(name): \(hints.isEmpty ? "no such name in the cluster" : hints.joined(separator: ", "))", nextStep: near)
    }

    /// Keeps what the cluster has said of a name, for when it does not answer.
    private func remember(_ found: Resolved, as name: String) {
        state.withLock { state in
            // Which of many is let go does not matter: the API is asked first in any case.
            if state.found[name] == nil, state.found.count >= ClusterNames.mostAnswers { _ = state.found.popFirst() }
            state.found[name] = found
        }
    }

    private func soon<Value: Sendable>(
        _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        try await atMost(
            patience,
            otherwise: KubeError(
                code: 0, reason: "Timeout", message: "no answer within \(self.patience.components.seconds) s"), body)
    }

    /// What a reading of a name is; `nil` where there is nothing of the kind.
    private func look(at reading: ClusterName, aliases: Int) async throws -> Resolved? {
        switch reading {
        case .pod(let address):
            return .cluster(ClusterTarget(addresses: ["\(address)"], service: nil, namespace: namespace))
        case .service(let name, let namespace):
            guard let service = try await service(name, namespace) else { return nil }
            if let alias = service.externalName {
                guard aliases < ClusterNames.mostAliases else {
                    throw ClusterNames.failure(
                        "\(name) in namespace \(namespace) leads from one ExternalName to the next, and to no end",
                        nextStep: nil)
                }
                // An absolute name, whatever the search path would make of it.
                let absolute = alias.hasSuffix(".") ? alias : "\(alias)."
                let next = IPAddress(alias) == nil ? absolute.lowercased() : alias
                let found = try await lookUp(next, aliases: aliases + 1)
                guard case .outside(let name, let hint) = found else { return found }
                return .outside(name.hasSuffix(".") ? String(name.dropLast()) : name, hint: hint)
            }
            if !service.isHeadless { return .cluster(service.target) }
            let members = try await members(of: name, namespace, all: service.publishesAll)
            guard !members.isEmpty else {
                throw ClusterNames.failure(
                    "\(service.text) has no address of its own, and none of its pods is ready",
                    nextStep: "kubectl get pods -n \(namespace) shows them")
            }
            var target = service.target
            target.addresses = members.map(\.address)
            return .cluster(target)
        case .member(let host, let name, let namespace):
            guard let service = try await service(name, namespace), service.externalName == nil else { return nil }
            let members = try await members(of: name, namespace, all: service.publishesAll)
            let found = members.filter { $0.host == host || $0.address.replacing(".", with: "-") == host }
            guard !found.isEmpty else { return nil }
            var target = service.target
            target.addresses = found.map(\.address)
            target.ports = nil
            return .cluster(target)
        }
    }

    private func service(_ name: String, _ namespace: String) async throws -> NamedService? {
        do {
            return NamedService(try await client.get(.services, name, namespace: namespace))
        } catch let error as KubeError where error.isNotFound || error.code == 400 {
            return nil
        }
    }

    /// The pods of a Service by their endpoints; without `all` the ready ones.
    private func members(
        of service: String, _ namespace: String, all: Bool
    ) async throws -> [(address: String, host: String?)] {
        let scope = KubeClient.Scope(
            .endpointSlices, namespace: namespace, labels: "kubernetes.io/service-name=\(service)")
        var members: [(address: String, host: String?)] = []
        for slice in try await client.list(scope).items where slice["addressType"]?.string != "FQDN" {
            for endpoint in slice["endpoints"]?.array ?? [] {
                // Nothing said means ready.
                guard all || endpoint.at("conditions", "ready")?.bool != false else { continue }
                let host = endpoint["hostname"]?.string
                members += (endpoint["addresses"]?.array ?? []).compactMap { $0.string.map { ($0, host) } }
            }
        }
        return members.sorted { $0.address.contains(":") ? false : $1.address.contains(":") }
    }

    private static func failure(_ summary: String, nextStep: String?) -> LoopFailure {
        LoopFailure(failure: LoopEvent.Failure(summary, nextStep: nextStep))
    }
}

extension ClusterName {
    /// That there is no such thing.
    fileprivate var absence: String {
        switch self {
        case .service(let name, let namespace): "no Service \"\(name)\" in namespace \(namespace)"
        case .member(let host, let service, let namespace):
            "no pod \"\(host)\" of a Service \"\(service)\" in namespace \(namespace)"
        case .pod(let address): "no pod has \(address)"
        }
    }
}

/// A Service as far as its name leads somewhere.
private struct NamedService {
    let target: ClusterTarget
    let externalName: String?
    let isHeadless: Bool
    /// Whether pods that are not ready belong to it, too.
    let publishesAll: Bool
    let text: String

    init(_ object: JSON) {
        let spec = object["spec"] ?? .null
        let name = object.at("metadata", "name")?.string ?? ""
        let namespace = object.at("metadata", "namespace")?.string ?? ""
        text = "Service \(name) in namespace \(namespace)"
        externalName = spec["type"]?.string == "ExternalName" ? spec["externalName"]?.string ?? "" : nil
        let single = spec["clusterIP"]?.string
        let listed = (spec["clusterIPs"]?.array ?? []).compactMap(\.string)
        let addresses = (listed.isEmpty ? [single].compactMap(\.self) : listed).filter { $0 != "None" && !$0.isEmpty }
        isHeadless = addresses.isEmpty
        publishesAll = spec["publishNotReadyAddresses"]?.bool ?? false
        let labels = spec.strings("selector").sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        let ports = (spec["ports"]?.array ?? []).compactMap { port -> ClusterTarget.Port? in
            guard port["protocol"]?.string ?? "TCP" == "TCP", let number = port["port"]?.integer else { return nil }
            return UInt16(exactly: number).map { ClusterTarget.Port(number: $0, name: port["name"]?.string) }
        }
        target = ClusterTarget(
            addresses: addresses, service: text, namespace: namespace,
            selector: labels.isEmpty ? nil : labels.joined(separator: ","), ports: isHeadless ? nil : ports)
    }
}
