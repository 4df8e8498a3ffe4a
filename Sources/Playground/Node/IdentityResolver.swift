internal import JSON

/// Finds out who a container runs as: the pod's security context, else the image's user, looked up in the image's own
/// `/etc/passwd` and `/etc/group`.
struct IdentityResolver {
    /// The content of the image's files; `nil` where it has none, as images from scratch do.
    let passwd: String?
    let group: String?

    init(passwd: String?, group: String?) {
        self.passwd = passwd
        self.group = group
    }

    /// Reads the files of a root folder.
    ///
    /// A link is not followed: in an image that came from outside it could lead to the host's own files.
    init(root: String) {
        func own(_ path: String) -> String? {
            let isOwn =
                Disk.kind(of: root + "/etc", followingLinks: false) == .directory
                && Disk.kind(of: root + path, followingLinks: false) == .file
            return isOwn ? Disk.text(root + path) : nil
        }
        self.init(passwd: own("/etc/passwd"), group: own("/etc/group"))
    }

    func identity(of container: JSON, in pod: JSON, imageUser: String) throws -> Identity {
        let podContext = pod.at("spec", "securityContext") ?? [:]
        let context = container["securityContext"] ?? [:]
        func setting(_ key: String) -> JSON? { context[key] ?? podContext[key] }
        let (namedUser, namedGroup) = IdentityResolver.split(imageUser)

        let user: UInt32
        let account: (name: String, group: UInt32)?
        if let wanted = setting("runAsUser")?.integer {
            guard let id = UInt32(exactly: wanted) else {
                throw ConfigurationError("runAsUser \(wanted) is out of range")
            }
            user = id
            account = entry(ofUser: id)
        } else if let id = UInt32(namedUser) {
            user = id
            account = entry(ofUser: id)
        } else if namedUser.isEmpty {
            user = 0
            account = entry(ofUser: 0)
        } else if let found = entry(named: namedUser) {
            user = found.user
            account = (namedUser, found.group)
        } else {
            throw ConfigurationError("unable to find user \(namedUser): no matching entries in passwd file")
        }

        let primary: UInt32
        if let wanted = setting("runAsGroup")?.integer {
            primary = UInt32(exactly: wanted) ?? 0
        } else if !namedGroup.isEmpty, setting("runAsUser") == nil {
            guard let id = UInt32(namedGroup) ?? groupID(named: namedGroup) else {
                throw ConfigurationError("unable to find group \(namedGroup): no matching entries in group file")
            }
            primary = id
        } else {
            primary = account?.group ?? 0
        }

        if setting("runAsNonRoot")?.bool == true, user == 0 {
            let name = pod.at("metadata", "name")?.string ?? ""
            let namespace = pod.at("metadata", "namespace")?.string ?? ""
            let uid = pod.at("metadata", "uid")?.string ?? ""
            let place = "(pod: \"\(name)_\(namespace)(\(uid))\", container: \(container["name"]?.string ?? ""))"
            throw ConfigurationError(
                setting("runAsUser") == nil
                    ? "container has runAsNonRoot and image will run as root \(place)"
                    : "container's runAsUser breaks non-root policy \(place)")
        }
        var groups = (podContext["supplementalGroups"]?.array ?? []).compactMap {
            $0.integer.flatMap(UInt32.init(exactly:))
        }
        if let own = podContext["fsGroup"]?.integer.flatMap(UInt32.init(exactly:)) { groups.append(own) }
        if podContext["supplementalGroupsPolicy"]?.string != "Strict", let name = account?.name {
            groups += memberships(of: name)
        }
        return Identity(user: user, group: primary, supplementalGroups: groups)
    }

    private static func split(_ user: String) -> (user: String, group: String) {
        let parts = user.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        return (parts.first ?? "", parts.count > 1 ? parts[1] : "")
    }

    private func lines(_ file: String?) -> [[Substring]] {
        (file ?? "").split(separator: "\n").map { $0.split(separator: ":", omittingEmptySubsequences: false) }
    }

    private func entry(ofUser id: UInt32) -> (name: String, group: UInt32)? {
        for fields in lines(passwd) where fields.count > 3 && UInt32(fields[2]) == id {
            return (String(fields[0]), UInt32(fields[3]) ?? 0)
        }
        return nil
    }

    private func entry(named name: String) -> (user: UInt32, group: UInt32)? {
        for fields in lines(passwd) where fields.count > 3 && fields[0] == name {
            if let user = UInt32(fields[2]), let group = UInt32(fields[3]) { return (user, group) }
        }
        return nil
    }

    private func groupID(named name: String) -> UInt32? {
        for fields in lines(group) where fields.count > 2 && fields[0] == name { return UInt32(fields[2]) }
        return nil
    }

    private func memberships(of name: String) -> [UInt32] {
        lines(group).compactMap { fields in
            guard fields.count > 3, fields[3].split(separator: ",").contains(Substring(name)) else { return nil }
            return UInt32(fields[2])
        }
    }
}

/// The capabilities of a container: the usual ones, less what its pod drops, and what it adds.
enum Capabilities {
    static func of(_ container: JSON) -> [String] {
        let asked = container.at("securityContext", "capabilities") ?? [:]
        func names(_ key: String) -> [String] {
            (asked[key]?.array ?? []).compactMap(\.string).map { name in
                let upper = name.uppercased()
                return upper == "ALL" || upper.hasPrefix("CAP_") ? upper : "CAP_" + upper
            }
        }
        let (dropped, added) = (names("drop"), names("add"))
        var all = dropped.contains("ALL") ? [] : RuntimeSpec.defaultCapabilities.filter { !dropped.contains($0) }
        if added.contains("ALL") { all = RuntimeSpec.defaultCapabilities }
        for name in added where name != "ALL" && !all.contains(name) { all.append(name) }
        return all
    }
}
