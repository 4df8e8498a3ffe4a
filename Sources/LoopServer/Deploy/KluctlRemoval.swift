internal import JSON
internal import Reactor

/// What kluctl has deployed for a service, and how it goes: kluctl finds it by the discriminator, which is on each object.
struct KluctlRemoval: Sendable {
    /// What goes.
    let references: [ObjectReference]
    private let kluctl: KluctlCommand
    /// `nil` where a discriminator alone says enough.
    private let project: String?
    private let choice: Deployment.Kluctl?

    /// What was found for a service.
    enum Finding: Sendable {
        case nothing
        case removal(KluctlRemoval)
        /// Something may stay; why, for people.
        case kept(String)
    }

    /// Whether kluctl deploys a service, as far as that can be told without a build.
    static func isPossible(for service: Service) -> Bool { place(of: service) != nil }

    /// Where the project of a service is.
    private enum Place {
        case folder(String)
        /// Nix builds it.
        case built(Deployment.Kluctl)
    }

    private static func place(of service: Service) -> Place? {
        let deployments = service.rules.compactMap(\.deployment)
        if let built = deployments.lazy.compactMap(\.kluctl).first { return .built(built) }
        return ManifestSources(deployments, project: "").kluctlProject.map(Place.folder)
    }

    /// Looks for what goes; `isApplied` says that loopd itself has applied the service, as it does where there is no kluctl.
    ///
    /// Throws `LoopFailure`.
    static func find(
        for service: Service, _ connection: ClusterConnection, isApplied: Bool
    ) async throws -> Finding {
        guard let place = place(of: service) else { return .nothing }
        let stays = "what kluctl has deployed for \(service.name) stays"
        guard let kluctl = KluctlCommand.find(for: connection.context) else {
            if isApplied { return .nothing }
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "kluctl deploys \(service.name), and there is no kluctl in PATH",
                    nextStep: "install it (https://kluctl.io)"))
        }
        var removal: KluctlRemoval
        switch place {
        case .folder(let folder):
            removal = KluctlRemoval(references: [], kluctl: kluctl, project: folder, choice: nil)
        case .built(.discriminator(let name)):
            removal = KluctlRemoval(references: [], kluctl: kluctl, project: nil, choice: .discriminator(name))
        case .built(.target(let name)):
            return .kept(
                "\(stays): nothing is built to be removed; `kluctl delete --context \(kluctl.context) -t \(name)` "
                    + "in what Nix builds removes it")
        }
        let output = try await removal.run(dryRun: true, connection.leash)
        let printed = output.errorText + output.text
        guard output.status.isSuccess else {
            if printed.contains("without a discriminator") {
                return .kept("\(stays): its project has no discriminator, by which kluctl would find it")
            }
            throw KluctlCommand.failure(of: "delete", output)
        }
        removal = KluctlRemoval(
            references: references(in: printed), kluctl: kluctl, project: removal.project, choice: removal.choice)
        return removal.references.isEmpty ? .nothing : .removal(removal)
    }

    /// What goes, in one line.
    var line: String {
        // It may be anywhere in the cluster.
        let objects = references.map { object in "\(object)\(object.namespace.map { " in \($0)" } ?? "")" }
        return "- \(name)  with \(objects.joined(separator: ", "))"
    }

    /// As it is called once it is gone.
    var name: String { "kluctl project" }

    /// Deletes it, and waits until it is gone.
    ///
    /// Throws `LoopFailure`, also after `limit`.
    func carryOut(_ connection: ClusterConnection, limit: Duration) async throws {
        let late = LoopFailure(
            failure: LoopEvent.Failure(
                "kluctl still deletes \(references.map(\.description).joined(separator: ", "))",
                nextStep: "`loopd undeploy` begins again"))
        let output = try await atMost(limit, otherwise: late) { try await run(dryRun: false, connection.leash) }
        guard output.status.isSuccess else { throw KluctlCommand.failure(of: "delete", output) }
    }

    private func run(dryRun: Bool, _ leash: String) async throws -> Output {
        let scratch = try SocketDirectory.create()
        defer { scratch.remove() }
        if project == nil {
            // kluctl wants a project, of which it takes nothing where the discriminator is given.
            let file = "\(scratch.path)/deployment.yaml"
            guard PrivateFile.write(Array("deployments: []\n".utf8), to: file) != nil else {
                throw SystemError.last("write \(file)")
            }
        }
        let command = kluctl.delete(project ?? scratch.path, choice, dryRun: dryRun)
        return try await Leashed.run(command, environment: kluctl.environment, leash: leash)
    }

    /// The objects that kluctl says it would delete: `NAMESPACE/KIND/NAME`, or `KIND/NAME`.
    static func references(in printed: String) -> [ObjectReference] {
        let lines = printed.split(separator: "\n", omittingEmptySubsequences: false)
        let after = lines.drop { !$0.contains("objects will be deleted:") }.dropFirst()
        return after.prefix { $0.hasPrefix("  ") }.compactMap { line in
            let words = line.dropFirst(2).split(separator: "/").map(String.init)
            guard words.count == 2 || words.count == 3 else { return nil }
            return ObjectReference(
                apiVersion: "", kind: words[words.count - 2], namespace: words.count == 3 ? words[0] : nil,
                name: words[words.count - 1])
        }
    }
}
