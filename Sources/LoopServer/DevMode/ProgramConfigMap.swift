internal import HTTP
internal import JSON

/// The helper's program in the cluster: a ConfigMap of each namespace that pods in dev mode mount.
struct ProgramConfigMap: Sendable {
    /// What a ConfigMap holds at most, in bytes.
    private static let limit = 1 << 20
    private static let prefix = "loopd-helper-"

    let client: KubeClient
    let namespace: String

    /// The name for a program: another program has another name.
    static func name(of program: HelperProgram) -> String { prefix + program.digest.hex.prefix(16) }

    /// Whether a ConfigMap of this name is one of loopd's.
    static func isName(_ name: String) -> Bool { name.hasPrefix(prefix) }

    /// Makes sure that it is there.
    func ensure(_ program: HelperProgram) async throws {
        let name = ProgramConfigMap.name(of: program)
        guard program.bytes.count <= ProgramConfigMap.limit else {
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "dev mode: the helper has \(program.bytes.count) bytes, a ConfigMap holds \(ProgramConfigMap.limit)",
                    nextStep: "use a release build of loopd"))
        }
        if (try? await client.get(.configMaps, name, namespace: namespace)) != nil { return }
        let object: JSON = [
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": ["name": .string(name), "labels": ["app.kubernetes.io/managed-by": "loopd"]],
            "immutable": true, "binaryData": [DevTemplate.key: .string(Base64.encode(program.bytes))],
        ]
        do {
            _ = try await client.create(.configMaps, namespace: namespace, object)
        } catch let error as KubeError where error.isConflict {
            // Another loopd, or another service of this one, was faster.
        }
    }

    /// Deletes those of them that no workload of the namespace is in dev mode with.
    func removeUnused(_ names: Set<String>) async throws {
        var workloads: [JSON] = []
        for kind in WorkloadKind.rolling {
            workloads += try await client.list(.init(kind.resource, namespace: namespace)).items
        }
        for name in names where !workloads.contains(where: { ProgramConfigMap.uses($0, name) }) {
            do {
                try await client.delete(.configMaps, name, namespace: namespace)
            } catch let error as KubeError where error.isNotFound {
                // Another loopd has looked at the same moment.
            }
        }
    }

    private static func uses(_ workload: JSON, _ name: String) -> Bool {
        let volumes = workload.at("spec", "template", "spec", "volumes")?.array ?? []
        return volumes.contains { $0.at("configMap", "name")?.string == name }
    }
}
