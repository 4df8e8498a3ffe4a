internal import JSON

/// Brings workloads whose volumes nix-csi fills up to what was built.
struct VolumeFollower: Sendable {
    let client: KubeClient
    let namespace: String
    let system: String
    let emit: @Sendable (LoopEvent.Kind) -> Void

    /// Makes new pods of a workload where its volumes have new inputs.
    ///
    /// `deliver` is awaited before a volume is pointed at `output`; where there is none, none is. False when something has
    /// failed, which is reported.
    func follow(
        _ kind: WorkloadKind, _ name: String, namespace: String? = nil, inputs: String, output: String? = nil,
        deliver: (@Sendable () async throws -> Void)? = nil
    ) async -> Bool {
        let namespace = namespace ?? self.namespace
        let title = "\(kind.rawValue)/\(name)"
        do {
            let workload = try await client.get(kind.resource, name, namespace: namespace)
            let reaction = NixVolumes.reaction(
                of: workload, called: title, to: inputs, output: output, system: system, isDelivered: deliver != nil)
            for line in reaction.unreachable { emit(.failed(LoopEvent.Failure(line))) }
            if deliver != nil, NixVolumes.volumes(of: workload).isEmpty {
                emit(
                    .failed(
                        LoopEvent.Failure(
                            "\(title) has no volume of nix-csi that could be pointed at \(output ?? "a store path")",
                            nextStep: "without \"copyTo\" the closure goes into its containers")))
                return false
            }
            guard let patch = reaction.patch else { return reaction.unreachable.isEmpty }
            if reaction.isRepointed { try await deliver?() }
            _ = try await client.patch(kind.resource, name, namespace: namespace, as: .strategic, patch)
            emit(
                .notice(
                    reaction.isRepointed
                        ? "\(title): its volume is pointed at \(output ?? "")"
                        : "\(title): new pods, because the inputs of its volumes have changed"))
            return reaction.unreachable.isEmpty
        } catch let error as KubeError where error.isNotFound {
            return true
        } catch let failure as LoopFailure {
            emit(.failed(failure.failure))
        } catch is CancellationError {
            return true
        } catch {
            emit(.failed(LoopEvent.Failure("\(title): its volumes cannot be brought up to date: \(error)")))
        }
        return false
    }
}

/// The systems of a cluster's nodes, asked until the cluster has answered once.
actor NodeSystems {
    private let client: KubeClient
    private var known: Set<String>?

    init(_ client: KubeClient) { self.client = client }

    /// The architectures in Kubernetes' words; none where nobody may look at nodes.
    var architectures: Set<String> {
        get async {
            if let known { return known }
            // Not listed for once is not without nodes.
            guard let nodes = try? await client.list(.init(.nodes)).items else { return [] }
            let architectures = Set(nodes.map(\.nodePlatform.architecture))
            known = architectures
            return architectures
        }
    }
}
