/// Which services a run has on this machine, and what the command line says about them.
public struct HostChoice: Equatable, Sendable {
    /// Names of services.
    public var services: [String] = []
    /// The program and its arguments instead of the file's; of one service only.
    public var command: [String] = []
    /// Instead of the file's.
    public var replicas: Host.Replicas?
    /// Instead of the file's.
    public var fallback: Host.Fallback?
    /// Whether the program waits for a debugger.
    public var debug = false
    /// Whether the run is over when a program has ended that no change would start again.
    public var endsWithProgram = false
    /// Whether what is typed at the terminal is the program's.
    public var takesInput = false

    /// No service.
    public init() {}

    /// Why a service cannot run on this machine, in one line, and what to do.
    public struct Refusal: Error, Equatable, Sendable {
        /// What is wrong.
        public let message: String
        /// What to do about it.
        public let hint: String
    }
}

extension Configuration {
    /// The configuration with the chosen services on this machine: nothing is brought into their containers, and their workloads are in dev mode.
    ///
    /// - Parameter running: the names of the services that the run is about; empty is all of them.
    public func hosting(_ choice: HostChoice, running: [String] = []) throws(HostChoice.Refusal) -> Configuration {
        var result = self
        for index in services.indices where choice.services.contains(services[index].name) {
            try result.services[index].moveToHost(choice)
        }
        for service in result.services where service.isOnHost && service.target != nil {
            let other = result.services.first { other in
                other.name != service.name && other.dev != nil && other.target == service.target
                    && (running.isEmpty || running.contains(other.name))
            }
            if let other {
                throw HostChoice.Refusal(
                    message:
                        "services \"\(service.name)\" and \"\(other.name)\" are containers of one workload, which has"
                        + " one in dev mode",
                    hint: "loopd run \(service.name): the other one's container stays as it is then")
            }
        }
        return result
    }
}

extension Service {
    fileprivate mutating func moveToHost(_ choice: HostChoice) throws(HostChoice.Refusal) {
        if host == nil, !choice.command.isEmpty { host = Host(command: [], directory: root) }
        guard var host else {
            throw HostChoice.Refusal(
                message: "\"\(name)\" has no \"host\" in loop.json, which says how it runs on this machine",
                hint: "say it there, or here: loopd run \(name) -- PROGRAM ARGUMENT…")
        }
        switch target {
        case .selector:
            throw HostChoice.Refusal(
                message:
                    "\"\(name)\" has a selector: its pods belong to no workload that loopd could bring into dev mode",
                hint: "give it a \"workload\"")
        case .workload(let kind, _) where !kind.rollsOut:
            throw HostChoice.Refusal(
                message: "\"\(name)\" is a \(kind.rawValue): what it runs cannot be changed while it is there",
                hint: "a Deployment of the same pod template can run on this machine")
        case .workload: dev = dev ?? DevMode()
        case nil: dev = nil
        }
        if !choice.command.isEmpty {
            host.command = choice.command
            host.debugCommand = nil
        }
        host.replicas = choice.replicas ?? host.replicas
        host.fallback = choice.fallback ?? host.fallback
        self.host = host
        isOnHost = true
        // What brings it to the cluster stays; its files are for the program here.
        rules = rules.filter { $0.deployment != nil || $0.image != nil }
    }
}
