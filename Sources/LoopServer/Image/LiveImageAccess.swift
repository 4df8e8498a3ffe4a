internal import OCI

extension ImageAccess {
    /// The registries and nodes that there are.
    static func live(_ registries: Registries) -> ImageAccess {
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
                        tag: tag, bytesSent: report.bytesSent, isUnchanged: report.isUnchanged)
                }
            },
            load: { reference, _, _ in
                throw LoopFailure(failure: LoopEvent.Failure("\(reference): there is no registry"))
            },
            loadArchive: { path, _, _ in
                throw LoopFailure(failure: LoopEvent.Failure("\(path): there is no registry"))
            })
    }
}
