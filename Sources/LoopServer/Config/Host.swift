public import Watcher

/// The `host` section: how a service runs on this machine instead of in its pods.
public struct Host: Equatable, Sendable {
    /// The program and its arguments, without a shell; empty where only the command line names one.
    public var command: [String]
    /// The absolute folder that it runs in.
    public var directory: String
    /// The name of the build that has to succeed first.
    public var build: String?
    /// Patterns, relative to the service's root, of files whose change restarts it.
    public var watch: [Glob] = []
    /// Variables on top of the container's own.
    public var environment: [String: String] = [:]
    /// The container's ports that are carried here; `nil` is every TCP port that the container declares.
    public var ports: [HostPort]?
    /// What it needs of the cluster and reaches by a port on loopback.
    public var needs: [Dependency] = []
    /// Who it is to the cluster's API.
    public var identity = Identity.user
    /// Which pods hand their connections over.
    public var replicas = Replicas.all
    /// Who answers while the process is down.
    public var fallback = Fallback.wait
    /// How long a connection waits for the process.
    public var patience: Duration = .seconds(10)
    /// How long the process may take to end by itself after SIGTERM.
    public var grace: Duration = .seconds(5)
    /// The program and its arguments with `--debug`; `nil` where a known runtime is told by its variables.
    public var debugCommand: [String]?

    /// A program in a folder.
    public init(command: [String], directory: String) {
        self.command = command
        self.directory = directory
    }

    /// Who the process is to the cluster's API.
    public enum Identity: String, CaseIterable, Sendable {
        /// Whoever loopd is: the project's context.
        case user
        /// The pod's service account, with the pod's rights.
        case serviceAccount
    }

    /// Which pods hand their connections over.
    public enum Replicas: String, CaseIterable, Sendable {
        case all
        case one
    }

    /// Who answers while the process is down.
    public enum Fallback: String, CaseIterable, Sendable {
        /// Nobody: connections wait, up to a limit.
        case wait
        /// The pod's own service.
        case pod
    }
}

/// A port of the container, and where the process listens for it.
public struct HostPort: Hashable, Sendable {
    /// The port in the pod.
    public var container: UInt16
    /// The port on this machine.
    public var host: UInt16

    /// A pair of ports.
    public init(container: UInt16, host: UInt16) {
        self.container = container
        self.host = host
    }
}

/// Something in the cluster that a process on this machine needs: a name, as pods know it, and a port.
public struct Dependency: Hashable, Sendable, CustomStringConvertible {
    /// A Service's name, perhaps with its namespace and the cluster's domain, or a pod's, or an address.
    public var name: String
    /// The port there.
    public var port: UInt16

    /// A name and a port.
    public init(name: String, port: UInt16) {
        self.name = name
        self.port = port
    }

    /// As it is written: `postgres:5432`.
    public var description: String { "\(name):\(port)" }
}

/// A port of this machine that leads to a port of a service's pods.
public struct Forward: Hashable, Sendable, CustomStringConvertible {
    /// The port on loopback; 0 lets the kernel choose.
    public var local: UInt16
    /// The port in the pod.
    public var remote: UInt16

    /// A pair of ports.
    public init(local: UInt16, remote: UInt16) {
        self.local = local
        self.remote = remote
    }

    /// As it is written: `8080:80`.
    public var description: String { "\(local):\(remote)" }
}
