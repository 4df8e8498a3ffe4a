internal import OCI
internal import Synchronization

/// The clients of a session's registries: each keeps its connections and logins.
final class Registries: Sendable {
    private let clients = Mutex<[String: Registry]>([:])
    let options: Registry.Options

    /// Clients with the logins and certificates of an environment, whose programs end with loopd.
    init(leash: String, environment: [String: String] = ProcessEnvironment.inherited) {
        options = Registry.Options(environment: environment, programs: LeashedPrograms(leash: leash))
    }

    /// The client of a registry by host and port; an empty name is the Hub.
    func client(_ host: String) -> Registry {
        clients.withLock { clients in
            if let known = clients[host] { return known }
            let new = Registry(host, options: options)
            clients[host] = new
            return new
        }
    }

    /// Does something with a registry; what fails is a `LoopFailure` about `what`.
    static func attempt<Result>(_ what: String, _ body: () async throws -> Result) async throws -> Result {
        do {
            return try await body()
        } catch let failure as RegistryFailure {
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "\(what): \(failure.summary)", details: failure.details, nextStep: failure.nextStep))
        } catch let problem as ContentProblem {
            throw LoopFailure(failure: LoopEvent.Failure("\(what): \(problem)"))
        } catch let problem as LayerProblem {
            throw LoopFailure(failure: LoopEvent.Failure("\(what): \(problem)"))
        }
    }
}
