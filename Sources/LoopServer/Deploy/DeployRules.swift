internal import Watcher

/// Which deployments the rules of some services make, besides those that Nix builds, and which of them a change on disk
/// concerns: a pure function of `loop.json`.
struct DeployRules: Sendable {
    /// One deployment.
    struct Entry: Sendable {
        let plan: ServicePlan
        /// The numbers of the rules that make it: all rules with manifests are one set.
        let rules: [Int]
        /// The chart; `nil` for manifests.
        let release: HelmRelease?

        /// The service's name.
        var service: String { plan.service.name }

        /// What the rules say.
        var deployments: [Deployment] {
            rules.compactMap { rule in
                if case .deploy(let deployment) = plan.service.rules[rule].action { deployment } else { nil }
            }
        }
    }

    /// In the order of the services.
    let entries: [Entry]

    /// The deployments of these services, of a project in the folder `project`.
    init(_ services: [Service], project: String) {
        entries = services.flatMap { service -> [Entry] in
            let plan = ServicePlan(service, project: project)
            var files: [Int] = []
            var charts: [Entry] = []
            for (number, rule) in service.rules.enumerated() {
                guard case .deploy(let deployment) = rule.action else { continue }
                switch deployment.source {
                case .nix: break
                case .manifests, .kustomize: files.append(number)
                case .helm(let release): charts.append(Entry(plan: plan, rules: [number], release: release))
                }
            }
            return (files.isEmpty ? [] : [Entry(plan: plan, rules: files, release: nil)]) + charts
        }
    }

    /// The deployments that a change on disk concerns, by their numbers.
    func entries(for changes: ChangeSet) -> [Int] {
        entries.indices.filter { number in
            let (plan, rules) = (entries[number].plan, entries[number].rules)
            return changes.paths.contains { plan.builder(of: $0).map(rules.contains) ?? false }
                || changes.rescan.contains { subtree in
                    rules.flatMap { plan.service.rules[$0].watch }.contains { glob in
                        let folder = plan.root.appending(glob.fixedPart.bytes)
                        return folder.isInside(subtree) || subtree.isInside(folder)
                    }
                }
        }
    }
}
