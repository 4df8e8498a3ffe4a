internal import Glibc
internal import JSON
internal import Reactor

/// What the process of a service finds on this machine: its pod's variables and files, who it is to the cluster, and on top
/// what loopd and `host.env` set.
///
/// Files lie in a folder that only this user can enter. It goes with `remove()`, and after a kill of loopd as soon as the next
/// one starts.
struct HostEnvironment: Sendable {
    /// Whose environment it is.
    struct Request: Sendable {
        let client: KubeClient
        let context: KubeContext
        let namespace: String
        /// A running pod.
        var pod: JSON
        let container: String
        let identity: Host.Identity
        /// Variables of loopd's own: proxies and the like.
        var own: [String: String] = [:]
        /// `host.env`, where `$(NAME)` is a variable of the pod or of loopd.
        var environment: [String: String] = [:]
        /// Where the folder is made: in the first of these that can hold it.
        var parents = SocketDirectory.standardParents
    }

    /// The whole environment for the process.
    var variables: [String: String] { environment.dictionary }
    /// The names of variables that have a Secret's value in them.
    var secretNames: Set<String> { environment.secretNames }
    /// What is missing, one line each; no values are in it.
    let notices: [String]
    /// The folder that stands for the container's `/`.
    let root: String

    private let request: Request
    private let environment: PodEnvironment
    private let folder: SocketDirectory
    private let interval: Duration?
    /// When the first of its tokens has to be another one.
    private let renewal: ContinuousClock.Instant?

    /// Reads everything, and writes the files into a new folder.
    ///
    /// Throws `LoopFailure` where something that the pod needs is missing, or may not be read.
    static func gather(_ request: Request) async throws -> HostEnvironment {
        try await gather(request, renewing: nil)
    }

    /// With `interval`, renews after that time instead of when tokens are old.
    static func gather(_ request: Request, renewing interval: Duration?) async throws -> HostEnvironment {
        let folder = try await offPool { try SocketDirectory.create(in: request.parents) }
        do {
            return try await HostEnvironment(request, folder, interval)
        } catch {
            folder.remove()
            throw error
        }
    }

    /// The same for the present state of the cluster, perhaps of another pod; files change in place.
    func refreshed(pod: JSON? = nil, own: [String: String]? = nil) async throws -> HostEnvironment {
        var request = request
        if let pod { request.pod = pod }
        if let own { request.own = own }
        return try await HostEnvironment(request, folder, interval)
    }

    /// Removes the folder with all files.
    func remove() { folder.remove() }

    private init(_ request: Request, _ folder: SocketDirectory, _ interval: Duration?) async throws {
        let references = try await PodReferences.read(
            pod: request.pod, container: request.container, namespace: request.namespace, files: true,
            client: request.client)
        var environment = try PodEnvironment(references)
        let asked = ContinuousClock.now
        let (tokens, refusals) = try await HostEnvironment.tokens(request, references)
        let texts = tokens.mapValues(\.text)
        let root = "\(folder.path)/root"
        let files = try await offPool { [environment] in
            try PodFiles(references, variables: environment, tokens: texts, into: root)
        }
        var own = files.variables
        own["KUBECONFIG"] = try await HostEnvironment.kubeconfig(request, texts, in: folder.path)
        environment.merge(request.own.merging(own) { given, _ in given })
        environment.merge(request.environment)
        self.environment = environment
        notices = environment.notices + files.notices + refusals
        (self.root, self.request, self.folder, self.interval) = (root, request, folder, interval)
        // As the kubelet does: after four fifths of its life.
        renewal = tokens.values.map { asked + (interval ?? $0.life * 0.8) }.min()
    }

    /// Keeps tokens good, and files as the cluster has them, until the task is cancelled.
    ///
    /// What prevents it is told once, and tried again.
    func keepFresh(report: @Sendable (LoopEvent.Failure) -> Void) async {
        var current = self
        var backoff = Backoff(first: .seconds(1), limit: .seconds(60))
        var isTold = false
        while let due = current.renewal {
            // Nobody tells that a token has run out: only its age does.
            do { try await Task.sleep(until: due, clock: .continuous) } catch { return }
            while !Task.isCancelled {
                do {
                    current = try await current.refreshed()
                    isTold = false
                    backoff.reset()
                    break
                } catch {
                    if !isTold { report(HostEnvironment.failure(error)) }
                    isTold = true
                    // The cluster may be away for a while, as the machine may sleep.
                    do { try await Task.sleep(for: backoff.next()) } catch { return }
                }
            }
            if Task.isCancelled { return }
        }
    }

    private static func failure(_ error: any Error) -> LoopEvent.Failure {
        (error as? LoopFailure)?.failure
            ?? LoopEvent.Failure(
                "the process's token and files could not be renewed: \(error)", nextStep: "it is tried again")
    }

    /// The tokens that the volumes hold, and the one of the process itself, where it is the service account.
    ///
    /// A user's own process has no token of the pod for the cluster's API; those for others it needs as the pod does, and
    /// where they are refused that is told.
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

    private static func kubeconfig(
        _ request: Request, _ tokens: [TokenWish: String], in folder: String
    ) async throws -> String {
        guard request.identity == .serviceAccount, let token = tokens[TokenWish(audience: nil)] else {
            return try await PodIdentity.user(request.context, namespace: request.namespace, in: folder)
        }
        let path = "\(folder)/token"
        try ContentFolder.replace(try VolumeFile("token", Array(token.utf8), mode: 0o600), at: path)
        return try await PodIdentity.serviceAccount(
            request.context, namespace: request.namespace, tokenFile: path, in: folder)
    }
}
