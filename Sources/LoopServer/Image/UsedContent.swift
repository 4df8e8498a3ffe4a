internal import HTTP
internal import JSON
internal import Reactor

extension KubeClient {
    /// Every tag by content, and every digest, that something in the cluster names: in old revisions too, because what is
    /// rolled back to is pulled again, and anywhere in an object, because programs that start pods are told the name.
    ///
    /// Throws `KubeError` where not everything may be looked at.
    func usedContent() async throws -> Set<String> {
        let kinds: [KubeResource] = [
            .pods, .deployments, .replicaSets, .statefulSets, .daemonSets, .controllerRevisions, .configMaps,
            KubeResource(group: "batch", version: "v1", plural: "jobs"),
            KubeResource(group: "batch", version: "v1", plural: "cronjobs"),
        ]
        var used: Set<String> = []
        for kind in kinds {
            do {
                for object in try await list(Scope(kind)).items { UsedContent.collect(object.bytes, into: &used) }
            } catch let error as KubeError where kind.group == "batch" && [404, 501].contains(error.code) {
                // The playground may do without, and has none that could name an image.
            }
        }
        // What `loopd rollback` and `helm rollback` go back to. Helm keeps it in ConfigMaps where it is told to.
        for scope in [
            Scope(.secrets, labels: ReleaseHistory.everySet), Scope(.secrets, labels: "owner=helm"),
            Scope(.configMaps, labels: "owner=helm"),
        ] {
            for object in try await list(scope).items {
                for (_, value) in object["data"]?.object ?? JSONObject() {
                    UsedContent.collect(try await UsedContent.unpacked(value.string ?? ""), into: &used)
                }
            }
        }
        return used
    }
}

/// The content that texts name: `loopd-` tags and digests.
enum UsedContent {
    private static let marks = [(Array(ImageHome.tagPrefix.utf8), digits: 16), (Array("sha256:".utf8), digits: 64)]

    /// A release that cannot be looked into.
    private struct Unreadable: Error {}

    /// Takes every tag of loopd's own form, and every digest, out of a text.
    static func collect(_ text: [UInt8], into found: inout Set<String>) {
        for (mark, digits) in marks {
            var index = 0
            while index + mark.count + digits <= text.count {
                let end = index + mark.count + digits
                guard text[index] == mark[0], text[index..<index + mark.count].elementsEqual(mark),
                    text[index + mark.count..<end].allSatisfy(isDigit)
                else {
                    index += 1
                    continue
                }
                found.insert(String(decoding: text[index..<end], as: UTF8.self))
                index = end
            }
        }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) || (97...102).contains(byte) }

    /// What a release is kept as: Base64 in Base64, and, by helm, through gzip.
    static func unpacked(_ text: String) async throws -> [UInt8] {
        var bytes = Array(text.utf8)
        while let inner = Base64.decode(String(decoding: bytes, as: UTF8.self)), !inner.isEmpty {
            bytes = inner
            if bytes.starts(with: [0x1F, 0x8B]) {
                let output = try await Child.run(Launch(["gzip", "-dc"]), input: bytes, limit: 64 << 20)
                guard output.status.isSuccess else { throw Unreadable() }
                return output.standardOutput
            }
        }
        return bytes
    }
}
