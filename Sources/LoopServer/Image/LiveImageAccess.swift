internal import OCI

extension ImageAccess {
    /// The registries and nodes that there are.
    static func live(_ registries: Registries, _ nodes: NodeImages) -> ImageAccess {
        ImageAccess(
            digest: { reference in
                let place = ImageName(reference)
                return try await Registries.attempt(reference) {
                    try await registries.client(place.registry).head(place.reference, in: place.repository)
                        .map { "\($0.digest)" }
                }
            },
            tag: { reference, tag in
                let place = ImageName(reference)
                let registry = registries.client(place.registry)
                try await Registries.attempt(reference) {
                    try await registry.tag(place.reference, as: tag, in: place.repository)
                }
            },
            untag: { reference in
                let place = ImageName(reference)
                let registry = registries.client(place.registry)
                try await Registries.attempt(reference) {
                    try await registry.untag(place.reference, in: place.repository)
                }
            },
            pushArchive: { path, repository in
                let place = ImageName(repository)
                return try await Registries.attempt(repository) {
                    let image = try await ImageArchive.read(path)
                    let tag = ImageHome.tag(ofHex: image.digest.hex)
                    let report = try await registries.client(place.registry).push(
                        image, to: place.repository, tags: [tag])
                    return DeliveredArchive(
                        tag: tag, bytesSent: report.bytesSent, isUnchanged: report.isUnchanged,
                        configuration: ImageConfiguration(image))
                }
            },
            load: { reference, source, loader in try await nodes.load(reference, from: source, by: loader) },
            loadArchive: { path, image, loader in
                let content = try await Registries.attempt(image.name) { try await ImageArchive.read(path) }
                let tag = ImageHome.tag(ofHex: content.digest.hex)
                let names = image.nodeNames(tag)
                let isUnchanged = try await nodes.load(
                    names[0],
                    from: .archive { archive in
                        try await Registries.attempt(image.name) {
                            try await ImageArchive.write(content, names: names, to: archive)
                        }
                    }, by: loader)
                return DeliveredArchive(
                    tag: tag, bytesSent: isUnchanged ? 0 : nil, isUnchanged: isUnchanged,
                    configuration: ImageConfiguration(content))
            })
    }
}
