internal import Glibc
internal import JSON
internal import OCI
internal import Reactor

/// Why an image cannot be had, in the kubelet's words.
struct PullError: Error, CustomStringConvertible {
    /// One of `ErrImagePull`, `ErrImageNeverPull`, `InvalidImageName`.
    let reason: String
    let message: String
    var description: String { message }
}

/// The images on the node: unpacked once by digest, shared by all containers.
actor ImageStore {
    private let layout: NodeLayout
    private let storage: RegistryStorage
    private let registryPort: UInt16
    private let host: HostImage
    private let hasOverlay: Bool
    private let unpacker = LayerUnpacker()
    /// What a reference meant when it was last pulled: `IfNotPresent` keeps to it.
    private var pulled: [String: Digest] = [:]
    private var unpacking: [Digest: Task<Void, any Error>] = [:]

    init(layout: NodeLayout, storage: RegistryStorage, registryPort: UInt16, host: HostImage, hasOverlay: Bool) {
        self.layout = layout
        self.storage = storage
        self.registryPort = registryPort
        self.host = host
        self.hasOverlay = hasOverlay
        if let saved = try? Disk.read("\(layout.images)/references.json"), let object = try? JSON(parsing: saved) {
            for (name, digest) in object.object ?? JSONObject() {
                pulled[name] = digest.string.flatMap { Digest($0) }
            }
        }
    }

    /// Whether a container of this policy starts without a pull.
    func isPresent(_ name: String, policy: String) -> Bool {
        guard let reference = ImageReference(name) else { return false }
        return reference.isHost || (policy != "Always" && pulled[name] != nil)
    }

    /// The image by the pod's name for it, pulled as the policy says.
    func image(_ name: String, policy: String) async throws -> Image {
        guard let reference = ImageReference(name) else {
            throw PullError(
                reason: "InvalidImageName",
                message: "Failed to apply default image tag \"\(name)\": couldn't parse image name \"\(name)\": "
                    + "invalid reference format")
        }
        if reference.isHost {
            return Image(reference: name, id: "host", configuration: ImageConfiguration(), content: .host)
        }
        if policy == "Never", pulled[name] == nil {
            throw PullError(
                reason: "ErrImageNeverPull",
                message: "Container image \"\(name)\" is not present with pull policy of Never")
        }
        let known = policy == "Always" ? nil : pulled[name]
        do {
            return try await fetch(name, reference, known: known)
        } catch let error as SystemError {
            throw failed(name, "\(error)")
        }
    }

    /// A container's root folder from an image, with a writable layer of its own.
    func rootFilesystem(of image: Image, in folder: String) async throws -> RootFilesystem {
        let root = "\(folder)/rootfs"
        switch image.content {
        case .host: return try host.rootFilesystem(in: folder)
        case .layers(let layers):
            for name in ["rootfs", "upper", "work", "empty"] { try Disk.makeDirectory("\(folder)/\(name)") }
            // An image without layers still needs a lower folder.
            let lower = layers.isEmpty ? ["\(folder)/empty"] : Array(layers.reversed())
            try Mounts.overlay(lower: lower, upper: "\(folder)/upper", work: "\(folder)/work", at: root)
        case .merged(let tree):
            let copied = try await Child.run(Launch(["cp", "-a", "--reflink=auto", "--", tree, root]))
            guard copied.status.isSuccess else {
                throw SystemError(code: EIO, attempt: "copy of \(tree): \(copied.errorText)")
            }
        }
        return RootFilesystem(path: root, mounts: [], readOnlyPaths: [])
    }

    private func fetch(_ name: String, _ reference: ImageReference, known: Digest?) async throws -> Image {
        let own = ["localhost:\(registryPort)", "127.0.0.1:\(registryPort)"]
        // A name without a registry is its own, too, as nodes know images that were loaded into them.
        guard reference.registry.isEmpty || own.contains(reference.registry) else {
            throw failed(
                name, "the playground pulls from its own registry only: push the image to \(own[0]), or use \"host\"")
        }
        let wanted = known?.description ?? reference.reference
        guard let top = storage.manifest(reference.repository, wanted) else { throw notFound(name) }
        let manifest = try platform(of: top, in: reference.repository, name)
        guard let config = manifest.at("config", "digest")?.string.flatMap({ Digest($0) }),
            let blob = try? JSON(parsing: Disk.read(storage.blob(config)))
        else { throw failed(name, "the image has no configuration") }
        let layers = (manifest["layers"]?.array ?? []).compactMap { $0["digest"]?.string.flatMap { Digest($0) } }
        let content: Image.Content
        if hasOverlay {
            for layer in layers { try await unpack(layer) }
            content = .layers(layers.map(folder))
        } else {
            try await merge(layers, as: top.digest)
            content = .merged("\(layout.images)/merged/\(top.digest.hex)")
        }
        if pulled[name] != top.digest {
            pulled[name] = top.digest
            try save()
        }
        return Image(
            reference: name,
            id: "\(reference.registry.isEmpty ? own[0] : reference.registry)/\(reference.repository)@\(top.digest)",
            configuration: ImageConfiguration(blob), content: content,
            size: layers.reduce(0) { $0 + (storage.size(of: $1) ?? 0) })
    }

    private func platform(of manifest: RegistryStorage.Manifest, in repository: String, _ name: String) throws -> JSON {
        guard let parsed = try? JSON(parsing: manifest.bytes) else { throw failed(name, "its manifest is not JSON") }
        guard let choices = parsed["manifests"]?.array else { return parsed }
        #if arch(arm64)
            let machine = "arm64"
        #else
            let machine = "amd64"
        #endif
        let fitting = choices.first {
            $0.at("platform", "architecture")?.string == machine && $0.at("platform", "os")?.string == "linux"
        }
        guard let digest = fitting?["digest"]?.string, let found = storage.manifest(repository, digest),
            let chosen = try? JSON(parsing: found.bytes)
        else { throw failed(name, "no match for platform in manifest: linux/\(machine)") }
        return chosen
    }

    // Half a digest is as unique here, and twice as many layers fit into the one page of a mount's options.
    private func folder(_ layer: Digest) -> String { "\(layout.images)/layers/\(layer.hex.prefix(32))" }

    private func unpack(_ layer: Digest) async throws {
        try await once(layer, present: folder(layer)) { [unpacker, storage] target in
            try await unpacker.unpack(storage.blob(layer), to: target)
        }
    }

    private func merge(_ layers: [Digest], as image: Digest) async throws {
        try await once(image, present: "\(layout.images)/merged/\(image.hex)") { [unpacker, storage] target in
            try await unpacker.merge(layers.map(storage.blob), to: target)
        }
    }

    /// Runs `work` unless its result is there; several containers that want the same wait for one run.
    private func once(
        _ digest: Digest, present target: String, _ work: @escaping @Sendable (String) async throws -> Void
    ) async throws {
        if let running = unpacking[digest] { return try await running.value }
        guard !Disk.exists(target) else { return }
        try Disk.makeDirectory(Disk.parent(of: target))
        let task = Task { try await work(target) }
        unpacking[digest] = task
        defer { unpacking[digest] = nil }
        try await task.value
    }

    private func save() throws {
        var object = JSONObject()
        for (name, digest) in pulled { object[name] = .string(digest.description) }
        try Disk.write(JSON.object(object).bytes, to: "\(layout.images)/references.json", mode: 0o600)
    }

    private func notFound(_ name: String) -> PullError {
        PullError(
            reason: "ErrImagePull",
            message: "rpc error: code = NotFound desc = failed to pull and unpack image \"\(name)\": "
                + "failed to resolve image: \(name): not found")
    }

    private func failed(_ name: String, _ cause: String) -> PullError {
        PullError(
            reason: "ErrImagePull",
            message: "rpc error: code = Unknown desc = failed to pull and unpack image \"\(name)\": \(cause)")
    }
}
