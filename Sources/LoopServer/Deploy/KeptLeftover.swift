/// An object that has left the manifests, and stays in the cluster nevertheless.
struct KeptLeftover: Hashable, Sendable, CustomStringConvertible {
    /// Why it stays.
    enum Reason: Hashable, Sendable {
        /// Somebody else applies it by now.
        case foreign
        /// With the definition of a kind goes every object of it.
        case definition
        /// It was there before loopd first applied it.
        case found
        /// There is data in it, and nobody is asked.
        case data
        /// A namespace with something in it that does not go: what.
        case occupied(String)
        /// The set may not be all of it: why.
        case doubt(String)

        /// `nil` for an object that goes.
        init?(_ reference: ObjectReference, isOurs: Bool, isFound: Bool, prunesData: Bool, doubt: String?) {
            if !isOurs {
                self = .foreign
            } else if let doubt {
                self = .doubt(doubt)
            } else if reference.kind == CustomDefinitions.kind {
                self = .definition
            } else if isFound {
                self = .found
            } else if !prunesData, Reason.holders.contains(reference.kind) {
                self = .data
            } else {
                return nil
            }
        }

        private static let holders = ["Namespace", "PersistentVolume", "PersistentVolumeClaim"]
    }

    let reference: ObjectReference
    let reason: Reason

    /// Whether loopd keeps it in its list: it may go later.
    var isRemembered: Bool {
        switch reason {
        case .data, .occupied, .doubt: true
        case .foreign, .definition, .found: false
        }
    }

    /// For people.
    var description: String {
        switch reason {
        case .foreign: "\(reference) has left the manifests and stays: loopd does not apply it any more"
        case .definition:
            "\(reference) has left the manifests and stays: every object of its kind would go with it"
        case .found: "\(reference) has left the manifests and stays: it was there before"
        case .data: "\(reference) has left the manifests and stays, with its data: `loopd deploy` asks and deletes it"
        case .occupied(let obstacle): "\(reference) has left the manifests and stays: \(obstacle)"
        case .doubt(let why): "nothing is deleted: \(why); `loopd undeploy` removes all of it"
        }
    }
}

extension ManifestApply {
    /// What is in a namespace that has left the set and does not go with what has left it before; `nil` where nothing is.
    func obstacle(to leftover: ObjectReference, _ plan: Plan) async throws -> String? {
        guard leftover.kind == "Namespace" else { return nil }
        if let object = plan.references.first(where: { $0.namespace == leftover.name }) {
            return "\(object) of the manifests is in it"
        }
        return try await NamespaceContents(
            client: client, namespace: leftover.name, going: plan.leftovers, releases: [], lists: []
        ).obstacle()
    }
}
