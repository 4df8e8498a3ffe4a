internal import JSON

/// Volumes of a pod template that nix-csi fills: pure functions of the template.
///
/// Its attributes, the first that is there: a store path under the name of the node's system (`x86_64-linux`), which the node
/// fetches; a `flakeRef`, which the node evaluates and builds; an expression. The node does each when a pod starts, so that
/// only new pods see something new.
enum NixVolumes {
    /// The names of the CSI driver: nix-csi's, and its successor's.
    static let drivers: Set<String> = ["nix.csi.store", "nixkube"]
    /// On the pod template: for which inputs its pods were made anew.
    static let annotation = "loopd.dev/nix-inputs"

    /// One volume.
    struct Volume: Equatable, Sendable {
        let name: String
        let driver: String
        /// The attribute `flakeRef`.
        var flakeRef: String?
        /// Store paths by system.
        var storePaths: [String: String] = [:]
    }

    /// The volumes of a workload's pod template.
    static func volumes(of workload: JSON) -> [Volume] {
        (workload.at("spec", "template", "spec", "volumes")?.array ?? []).compactMap { volume in
            guard let name = volume["name"]?.string, let driver = volume.at("csi", "driver")?.string,
                drivers.contains(driver)
            else { return nil }
            var found = Volume(name: name, driver: driver)
            for (key, value) in volume["csi"]?.strings("volumeAttributes") ?? [:] {
                if key == "flakeRef" { found.flakeRef = value }
                if NixStore.name(of: value) != nil { found.storePaths[key] = value }
            }
            return found
        }
    }

    /// Whether a flake reference leads to this machine's disk, which no node reads.
    static func isLocal(_ flakeRef: String) -> Bool {
        let reference = flakeRef.prefix { $0 != "#" }
        return ["path:", "/", ".", "~", "git+file:"].contains { reference.hasPrefix($0) } || reference.isEmpty
    }

    /// What has to happen to a workload when its sources have changed.
    struct Reaction: Equatable, Sendable {
        /// A strategic merge patch that makes new pods; `nil` where none is needed.
        var patch: JSON?
        /// Whether the patch names a store path that nodes must be able to get before.
        var isRepointed = false
        /// Volumes that no node can fill, one line each.
        var unreachable: [String] = []
    }

    /// What new inputs mean for a workload.
    ///
    /// - Parameters:
    ///   - inputs: what tells these inputs from others.
    ///   - output: the store path that was built from them for the workload; `nil` where none was.
    ///   - system: the nodes' system.
    ///   - isDelivered: whether `output` is copied to where nodes can get it.
    static func reaction(
        of workload: JSON, called name: String, to inputs: String, output: String?, system: String, isDelivered: Bool
    ) -> Reaction {
        var reaction = Reaction()
        var volumes: [JSON] = []
        var needsRestart = false
        for volume in NixVolumes.volumes(of: workload) {
            let isOfOutput = output.map { isMeant(volume, by: $0, system: system, in: workload) } ?? false
            if isOfOutput, let output {
                if volume.storePaths[system] == output { continue }
                if isDelivered {
                    volumes.append([
                        "name": .string(volume.name),
                        "csi": [
                            "driver": .string(volume.driver), "volumeAttributes": .object([system: .string(output)]),
                        ],
                    ])
                } else {
                    let what = volume.storePaths[system] == nil ? volume.flakeRef ?? "" : "store paths of this machine"
                    reaction.unreachable.append(
                        "\(name): volume \"\(volume.name)\": nodes cannot reach \(what); name a store that they read "
                            + "with \"copyTo\" in loop.json")
                }
            } else if volume.storePaths[system] == nil, let flakeRef = volume.flakeRef {
                if isLocal(flakeRef) {
                    reaction.unreachable.append(
                        "\(name): volume \"\(volume.name)\": nodes cannot reach \(flakeRef), which is on this machine; "
                            + "push the flake, or bring its output over with a sideload of \"nix\" and \"copyTo\"")
                } else {
                    needsRestart = true
                }
            }
        }
        reaction.isRepointed = !volumes.isEmpty
        let before = workload.at("spec", "template", "metadata")?.strings("annotations")[annotation]
        if needsRestart, before == inputs { needsRestart = false }
        guard needsRestart || reaction.isRepointed else { return reaction }
        var template: JSON = [:]
        if needsRestart { template["metadata"] = ["annotations": .object([annotation: .string(inputs)])] }
        if reaction.isRepointed { template["spec"] = ["volumes": .array(volumes)] }
        reaction.patch = ["spec": ["template": template]]
        return reaction
    }

    /// Whether a volume holds what was built: an earlier build of the same name, or the source here that it comes from.
    private static func isMeant(_ volume: Volume, by output: String, system: String, in workload: JSON) -> Bool {
        if let old = volume.storePaths[system] {
            return packageName(old) == packageName(output)
        }
        guard let flakeRef = volume.flakeRef, isLocal(flakeRef) else { return false }
        // Of several local sources nobody knows which was built.
        return volumes(of: workload).count { $0.storePaths[system] == nil && $0.flakeRef.map(isLocal) == true } == 1
    }

    /// The name without the hash, and without a version behind it, as Nix itself takes names apart.
    static func packageName(_ path: String) -> Substring {
        guard let name = NixStore.name(of: path), let cut = name.firstIndex(of: "-") else { return "" }
        let whole = name[name.index(after: cut)...]
        var index = whole.startIndex
        while let dash = whole[index...].firstIndex(of: "-") {
            let next = whole.index(after: dash)
            guard next < whole.endIndex else { break }
            if !whole[next].isLetter { return whole[..<dash] }
            index = next
        }
        return whole
    }
}

extension JSON {
    fileprivate static func object(_ members: [String: JSON]) -> JSON {
        var object = JSONObject()
        for (key, value) in members { object[key] = value }
        return .object(object)
    }
}
