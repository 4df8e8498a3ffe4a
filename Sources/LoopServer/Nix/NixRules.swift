internal import Watcher

/// Which rules that build with Nix a change on disk concerns: a pure function of `loop.json`.
struct NixRules: Sendable {
    /// One rule that builds with Nix.
    struct Entry: Sendable {
        let plan: ServicePlan
        /// The rule's number in its service.
        let rule: Int

        /// What the rule builds.
        var installable: Installable? {
            switch plan.service.rules[rule].action {
            case .closure(let closure): closure.installable
            case .deploy(let deployment): deployment.installable
            case .sync, .sideload, .image: nil
            }
        }
    }

    /// The rules in the order of the services, and of the file within each of them.
    let entries: [Entry]

    /// The rules of these services; without `deployments` only those that concern containers.
    init(_ plans: [ServicePlan], deployments: Bool = true) {
        entries = plans.flatMap { plan in
            plan.service.rules.indices.map { Entry(plan: plan, rule: $0) }.filter { entry in
                entry.installable != nil && (deployments || plan.service.rules[entry.rule].needsPods)
            }
        }
    }

    /// The rules that have to build again, by their numbers in `entries`.
    func entries(for changes: ChangeSet) -> [Int] {
        entries.indices.filter { number in
            let (plan, rule) = (entries[number].plan, entries[number].rule)
            return changes.paths.contains { plan.builder(of: $0) == rule }
                || changes.rescan.contains { subtree in
                    plan.service.rules[rule].watch.contains { glob in
                        let folder = plan.root.appending(glob.fixedPart.bytes)
                        return folder.isInside(subtree) || subtree.isInside(folder)
                    }
                }
        }
    }
}
