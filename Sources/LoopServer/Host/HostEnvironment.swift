internal import HTTP
internal import JSON
internal import Reactor
internal import Synchronization

/// What the process of a service finds on this machine: its pod's variables and files, who it is to the cluster, and on
/// top what loopd and `host.env` set.
///
/// Files lie in a folder that only this user can enter. It goes with `remove()`, and after a kill of loopd as soon as
/// the next one starts.
final class HostEnvironment: Sendable {
    /// Whose environment it is.
    struct Request: Sendable {
        let client: KubeClient
        let context: KubeContext
        let namespace: String
        /// A running pod, or the template of one.
        var pod: JSON
        let container: String
        let identity: Host.Identity
        /// Variables of Services that are reached by ports of this machine.
        var services: [String: String] = [:]
        /// Variables of loopd's own: proxies and the like.
        var own: [String: String] = [:]
        /// `host.env`, where `$(NAME)` is a variable of the pod or of loopd.
        var environment: [String: String] = [:]
        /// Where the folder is made: in the first of these that can hold it.
        var parents = SocketDirectory.standardParents
    }

    /// What was found at one time.
    private struct Findings {
        var environment: PodEnvironment
        var notices: [String]
        var files: PodFiles
        /// When the first of the tokens has to be another one.
        var renewal: ContinuousClock.Instant?
    }

    /// The folder that stands for the container's `/`.
    let root: String

    private let folder: SocketDirectory
    private let identity: PodIdentity
    /// How long a token is kept, where that is not four fifths of its life.
    private let interval: Duration?
    /// The request as it was last; one refresh at a time has it.
    private let request: AsyncMutex<Request>
    private let findings: Mutex<Findings>

    /// The whole environment for a process that starts now.
    var variables: [String: String] { findings.withLock { $0.environment.dictionary } }
    /// The names of variables that have a Secret's value in them.
    var secretNames: Set<String> { findings.withLock { $0.environment.secretNames } }
    /// What is missing, one line each; no values are in it.
    var notices: [String] { findings.withLock { $0.notices } }

    /// Reads everything, and writes the files into a new folder.
    ///
    /// With `interval`, tokens are renewed after that time. Throws `LoopFailure` where something that the pod needs is
    /// missing, or may not be read.
    static func gather(_ request: Request, renewingAfter interval: Duration? = nil) async throws -> HostEnvironment {
        let folder = try await offPool { try SocketDirectory.create(in: request.parents) }
        do {
            async let identity = PodIdentity(request.identity, request.context, namespace: request.namespace)
            let references = try await read(request)
            return try await HostEnvironment(request, references, folder, identity, interval)
        } catch {
            folder.remove()
            throw error
        }
    }

    private init(
        _ request: Request, _ references: PodReferences, _ folder: SocketDirectory, _ identity: PodIdentity,
        _ interval: Duration?
    ) async throws {
        (self.folder, self.identity, self.interval) = (folder, identity, interval)
        root = "\(folder.path)/root"
        let found = try await HostEnvironment.find(request, references, identity, folder.path, interval, after: nil)
        self.request = AsyncMutex(request)
        findings = Mutex(found)
    }

    /// Finds everything again in the present state of the cluster, perhaps for another pod or with another `host.env`;
    /// files change in place.
    func refresh(pod: JSON? = nil, environment: [String: String]? = nil) async throws {
        try await request.withLock { request in
            if let pod { request.pod = pod }
            if let environment { request.environment = environment }
            let references = try await HostEnvironment.read(request)
            let earlier = findings.withLock { $0.files }
            let found = try await HostEnvironment.find(
                request, references, identity, folder.path, interval, after: earlier)
            findings.withLock { $0 = found }
        }
    }

    /// Removes the folder with all files; nothing may refresh it any more.
    func remove() { folder.remove() }

    /// Keeps tokens good until the task is cancelled, or as long as there are any.
    ///
    /// What prevents it is told once, and tried again.
    func keepFresh(report: @Sendable (LoopEvent.Failure) -> Void) async {
        var backoff = Backoff(first: .seconds(1), limit: .seconds(60))
        var isTold = false
        while let due = findings.withLock({ $0.renewal }) {
            do {
                // Nobody tells that a token has run out: only its age does.
                try await Task.sleep(until: due, clock: .continuous)
                do {
                    // Another refresh may have done it meanwhile.
                    guard findings.withLock({ $0.renewal == due }) else { continue }
                    try await refresh()
                    isTold = false
                    backoff.reset()
                } catch {
                    if !isTold, !Task.isCancelled { report(HostEnvironment.failure(error)) }
                    isTold = true
                    // The cluster may be away for a while, as the machine may sleep.
                    try await Task.sleep(for: backoff.next())
                }
            } catch {
                return
            }
        }
    }

    // MARK: - One look

    private static func read(_ request: Request) async throws -> PodReferences {
        try await PodReferences.read(
            pod: request.pod, container: request.container, namespace: request.namespace,
            isTemplate: request.pod.at("metadata", "uid") == nil, files: true, client: request.client)
    }

    private static func find(
        _ request: Request, _ references: PodReferences, _ identity: PodIdentity, _ folder: String,
        _ interval: Duration?, after earlier: PodFiles?
    ) async throws -> Findings {
        var environment = try PodEnvironment(references, services: request.services)
        let asked = ContinuousClock.now
        let (tokens, refusals) = try await tokens(request, references)
        let texts = tokens.mapValues(\.text)
        let isAccount = request.identity == .serviceAccount
        let (files, kubeconfig) = try await offPool { [environment] in
            (
                try PodFiles(
                    references, variables: environment, tokens: texts, into: "\(folder)/root", after: earlier),
                try self.kubeconfig(identity, isAccount ? texts[TokenWish(audience: nil)] : nil, in: folder)
            )
        }
        environment.set(files.variables)
        environment.set(["KUBECONFIG": kubeconfig])
        environment.set(request.own)
        environment.merge(request.environment)
        return Findings(
            environment: environment, notices: environment.notices + files.notices + refusals, files: files,
            // As the kubelet does: after four fifths of its life.
            renewal: tokens.values.map { asked + (interval ?? $0.life * 0.8) }.min())
    }

    private static func failure(_ error: any Error) -> LoopEvent.Failure {
        (error as? LoopFailure)?.failure
            ?? LoopEvent.Failure(
                "the process's token and files could not be renewed: \(error)", nextStep: "it is tried again")
    }

    /// The tokens that the volumes hold, and the one of the process itself, where it is the service account.
    ///
    /// A user's own process has no token of the pod for the cluster's API; those for others it needs as the pod does,
    /// and where they are refused that is told.
    private static func tokens(
        _ request: Request, _ references: PodReferences
    ) async throws -> ([TokenWish: ServiceAccountTokens.Token], [String]) {
        let api = TokenWish(audience: nil)
        let isAccount = request.identity == .serviceAccount
        let wishes = references.tokenWishes.filter { $0 != api }.union(isAccount ? [api] : [])
        let source = ServiceAccountTokens(request.client, references)
        return try await withThrowingTaskGroup(
            of: (TokenWish, Result<ServiceAccountTokens.Token, LoopFailure>).self
        ) { group in
            for wish in wishes {
                group.addTask {
                    do {
                        return (wish, .success(try await source.request(wish)))
                    } catch let failure as LoopFailure where !isAccount {
                        return (wish, .failure(failure))
                    }
                }
            }
            var tokens: [TokenWish: ServiceAccountTokens.Token] = [:]
            var refusals: [String] = []
            for try await (wish, result) in group {
                switch result {
                case .success(let token): tokens[wish] = token
                case .failure(let failure): refusals.append(failure.failure.summary)
                }
            }
            return (tokens, refusals.sorted())
        }
    }

    private static func kubeconfig(_ identity: PodIdentity, _ token: String?, in folder: String) throws -> String {
        guard let token else { return try identity.kubeconfig(tokenFile: nil, in: folder) }
        let path = "\(folder)/token"
        try ContentFolder.replace(try VolumeFile("token", Array(token.utf8), mode: 0o600), at: path)
        return try identity.kubeconfig(tokenFile: path, in: folder)
    }
}
