internal import Synchronization

/// Which service of a session has which port of this machine.
final class HostPortClaims: Sendable {
    private let owners = Mutex<[UInt16: String]>([:])

    /// Takes a port for a service; the name of the one that has it already, else `nil`.
    func claim(_ port: UInt16, for service: String) -> String? {
        owners.withLock { owners in
            if let owner = owners[port], owner != service { return owner }
            owners[port] = service
            return nil
        }
    }
}
