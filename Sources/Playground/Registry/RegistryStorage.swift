internal import Glibc
internal import JSON
internal import OCI
internal import Reactor

/// The registry's content on disk: blobs by digest, and per repository which manifests and tags it has.
struct RegistryStorage: Sendable {
    let root: String

    struct Manifest: Sendable {
        let digest: Digest
        let mediaType: String
        let bytes: [UInt8]
    }

    /// The largest manifest that is taken, as other registries have it.
    static let manifestLimit = 4 << 20

    init(root: String) throws(SystemError) {
        self.root = root
        try Disk.makeDirectory("\(root)/blobs", mode: 0o700)
        try Disk.makeDirectory("\(root)/repositories", mode: 0o700)
        // Uploads of an earlier run cannot be continued: their running digests are gone.
        Disk.removeTree("\(root)/uploads")
        try Disk.makeDirectory("\(root)/uploads", mode: 0o700)
    }

    func blob(_ digest: Digest) -> String { "\(root)/blobs/\(digest.hex)" }

    /// The size of a blob; `nil` where there is none.
    func size(of digest: Digest) -> Int? {
        var status = stat()
        return stat(blob(digest), &status) == 0 ? Int(status.st_size) : nil
    }

    /// The manifest that a tag or digest names.
    func manifest(_ repository: String, _ reference: String) -> Manifest? {
        let digest = Digest(reference) ?? Disk.text(tag(repository, reference)).flatMap { Digest($0) }
        guard let digest, let type = Disk.text(manifestEntry(repository, digest)),
            let bytes = try? Disk.read(blob(digest), limit: RegistryStorage.manifestLimit)
        else { return nil }
        return Manifest(digest: digest, mediaType: type, bytes: bytes)
    }

    func put(_ manifest: Manifest, in repository: String, tag name: String?) throws(SystemError) {
        try Disk.write(manifest.bytes, to: blob(manifest.digest), mode: 0o600)
        let entry = manifestEntry(repository, manifest.digest)
        try Disk.makeDirectory(Disk.parent(of: entry))
        try Disk.write(Array(manifest.mediaType.utf8), to: entry)
        if let name {
            let path = tag(repository, name)
            try Disk.makeDirectory(Disk.parent(of: path))
            try Disk.write(Array(manifest.digest.description.utf8), to: path)
        }
    }

    /// Forgets a tag, or a manifest with its tags; returns whether it was there.
    func remove(_ repository: String, _ reference: String) -> Bool {
        guard let digest = Digest(reference) else { return unlink(tag(repository, reference)) == 0 }
        guard unlink(manifestEntry(repository, digest)) == 0 else { return false }
        for name in tags(repository) ?? [] where Disk.text(tag(repository, name)) == digest.description {
            _ = unlink(tag(repository, name))
        }
        return true
    }

    /// The repository's tags in order; `nil` where there is no such repository.
    func tags(_ repository: String) -> [String]? {
        let folder = "\(root)/repositories/\(repository)"
        guard Disk.exists("\(folder)/_manifests") else { return nil }
        return Disk.names(in: "\(folder)/_tags")
    }

    // Names cannot start with an underscore, so these never meet a repository of a longer name.
    private func tag(_ repository: String, _ name: String) -> String {
        "\(root)/repositories/\(repository)/_tags/\(name)"
    }
    private func manifestEntry(_ repository: String, _ digest: Digest) -> String {
        "\(root)/repositories/\(repository)/_manifests/\(digest.hex)"
    }

    /// Whether this is a repository's name by the distribution specification, and so safe as a path.
    static func isName(_ name: String) -> Bool {
        name.utf8.count <= 255
            && name.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { part in
                guard let first = part.utf8.first, let last = part.utf8.last else { return false }
                return isLowerOrDigit(first) && isLowerOrDigit(last)
                    && part.utf8.allSatisfy { isLowerOrDigit($0) || "._-".utf8.contains($0) } && !part.contains("..")
            }
    }

    /// Whether this is a tag by the specification, and so safe as a file's name.
    static func isTag(_ tag: String) -> Bool {
        guard let first = tag.utf8.first, tag.utf8.count <= 128, first != UInt8(ascii: "."), first != UInt8(ascii: "-")
        else { return false }
        return tag.utf8.allSatisfy {
            isLowerOrDigit($0) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) || "._-".utf8.contains($0)
        }
    }

    private static func isLowerOrDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }
}
