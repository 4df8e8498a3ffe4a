internal import JSON
internal import OCI

/// Which image of a workload a rollout brings: pure functions of the workload's object.
struct RolledImage: Equatable, Sendable {
    /// A container of the pod spec.
    struct Place: Equatable, Sendable {
        /// `containers` or `initContainers`.
        let list: String
        let index: Int
        let container: String
        /// The image that it has.
        let reference: String
        let pullPolicy: String?
    }

    let kind: WorkloadKind
    /// The workload's name.
    let name: String
    /// As `loop.json` names the image: without tag and digest.
    let image: String
    /// The container that was named, by the image's rule or by its service.
    var container: String?

    /// As a person writes it: `deployment/web`.
    var workload: String { "\(kind.rawValue)/\(name)" }

    /// The container that is meant: the named one (init containers and sidecars, too), else the only or default one, else
    /// the one that runs an image of this name.
    ///
    /// Throws `LoopFailure` where there is none.
    func place(in object: JSON) throws -> Place {
        let spec = podSpec(of: object)
        let metadata = (kind == .pod ? object : object.at("spec", "template") ?? .null)["metadata"] ?? .null
        let main = places("containers", spec)
        let all = main + places("initContainers", spec)
        if let container {
            if let place = all.first(where: { $0.container == container }) { return place }
            throw missing("container \"\(container)\" is not in \(workload), but \(RolledImage.list(all))")
        }
        if main.count == 1 { return main[0] }
        let usual = metadata.strings("annotations")["kubectl.kubernetes.io/default-container"]
        if let place = main.first(where: { $0.container == usual }) { return place }
        let same = all.filter { RolledImage.isSame($0.reference, as: image) }
        if same.count == 1 { return same[0] }
        throw missing("\(workload) has several containers (\(RolledImage.list(all))): which one runs \(image)?")
    }

    /// The workload with another image; the same where it has it already.
    ///
    /// What loopd has pushed is pulled only where it is missing: its tag never means another content, and may be on the
    /// nodes only. Throws `LoopFailure` where there is no such container.
    func set(_ reference: String, in object: JSON) throws -> JSON {
        let place = try place(in: object)
        var result = object
        change(&result) { spec in
            guard var list = spec[place.list]?.array else { return }
            list[place.index]["image"] = .string(reference)
            if RolledImage.isOwn(reference) { list[place.index]["imagePullPolicy"] = "IfNotPresent" }
            spec[place.list] = .array(list)
        }
        return result
    }

    /// The JSON patch that sets the image and nothing else, for the version that was read; `nil` where it is set.
    func patch(_ object: JSON, to reference: String) throws -> JSON? {
        let place = try place(in: object)
        let path = "/\(kind.podSpec.joined(separator: "/"))/\(place.list)/\(place.index)"
        var operations: [JSON] = []
        if place.reference != reference {
            operations.append(["op": "replace", "path": .string("\(path)/image"), "value": .string(reference)])
        }
        if RolledImage.isOwn(reference), place.pullPolicy != "IfNotPresent" {
            operations.append(["op": "add", "path": .string("\(path)/imagePullPolicy"), "value": "IfNotPresent"])
        }
        return operations.isEmpty ? nil : .array([DevWorkload.version(of: object)] + operations)
    }

    /// Whether the workload has the image.
    func isSet(_ reference: String, in object: JSON) -> Bool {
        (try? place(in: object))?.reference == reference
    }

    func podSpec(of object: JSON) -> JSON {
        kind.podSpec.reduce(object) { $0[$1] ?? .null }
    }

    private func change(_ object: inout JSON, _ body: (inout JSON) -> Void) {
        var spec = podSpec(of: object)
        body(&spec)
        if kind == .pod { object["spec"] = spec } else { object["spec"]?["template"]?["spec"] = spec }
    }

    private func places(_ list: String, _ spec: JSON) -> [Place] {
        (spec[list]?.array ?? []).enumerated().map { index, container in
            Place(
                list: list, index: index, container: container["name"]?.string ?? "",
                reference: container["image"]?.string ?? "", pullPolicy: container["imagePullPolicy"]?.string)
        }
    }

    private func missing(_ summary: String) -> LoopFailure {
        LoopFailure(
            failure: LoopEvent.Failure(
                summary, nextStep: "set \"container\" in the image's rule, or in its service, in loop.json"))
    }

    private static func list(_ places: [Place]) -> String { places.map(\.container).joined(separator: ", ") }

    /// Whether a tag is one of loopd's own, which are made of the content.
    static func isOwn(_ reference: String) -> Bool {
        ImageName(reference).reference.hasPrefix(ImageHome.tagPrefix)
    }

    /// Whether a container's image is one of this name, in whatever registry loopd has put it.
    static func isSame(_ reference: String, as name: String) -> Bool {
        let (there, wanted) = (ImageName(reference), ImageName(name))
        if there.registry == wanted.registry, there.repository == wanted.repository { return true }
        guard isOwn(reference) else { return false }
        return there.repository == wanted.repository || there.repository.hasSuffix("/\(wanted.repository)")
    }
}
