internal import Glibc
internal import JSON
internal import Reactor

/// A container that runc could not start, as containerd words it.
struct StartError: Error, CustomStringConvertible {
    let description: String

    init(_ error: RuncError) {
        // `runc run` and containerd's `runc create` differ in one word only.
        let cause = error.message.replacing("runc run failed", with: "runc create failed")
        description =
            "failed to create containerd task: failed to create shim task: OCI runtime create failed: \(cause)"
    }
}

/// Starts one container of a pod: root folder, runtime configuration, pipes, process.
struct ContainerStarter: Sendable {
    let context: NodeContext
    let pod: JSON
    let volumes: Volumes

    struct Prepared: Sendable {
        let id: String
        let spec: RuntimeSpec
        let identity: Identity
        let stopSignal: Int32
        let keepsInput: Bool
    }

    private var uid: String { pod.at("metadata", "uid")?.string ?? "" }

    /// Everything short of the start; what fails here is the pod's configuration.
    func prepare(
        _ container: JSON, _ image: Image, pidNamespaceOf target: Int32?
    ) async throws -> Prepared {
        try refuseUnsupported(container)
        let id = Identifier.random(bytes: 32)
        let folder = context.layout.container(id)
        let references = context.references(of: pod)
        let own = try await Environment.variables(of: container, references)
        try Disk.makeDirectory(folder, mode: 0o711)
        do {
            let root = try await context.images.rootFilesystem(of: image, in: folder)
            let resolver = IdentityResolver(
                passwd: image.isHost ? Disk.text("/etc/passwd") : nil,
                group: image.isHost ? Disk.text("/etc/group") : nil)
            let identity = try (image.isHost ? resolver : IdentityResolver(root: root.path))
                .identity(of: container, in: pod, imageUser: image.configuration.user)
            if let rootless = context.rootless, identity.user != 0 {
                throw ConfigurationError(
                    "user \(identity.user) needs a playground that runs as root: without it, containers can only be user "
                        + "0, which is user \(rootless.user) outside")
            }
            let hostname = hostname
            let variables = Environment.merged(image: image.configuration.environment, pod: own, hostname: hostname)
            let arguments = image.configuration.arguments(
                command: strings(container["command"], with: own), args: strings(container["args"], with: own))
            guard !arguments.isEmpty else {
                throw CreateError(
                    "failed to generate container \"\(id)\" spec: failed to generate spec: no command specified")
            }
            let podFiles = try PodFiles(
                layout: context.layout, pod: pod, hostname: hostname, hasOwnNetwork: context.network(of: pod) != nil
            ).write()
            let isReadOnly = container.at("securityContext", "readOnlyRootFilesystem")?.bool == true
            var mounts = root.mounts
            mounts += podFiles.map { .bind($0.source, at: $0.target, readOnly: isReadOnly) }
            mounts.append(try terminationLog(of: container, in: folder))
            mounts += try VolumeMounts.mounts(of: container, volumes, variables: own)
            let directory = container["workingDir"]?.string ?? image.configuration.directory
            let spec = RuntimeSpec(
                arguments: arguments, environment: variables, directory: directory.isEmpty ? "/" : directory,
                identity: identity, capabilities: Capabilities.of(container),
                noNewPrivileges: container.at("securityContext", "allowPrivilegeEscalation")?.bool == false,
                terminal: false, hostname: usesHostNames ? nil : hostname, rootPath: root.path,
                isRootReadOnly: isReadOnly, readOnlyPaths: isReadOnly ? root.readOnlyPaths : [], mounts: mounts,
                cgroup: "\(context.layout.cgroup)/\(id)", resources: resources(of: container),
                pidNamespaceOf: target,
                network: context.network(of: pod).map { _ in context.layout.network(ofPod: uid) },
                rootless: context.rootless)
            try Disk.write(spec.config.bytes, to: "\(folder)/config.json", mode: 0o600)
            return Prepared(
                id: id, spec: spec, identity: identity, stopSignal: signal(image.configuration.stopSignal),
                keepsInput: container["stdin"]?.bool == true)
        } catch {
            discard(id)
            throw error
        }
    }

    /// Starts what was prepared.
    func start(_ prepared: Prepared, name: String, attempt: Int) async throws -> ContainerRun {
        let folder = context.layout.container(prepared.id)
        let log = try ContainerLog(context.layout.log(ofContainer: name, inPod: uid, attempt: attempt))
        do {
            try LogPump.makePipes(in: folder)
            let output = try LogPump.openForContainer(.stdout, in: folder)
            let error = try LogPump.openForContainer(.stderr, in: folder)
            let pump = try LogPump(from: folder, into: log)
            let input = try LogPump.openInput(in: folder, isKept: prepared.keepsInput)
            let pid = try await context.runc.run(
                prepared.id, input: .descriptor(input.raw), output: .descriptor(output.raw),
                error: .descriptor(error.raw))
            guard let process = ContainerProcess(pid: pid) else { throw SystemError.last("pidfd_open \(pid)") }
            return ContainerRun(
                id: prepared.id, process: process, log: log, pump: pump, template: prepared.spec.process,
                stopSignal: prepared.stopSignal, startedAt: .now)
        } catch {
            log.end()
            await context.runc.delete(prepared.id)
            discard(prepared.id)
            if let error = error as? RuncError { throw StartError(error) }
            throw error
        }
    }

    /// Removes a container's folder with all that is mounted there.
    func discard(_ id: String) {
        let folder = context.layout.container(id)
        Mounts.removeAll(below: folder)
        // Under another name first: an exec that comes too late must not put its files there meanwhile.
        let gone = folder + ".gone"
        Disk.removeTree(rename(folder, gone) == 0 ? gone : folder)
    }

    private var usesHostNames: Bool { pod.at("spec", "hostNetwork")?.bool == true }

    private var hostname: String {
        if usesHostNames { return context.name }
        return String((pod.at("spec", "hostname")?.string ?? pod.at("metadata", "name")?.string ?? "pod").prefix(63))
    }

    private func refuseUnsupported(_ container: JSON) throws {
        func refuse(_ what: String) -> ConfigurationError {
            ConfigurationError("\(what) is not supported by the playground")
        }
        if container.at("securityContext", "privileged")?.bool == true { throw refuse("securityContext.privileged") }
        for key in ["shareProcessNamespace", "hostPID", "hostIPC"] where pod.at("spec", key)?.bool == true {
            throw refuse("\(key): true")
        }
        for key in ["startupProbe", "readinessProbe", "livenessProbe"] {
            if container.at(key, "grpc") != nil { throw refuse("\(key).grpc") }
            if container.at(key, "httpGet", "scheme")?.string == "HTTPS" { throw refuse("\(key).httpGet.scheme HTTPS") }
        }
        if container["volumeDevices"]?.array?.isEmpty == false { throw refuse("volumeDevices") }
    }

    private func strings(_ list: JSON?, with variables: Environment.Variables) -> [String]? {
        list?.array?.compactMap(\.string).map { Environment.expand($0, with: variables) }
    }

    private func terminationLog(of container: JSON, in folder: String) throws -> RuntimeSpec.Mount {
        let path = "\(folder)/termination-log"
        try Disk.write([], to: path, mode: 0o666)
        let target = container["terminationMessagePath"]?.string ?? "/dev/termination-log"
        return .bind(path, at: target, readOnly: false)
    }

    /// What the kernel enforces, as far as the machine has the controllers.
    private func resources(of container: JSON) -> JSON {
        guard context.rootless == nil else { return [:] }
        var resources: JSON = ["devices": [["allow": false, "access": "rwm"]]]
        func quantity(_ kind: String, _ name: String) -> Quantity? {
            container.at("resources", kind, name)?.string.flatMap(Quantity.init)
        }
        if context.cgroups.hasMemory, let limit = quantity("limits", "memory") {
            resources["memory"] = ["limit": .integer(limit.units)]
        }
        if context.cgroups.hasCPU {
            var cpu: JSON = [:]
            if let request = quantity("requests", "cpu") ?? quantity("limits", "cpu") {
                cpu["shares"] = .integer(max(2, min(request.milli, 256_000) * 1024 / 1000))
            }
            if let limit = quantity("limits", "cpu") {
                cpu["period"] = 100_000
                cpu["quota"] = .integer(max(1000, min(limit.milli, 1 << 40) * 100))
            }
            resources["cpu"] = cpu
        }
        return resources
    }

    private func signal(_ name: String) -> Int32 {
        let known: [String: Int32] = [
            "SIGHUP": SIGHUP, "SIGINT": SIGINT, "SIGQUIT": SIGQUIT, "SIGKILL": SIGKILL, "SIGUSR1": SIGUSR1,
            "SIGUSR2": SIGUSR2, "SIGTERM": SIGTERM, "SIGWINCH": SIGWINCH,
        ]
        return known[name] ?? Int32(name) ?? SIGTERM
    }
}

/// A container that could not be created, for another reason than its configuration (`CreateContainerError`).
struct CreateError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
