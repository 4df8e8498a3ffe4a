/// The `dev` section: how a service runs while `watch` holds it.
///
/// Its container's process 1 is then loopd's helper, which starts, stops and restarts the service in place.
public struct DevMode: Equatable, Sendable {
    /// The program instead of the container's; `nil` leaves it as it is.
    public var command: [String]?
    /// The arguments instead of the container's; `nil` leaves them as they are, unless `command` replaces both.
    public var arguments: [String]?
    /// Variables on top of the container's own.
    public var environment: [String: String] = [:]
    /// The absolute working folder; `nil` leaves it as it is.
    public var workingDirectory: String?

    /// Dev mode with the container's own command.
    public init() {}
}
