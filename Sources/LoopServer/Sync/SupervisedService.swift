internal import Glibc
internal import Wire

/// The process of a container in dev mode, which the helper's supervisor has started.
///
/// A call throws `LinkError.refused` when only that request failed; any other error means that the way is lost, and nobody
/// knows whether it was done.
protocol SupervisedService: Sendable {
    /// Tells how the service is, at once and at every change, until the task is cancelled or the way is lost.
    ///
    /// As long as somebody follows, the service's end is not the container's.
    func follow(_ each: (ServiceState) -> Void) async throws
    /// Ends the service, which gets `grace` for it, and starts it again; returns when the new program runs.
    func restart(grace: Duration) async throws -> ServiceState
    /// Sends the service's main process a signal.
    func signal(_ number: Int32) async throws
}

/// A service whose supervisor is reached through a helper.
struct LinkedService: SupervisedService {
    let link: HelperLink
    /// How often the helper hears that somebody still follows: after two that it missed, the service is handed back.
    let heartbeat: UInt16

    func follow(_ each: (ServiceState) -> Void) async throws {
        try await asking { try await link.follow(heartbeat: heartbeat, each) }
    }

    func restart(grace: Duration) async throws -> ServiceState {
        try await asking { try await link.restart(grace: grace) }
    }

    func signal(_ number: Int32) async throws {
        try await asking { try await link.signalService(number) }
    }

    /// A supervisor that ended took the answer with it: that is a lost way, not a refusal.
    private func asking<Result>(_ body: () async throws -> Result) async throws -> Result {
        do {
            return try await body()
        } catch LinkError.refused(let failure) where failure.code == ECONNRESET {
            throw LinkError.disconnected(String(decoding: failure.text, as: UTF8.self))
        }
    }
}
