internal import OCI

/// Decides once in a session where its images go, and says so.
actor ImageHomeChoice {
    private let discovery: RegistryDiscovery
    private let tell: @Sendable (String) -> Void
    private var finding: RegistryDiscovery.Finding?

    /// A choice that is made when it is first asked for; `tell` takes what people are told of it.
    init(_ discovery: RegistryDiscovery, tell: @escaping @Sendable (String) -> Void) {
        self.discovery = discovery
        self.tell = tell
    }

    /// Where an image goes.
    ///
    /// Throws `LoopFailure` where there is no such place; asked again, it looks again.
    func find(for image: String) async throws -> ImageHome {
        let found: RegistryDiscovery.Finding
        if let finding {
            found = finding
        } else {
            let fresh = try await discovery.find()
            // Several images may ask at once: the first answer holds for all.
            found = finding ?? fresh
            if finding == nil, fresh.names != nil || fresh.loader != nil {
                finding = fresh
                if let notice = fresh.notice { tell(notice) }
            }
        }
        return try discovery.home(of: image, found)
    }

    /// Whether a registry, by host and port, is the cluster's own.
    func isOfCluster(_ host: String) -> Bool {
        guard let finding, finding.isOfCluster, let names = finding.names else { return false }
        return ImageName(names.pushRepository(of: "x")).registry == host
    }
}
