internal import Glibc
internal import JSON
internal import OCI
internal import Reactor

extension RegistryDiscovery.Surroundings {
    /// The cluster and this machine.
    ///
    /// - Parameters:
    ///   - configured: the `registry` of `loop.json`.
    ///   - playground: the playground's registry; `nil` on another cluster.
    static func live(
        configured: RegistryNames?, playground: String?, _ connection: ClusterConnection
    ) -> RegistryDiscovery.Surroundings {
        let (client, leash, registries) = (connection.client, connection.leash, connection.registries)
        let search = getenv("PATH").map { String(cString: $0) } ?? "/usr/local/bin:/usr/bin:/bin"
        return RegistryDiscovery.Surroundings(
            configured: configured, playground: playground, context: connection.context.name,
            server: connection.context.server, isInPod: getenv("KUBERNETES_SERVICE_HOST") != nil,
            hosting: {
                let configMap = try? await client.get(
                    .configMaps, LocalRegistryHosting.name, namespace: LocalRegistryHosting.namespace)
                return configMap.flatMap { LocalRegistryHosting(configMap: $0) }
            },
            nodes: { await client.clusterNodes() },
            hasProgram: { name in
                let found = try? await offPool {
                    search.split(separator: ":").contains { access("\($0)/\(name)", X_OK) == 0 }
                }
                return found ?? false
            },
            hasFile: { path in (try? await offPool { access(path, F_OK) == 0 }) ?? false },
            output: { command in
                let output = try? await KubeClient.within(.seconds(10), command.joined(separator: " ")) {
                    try await Leashed.run(command, leash: leash)
                }
                return output.flatMap { $0.status.isSuccess ? $0.text : nil }
            },
            complaint: { host in
                do {
                    _ = try await registries.client(host).head("latest", in: "loopd")
                    return nil
                } catch let failure as RegistryFailure {
                    // Whoever wants a login is there.
                    switch failure.kind {
                    case .unreachable, .untrusted, .failing, .protocolError: return failure.summary
                    default: return nil
                    }
                } catch {
                    return "\(error)"
                }
            })
    }
}
