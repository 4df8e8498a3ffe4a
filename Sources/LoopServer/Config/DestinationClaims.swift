internal import JSON

/// A folder in a container that a service's rule writes into.
struct DestinationClaim {
    let service: Service
    let sync: Sync
    /// The value of `to`.
    let node: ConfigurationReader.Node
}

/// Services that would write into one folder of one container.
///
/// A folder has one writer, and what one service deletes the other one would bring back. Within a service rules share a
/// folder: the first rule that matches a file takes it.
extension ConfigurationReader {
    mutating func claim(_ sync: Sync, in rule: Node, by service: Service) {
        guard case .object(let members) = rule.value.kind,
            let value = members.first(where: { $0.key == "sync" })?.value,
            case .object(let keys) = value.kind, let to = keys.first(where: { $0.key == "to" })?.value
        else { return }
        let node = rule.member("sync", value).member("to", to)
        claims.append(DestinationClaim(service: service, sync: sync, node: node))
    }

    mutating func checkDestinations() {
        for (number, later) in claims.enumerated() {
            // One message for each rule: the first service that it meets is enough to see what is meant.
            guard let earlier = claims[..<number].first(where: { $0.meets(later) }) else { continue }
            let (one, other) = (earlier.service, later.service)
            let paths = [earlier.sync.to, later.sync.to].sorted { $0.utf8.count < $1.utf8.count }
            let message =
                "services \"\(one.name)\" (\(earlier.node.value.position)) and \"\(other.name)\" "
                + (paths[0] == paths[1]
                    ? "both write to \(paths[0])" : "meet: \(paths[1]) lies in \(paths[0]), which is a mirror,")
            if one.container == other.container {
                error(
                    later.node, "\(message) in one container",
                    hint: "make them rules of one service, or give each its own folder")
            } else {
                warning(
                    later.node, "\(message) perhaps in one container",
                    hint: "name the \"container\" of both services")
            }
        }
    }
}

extension DestinationClaim {
    /// Whether both can lead into one folder of one container, as far as the file tells.
    ///
    /// Different selectors may take the same pods; that only the cluster knows.
    fileprivate func meets(_ other: DestinationClaim) -> Bool {
        guard service.name != other.service.name, let target = service.target, target == other.service.target else {
            return false
        }
        // Without a name it is the pod's only container, or its default one.
        if let mine = service.container, let theirs = other.service.container, mine != theirs { return false }
        return sync.to == other.sync.to || deletes(in: other) || other.deletes(in: self)
    }

    /// Whether the other's folder lies in this one, which deletes what it does not know.
    private func deletes(in other: DestinationClaim) -> Bool {
        sync.mirror && other.sync.to.hasPrefix(sync.to == "/" ? "/" : sync.to + "/")
    }
}
