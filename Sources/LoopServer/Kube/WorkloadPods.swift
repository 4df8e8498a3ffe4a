internal import JSON

/// Which pods are a workload's present revision: a pure function of what the API says.
enum WorkloadPods {
    /// The pods of the current revision, in order of name.
    ///
    /// A Deployment's are those of the ReplicaSet with its revision; a StatefulSet's and a DaemonSet's those with the hash
    /// of its newest revision. Ended and terminating pods stay in: the caller sees their state.
    ///
    /// - Parameter revisions: ReplicaSets of a Deployment, ControllerRevisions of the others; those of other owners are
    ///   skipped. `nil` where they cannot be seen: then every pod that some controller has made is taken.
    static func current(_ kind: WorkloadKind, _ workload: JSON, revisions: [JSON]?, pods: [PodState]) -> [PodState] {
        guard let uid = workload.at("metadata", "uid")?.string else { return [] }
        let owned = (revisions ?? []).filter { $0["metadata"]?.controllerUID == uid }
        let current: [PodState]
        switch kind {
        case .deployment where revisions == nil:
            current = pods.filter { $0.owner != nil }
        case .deployment:
            let revision = revisionNumber(workload)
            let set = owned.first { revisionNumber($0) == revision && revision != nil } ?? newest(owned, revisionNumber)
            let setUID = set?.at("metadata", "uid")?.string
            current = pods.filter { $0.owner != nil && $0.owner == setUID }
        case .pod: current = pods.filter { $0.uid == uid }
        case .job: current = pods.filter { $0.owner == uid }
        case .statefulset, .daemonset:
            let mine = pods.filter { $0.owner == uid }
            let hash = newestHash(workload, owned)
            current = hash.map { hash in mine.filter { $0.labels["controller-revision-hash"] == hash } } ?? mine
        }
        return current.sorted { $0.name < $1.name }
    }

    /// The ReplicaSet of a Deployment's present revision; `nil` where it is not there or cannot be seen.
    static func revision(_ workload: JSON, _ revisions: [JSON]) -> WorkloadRevision? {
        guard let uid = workload.at("metadata", "uid")?.string, let number = revisionNumber(workload) else {
            return nil
        }
        let set = revisions.first { $0["metadata"]?.controllerUID == uid && revisionNumber($0) == number }
        guard let name = set?.at("metadata", "name")?.string, let id = set?.at("metadata", "uid")?.string else {
            return nil
        }
        return WorkloadRevision(name: name, uid: id)
    }

    /// The workload's pods that are not of the current revision, in order of name.
    static func outdated(_ workload: JSON, revisions: [JSON]?, pods: [PodState], current: [PodState]) -> [PodState] {
        guard let uid = workload.at("metadata", "uid")?.string else { return [] }
        let owned = (revisions ?? []).filter { $0["metadata"]?.controllerUID == uid }
        let owners = Set(owned.compactMap { $0.at("metadata", "uid")?.string } + [uid])
        let newest = Set(current.map(\.uid))
        return pods.filter { $0.owner.map(owners.contains) == true && !newest.contains($0.uid) }.sorted {
            $0.name < $1.name
        }
    }

    /// The ControllerRevision of a StatefulSet's or DaemonSet's present template; `nil` where it is not among them.
    static func newestRevision(_ workload: JSON, _ revisions: [JSON]) -> JSON? {
        let uid = workload.at("metadata", "uid")?.string
        let owned = revisions.filter { uid != nil && $0["metadata"]?.controllerUID == uid }
        if let update = workload.at("status", "updateRevision")?.string, !update.isEmpty {
            return owned.first { $0.at("metadata", "name")?.string == update }
        }
        return newest(owned) { $0["revision"]?.integer.map { Int($0) } }
    }

    private static func revisionNumber(_ object: JSON) -> Int? {
        object["metadata"]?.strings("annotations")["deployment.kubernetes.io/revision"].flatMap { Int($0) }
    }

    private static func newest(_ objects: [JSON], _ number: (JSON) -> Int?) -> JSON? {
        objects.max { number($0) ?? 0 < number($1) ?? 0 }
    }

    /// The value of `controller-revision-hash` on the pods of the newest revision; `nil` where nothing tells it.
    private static func newestHash(_ workload: JSON, _ revisions: [JSON]) -> String? {
        if let update = workload.at("status", "updateRevision")?.string, !update.isEmpty {
            // A StatefulSet's pods carry the whole name of the revision.
            return update
        }
        let latest = newest(revisions) { $0["revision"]?.integer.map { Int($0) } }
        return latest?["metadata"]?.strings("labels")["controller-revision-hash"]
    }
}

extension JSON {
    /// A workload's or ReplicaSet's own selector in the API's syntax, from its spec.
    var selectorText: String {
        let selector = at("spec", "selector") ?? .null
        var terms = selector.strings("matchLabels").sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        for expression in selector["matchExpressions"]?.array ?? [] {
            let key = expression["key"]?.string ?? ""
            let values = (expression["values"]?.array ?? []).compactMap(\.string).joined(separator: ",")
            switch expression["operator"]?.string {
            case "In": terms.append("\(key) in (\(values))")
            case "NotIn": terms.append("\(key) notin (\(values))")
            case "Exists": terms.append(key)
            case "DoesNotExist": terms.append("!\(key)")
            default: break
            }
        }
        return terms.joined(separator: ",")
    }
}
