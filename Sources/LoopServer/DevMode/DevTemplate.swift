internal import JSON

/// A pod template in dev mode: the helper is process 1 of a container and runs the service.
///
/// A pure function of the template and what is wished for; everything that it changes is in `changes`.
struct DevTemplate {
    /// What is wished for.
    struct Inputs: Equatable, Sendable {
        /// The container; `nil` is the usual one.
        var container: String?
        var dev: DevMode
        /// Folders in the container that have to be writable.
        var destinations: [String] = []
        /// The files that go directly into `/`; `nil` where anything below it may be written.
        var rootFiles: [String]? = []
        /// The ConfigMap with the helper's program.
        var program: String
        /// What the image says; `nil` where nobody knows.
        var image: ImageConfiguration?
        /// The command was seen in a running container, where a shell or a loader may have changed it.
        var commandIsSeen = false
    }

    /// Where the helper's program is in the container.
    static let program = HelperProgram.supervisor
    /// What stands before the service's own command.
    ///
    /// A service that ends within the first seconds waits for loopd, which may be about to bring what it lacks.
    static let supervise = [program, "supervise", "--patience", "10", "--"]
    private static let folder = "/.loopd/bin"
    private static let state = "/.loopd/state"

    /// The template's `spec`.
    private(set) var spec: JSON
    /// The container that the helper runs.
    let container: String
    /// Its image.
    let image: String
    private(set) var changes: [TemplateChange] = []
    /// What a person may want to know, in lines.
    private(set) var details: [String] = []

    /// Where the container's list and place are.
    private let place: (list: String, index: Int)

    /// The container's image has the helper and its command runs it: there is nothing to change.
    struct SupervisedByImage: Error {}

    /// Nobody knows what the container runs, unless it can be looked into.
    struct CommandUnknown: Error {
        let failure: LoopEvent.Failure
    }

    /// Throws `LoopFailure` where there is no such container, `CommandUnknown`, or `SupervisedByImage`.
    init(_ template: JSON, _ inputs: Inputs) throws {
        let original = template["spec"] ?? .null
        spec = original
        place = try DevTemplate.place(of: inputs.container, in: template)
        let target = original[place.list]?[place.index] ?? .null
        container = target["name"]?.string ?? ""
        image = target["image"]?.string ?? ""
        var command = try DevTemplate.command(of: target, inputs)
        if inputs.commandIsSeen {
            // Not the words themselves: whatever started it may have put a Secret's value into them.
            details.append("its command was read from a running container")
        }
        var changed = target
        if !SeededVolumes.canWriteImage(target, pod: original, image: inputs.image) {
            let seeded = SeededVolumes(
                destinations: inputs.destinations, rootFiles: inputs.rootFiles, container: target, pod: original)
            details += seeded.details
            if let files = inputs.rootFiles, !files.isEmpty {
                let moved = command.map { files.contains($0) ? SeededVolumes.root + $0 : $0 }
                if moved == command { details.append("its command names none of \(files.joined(separator: ", "))") }
                command = moved
            }
            seed(seeded.volumes, target, &changed)
        }
        let helper = addVolume(
            "loopd-helper",
            [
                "configMap": [
                    "name": .string(inputs.program),
                    "items": [["key": .string(DevTemplate.key), "path": .string(DevTemplate.key), "mode": 0o555]],
                ]
            ])
        let state = addVolume("loopd-state", ["emptyDir": ["sizeLimit": "16Mi"]])
        DevTemplate.mount(
            ["name": .string(helper), "mountPath": .string(DevTemplate.folder), "readOnly": true], &changed)
        DevTemplate.mount(["name": .string(state), "mountPath": .string(DevTemplate.state)], &changed)
        changed["command"] = .array((DevTemplate.supervise + command).map(JSON.string))
        changed["args"] = nil
        if let folder = inputs.dev.workingDirectory { changed["workingDir"] = .string(folder) }
        DevTemplate.setVariables(inputs.dev.environment, &changed)
        details += ProbeRewriting.apply(to: &changed)
        replaceTarget(changed)
        changes = TemplateChange.between(original, spec)
    }

    /// The key of the program in its ConfigMap, and its file's name.
    static let key = "helper"

    // MARK: - Container and command

    private static func place(of name: String?, in template: JSON) throws -> (list: String, index: Int) {
        let spec = template["spec"] ?? .null
        let main = spec["containers"]?.array ?? []
        let usual = template["metadata"]?.strings("annotations")["kubectl.kubernetes.io/default-container"]
        let wanted = name ?? (main.count == 1 ? main[0]["name"]?.string : usual)
        for list in ["containers", "initContainers"] {
            let found = (spec[list]?.array ?? []).firstIndex { container in
                container["name"]?.string == wanted
                    // An init container that ends is no service.
                    && (list == "containers" || container["restartPolicy"]?.string == "Always")
            }
            if wanted != nil, let found { return (list, found) }
        }
        let names = main.compactMap { $0["name"]?.string }.joined(separator: ", ")
        throw LoopFailure(
            failure: LoopEvent.Failure(
                wanted.map { "dev mode: its pods have no container \"\($0)\", but \(names)" }
                    ?? "dev mode: its pods have several containers (\(names))",
                nextStep: "set the service's \"container\" in loop.json"))
    }

    /// Whether the image has to be asked for the command of this template.
    static func needsImage(_ template: JSON, _ inputs: Inputs) -> Bool {
        guard let place = try? place(of: inputs.container, in: template), inputs.dev.command == nil else {
            return false
        }
        return template["spec"]?[place.list]?[place.index]?["command"]?.array?.isEmpty ?? true
    }

    /// The template's container that is meant.
    static func target(of template: JSON, _ name: String?) -> JSON? {
        (try? place(of: name, in: template)).flatMap { template["spec"]?[$0.list]?[$0.index] }
    }

    private static func command(of container: JSON, _ inputs: Inputs) throws -> [String] {
        if let command = inputs.dev.command { return command + (inputs.dev.arguments ?? []) }
        let command = (container["command"]?.array ?? []).compactMap(\.string)
        if command.first == program {
            let mounts = container["volumeMounts"]?.array ?? []
            guard mounts.contains(where: { $0["mountPath"]?.string == folder }) else { throw SupervisedByImage() }
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "dev mode: container \(container["name"]?.string ?? "") is in dev mode, but the annotation that says so"
                        + " is gone",
                    nextStep: "apply its manifests again"))
        }
        let ownArguments = (container["args"]?.array ?? []).compactMap(\.string)
        let arguments = inputs.dev.arguments ?? (ownArguments.isEmpty ? nil : ownArguments)
        if !command.isEmpty { return command + (arguments ?? []) }
        if let image = inputs.image {
            // As the kubelet does it: arguments of the pod replace those of the image.
            let words =
                ImageConfiguration.escaped(image.entrypoint) + (arguments ?? ImageConfiguration.escaped(image.command))
            if !words.isEmpty { return words }
        }
        throw CommandUnknown(
            failure: LoopEvent.Failure(
                "dev mode: nobody knows what image \(container["image"]?.string ?? "") runs",
                nextStep: "set \"command\" in the service's \"dev\", or in the container's manifest"))
    }

    // MARK: - Changing the spec

    private mutating func replaceTarget(_ container: JSON) {
        guard var list = spec[place.list]?.array else { return }
        // Init containers of loopd's own stand before it by now.
        if let index = list.firstIndex(where: { $0["name"]?.string == self.container }) { list[index] = container }
        spec[place.list] = .array(list)
    }

    /// Adds a volume; another one of its name makes it take a number.
    private mutating func addVolume(_ name: String, _ source: JSON) -> String {
        var volumes = spec["volumes"]?.array ?? []
        let free = DevTemplate.free(name, among: volumes)
        volumes.append(.object((source.object ?? JSONObject()).with("name", .string(free))))
        spec["volumes"] = .array(volumes)
        return free
    }

    private static func free(_ name: String, among others: [JSON]) -> String {
        let taken = Set(others.compactMap { $0["name"]?.string })
        var (candidate, number) = (name, 1)
        while taken.contains(candidate) {
            number += 1
            candidate = "\(name)-\(number)"
        }
        return candidate
    }

    /// Adds a mount; one that has the place gives it up.
    private static func mount(_ mount: JSON, _ container: inout JSON) {
        var mounts = container["volumeMounts"]?.array ?? []
        if let index = mounts.firstIndex(where: { $0["mountPath"] == mount["mountPath"] }) {
            mounts[index] = mount
        } else {
            mounts.append(mount)
        }
        container["volumeMounts"] = .array(mounts)
    }

    private static func setVariables(_ variables: [String: String], _ container: inout JSON) {
        guard !variables.isEmpty else { return }
        var list = container["env"]?.array ?? []
        for (name, value) in variables.sorted(by: { $0.key < $1.key }) {
            let variable: JSON = ["name": .string(name), "value": .string(value)]
            // Of several, the last one counts.
            if let index = list.lastIndex(where: { $0["name"]?.string == name }) {
                list[index] = variable
            } else {
                list.append(variable)
            }
        }
        container["env"] = .array(list)
    }

    /// Adds the volumes, and before every other init container those that fill them.
    private mutating func seed(_ volumes: [SeededVolumes.Volume], _ target: JSON, _ changed: inout JSON) {
        let helper = DevTemplate.free("loopd-helper", among: spec["volumes"]?.array ?? [])
        var seeders: [JSON] = []
        for volume in volumes {
            let name = addVolume("loopd-seed", ["emptyDir": [:]])
            DevTemplate.mount(["name": .string(name), "mountPath": .string(volume.path)], &changed)
            for source in volume.sources {
                let taken = seeders + (spec["containers"]?.array ?? []) + (spec["initContainers"]?.array ?? [])
                seeders.append(
                    DevTemplate.seeder(
                        named: DevTemplate.free("loopd-seed", among: taken), of: source, into: name, helper, target))
            }
        }
        guard !seeders.isEmpty else { return }
        spec["initContainers"] = .array(seeders + (spec["initContainers"]?.array ?? []))
    }

    /// An init container that policies and quotas take, because they take the service's own.
    private static func seeder(
        named name: String, of source: String, into volume: String, _ helper: String, _ target: JSON
    ) -> JSON {
        let place = "/.loopd/seed"
        // What is mounted where the source is belongs to it.
        let around = (target["volumeMounts"]?.array ?? []).filter {
            SeededVolumes.covers($0["mountPath"]?.string ?? "", source)
        }
        var seeder: JSON = [
            "name": .string(name), "image": target["image"] ?? "",
            "command": [.string(program), "seed", .string(source), .string(place)],
            "volumeMounts": .array(
                around + [
                    ["name": .string(helper), "mountPath": .string(folder), "readOnly": true],
                    ["name": .string(volume), "mountPath": .string(place)],
                ]),
        ]
        for key in ["imagePullPolicy", "securityContext", "resources"] { seeder[key] = target[key] }
        return seeder
    }
}

extension JSONObject {
    /// The object with one more member before its own.
    fileprivate func with(_ key: String, _ value: JSON) -> JSONObject {
        var object = JSONObject()
        object[key] = value
        for (key, value) in self { object[key] = value }
        return object
    }
}
