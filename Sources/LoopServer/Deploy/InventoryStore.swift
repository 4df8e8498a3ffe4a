internal import JSON

/// The ConfigMap of one inventory, and those beside it.
struct InventoryStore: Sendable {
    /// One of the inventories of a namespace.
    struct Entry: Sendable {
        let project: String?
        let service: String
        let inventory: Inventory
    }

    let client: KubeClient
    let namespace: String
    let service: String
    /// The project of the service.
    let project: String
    let part: Inventory.Part

    /// The ConfigMap's name.
    var name: String { Inventory.name(of: service, part) }

    /// The inventory; `nil` where there is none.
    ///
    /// Throws `LoopFailure` where it is another project's.
    func read() async throws -> Inventory? {
        do {
            let map = try await client.get(.configMaps, name, namespace: namespace)
            try ProjectLabel.check(map, of: service, in: project)
            return Inventory(configMap: map)
        } catch let error as KubeError where error.isNotFound {
            return nil
        }
    }

    /// Keeps an inventory.
    func write(_ inventory: Inventory) async throws {
        _ = try await client.apply(
            .configMaps, name, namespace: namespace,
            inventory.configMap(named: name, of: service, in: project, namespace: namespace),
            manager: ManifestApply.manager, force: true)
    }

    /// Keeps an inventory.
    ///
    /// Throws `LoopFailure` where it cannot.
    func require(_ inventory: Inventory) async throws { try await requiring { try await write(inventory) } }

    /// Adds a release, beside those that are added at the same time.
    ///
    /// Throws `LoopFailure` where it cannot.
    func add(release: String) async throws {
        guard try await read()?.holds(.release(release)) != true else { return }
        let data: JSON = [Inventory.releasePrefix + release: "made"]
        let patch = { try await client.patch(.configMaps, name, namespace: namespace, as: .merge, ["data": data]) }
        try await requiring {
            do {
                _ = try await patch()
            } catch let error as KubeError where error.isNotFound {
                var map = Inventory([]).configMap(named: name, of: service, in: project, namespace: namespace)
                map["data"] = data
                do {
                    _ = try await client.create(.configMaps, namespace: namespace, map)
                } catch let error as KubeError where error.isConflict {
                    _ = try await patch()
                }
            }
        }
    }

    private func requiring(_ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch let error as KubeError {
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "configmap/\(name) cannot be written: \(error.message)",
                    nextStep: "loopd keeps in it what it has applied, to delete what leaves the set"))
        }
    }

    /// Every inventory of a namespace, whichever project's it is.
    static func all(_ client: KubeClient, namespace: String) async throws -> [Entry] {
        let scope = KubeClient.Scope(
            .configMaps, namespace: namespace, labels: "\(ClusterConnection.ownLabel)=loopd,\(Inventory.service)")
        return try await client.list(scope).items.compactMap { map in
            let labels = (map["metadata"] ?? .null).strings("labels")
            guard let service = labels[Inventory.service],
                map.at("metadata", "name")?.string?.hasPrefix(Inventory.prefix) == true
            else { return nil }
            return Entry(project: labels[ProjectLabel.key], service: service, inventory: Inventory(configMap: map))
        }
    }

    /// The services of a project that something was deployed for and that are not among `services`, by their names.
    static func removedServices(
        of project: String, beside services: [Service], _ client: KubeClient, namespace: String
    ) async throws -> [String] {
        let known = Set(services.map(\.name))
        let entries = try await all(client, namespace: namespace).filter { entry in
            entry.project == project && !known.contains(entry.service) && !entry.inventory.objects.isEmpty
        }
        return Set(entries.map(\.service)).sorted()
    }
}
