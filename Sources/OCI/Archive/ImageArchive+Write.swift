internal import Glibc
internal import JSON
internal import Reactor

extension ImageArchive {
    /// Writes an image as a docker archive, which `k3d image import`, `kind load image-archive`, `minikube image load`
    /// and `ctr images import` take.
    ///
    /// The file appears when it is complete. Layers of a registry are downloaded.
    ///
    /// - Parameter names: what the image is called where it is loaded: `web:loopd-0123456789abcdef`.
    public static func write(_ image: ImageContent, names: [String], to path: String) async throws {
        let draft = "\(path).\(getpid()).\(UInt32.random(in: 0 ... .max))"
        let raw = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard raw >= 0 else { throw SystemError.last("create \(draft)") }
        let file = OwnedDescriptor(raw)
        do {
            let output = Output(descriptor: raw, path: path)
            let config = "\(image.configBlob.descriptor.digest.hex).json"
            try await output.add(config, image.configBlob)
            var written: Set<Digest> = []
            for layer in image.layers where written.insert(layer.descriptor.digest).inserted {
                try await output.add(name(of: layer), layer.blob)
            }
            let list: JSON = [
                [
                    "Config": .string(config), "RepoTags": .array(names.map { .string($0) }),
                    "Layers": .array(image.layers.map { .string(name(of: $0)) }),
                ]
            ]
            try await output.add("manifest.json", Blob(list.bytes, mediaType: "application/json"))
            try await output.write(TarHeader.end)
            guard rename(draft, path) == 0 else { throw SystemError.last("rename \(draft)") }
        } catch {
            _ = unlink(draft)
            throw error
        }
        _ = consume file
    }

    private static func name(of layer: Layer) -> String { "\(layer.descriptor.digest.hex)/layer.tar" }

    private struct Output {
        let descriptor: Int32
        let path: String

        func add(_ name: String, _ blob: Blob) async throws {
            let size = blob.descriptor.size
            try await write(TarHeader.bytes(.init(path: Array(name.utf8), kind: .file, size: size, mode: 0o644)))
            let blob = try await blob.nearby()
            let reader = UploadReader(blob)
            var offset: Int64 = 0
            while offset < size {
                let piece = try await reader.read(at: offset, count: Blob.piece)
                try await write(piece)
                offset += Int64(piece.count)
            }
            if reader.isOther { throw reader.problem }
            try await write(TarHeader.padding(after: size))
        }

        func write(_ bytes: [UInt8]) async throws {
            try await offPool { try OpenFile.write(bytes, to: descriptor, path) }
        }
    }
}
