internal import OCI
internal import Watcher

/// What one rule of an appended image puts into its layer, as the disk has it now.
struct LayerFiles: Sendable {
    /// Something that goes into the layer, and what it is on disk.
    struct Found: Equatable, Sendable {
        let entry: LayerEntry
        let local: LocalEntry
    }

    let plan: ServicePlan
    /// The rule's number in its service.
    let rule: Int
    let layer: AppendedLayer
    let tree: LocalTree
    let ignore: IgnoreRules

    /// Everything, folders before what is in them.
    ///
    /// Blocks while it reads folders. Throws `LoopFailure` where something that a build makes is not there.
    func find() throws -> [Found] {
        var found: [Found] = []
        if let to = layer.to { findWatched(below: RelativePath(to), &found) }
        for item in layer.files { try find(item, &found) }
        return found
    }

    /// Files that the rule takes: ignored ones and those of earlier rules are not among them.
    private func findWatched(below destination: RelativePath, _ found: inout [Found]) {
        for glob in plan.service.rules[rule].watch {
            let base = layer.from.map { RelativePath($0) } ?? glob.fixedPart
            TreeScan.walk(at: plan.root.appending(glob.fixedPart.bytes), rules: ignore) { seen in
                guard let path = seen.path.relative(to: plan.root) else { return true }
                if glob.matches(path), plan.builder(of: seen.path) == rule, let below = path.relative(to: base),
                    !below.isRoot
                {
                    add(seen.path, LocalEntry(seen), as: destination.appending(below.bytes), &found)
                }
                return glob.canMatch(inside: path)
            }
        }
    }

    private func find(_ item: Sideload, _ found: inout [Found]) throws {
        guard let start = RelativePath(item.from).relative(to: RelativePath(tree.root)), tree.entry(start) != nil else {
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "\(item.from) is missing: the image was not built",
                    nextStep: "\"from\" in \"files\" has to name what the build makes"))
        }
        tree.walk(start) { path, local in
            let below = path.relative(to: start) ?? .root
            add(path, local, as: RelativePath(item.to).appending(below.bytes), &found)
        }
    }

    private func add(_ path: RelativePath, _ local: LocalEntry?, as place: RelativePath, _ found: inout [Found]) {
        guard let local else { return }
        let content: LayerEntry.Content =
            switch local.kind {
            case .folder: .folder
            case .link(let target): .link(target)
            case .file: .file(RelativePath(tree.root).appending(path.bytes).absolute)
            }
        found.append(Found(entry: LayerEntry(place.bytes, content), local: local))
    }
}

extension RelativePath {
    /// The bytes of a path from the root of the file system.
    fileprivate var absolute: [UInt8] { [UInt8(ascii: "/")] + bytes }
}
