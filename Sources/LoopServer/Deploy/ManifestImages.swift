internal import JSON
internal import OCI

/// Puts the images that loopd builds into manifests, without a change to any file: a pure function.
///
/// In pod templates an image is replaced that has the repository of one that is built, whatever its tag; `${image:NAME}` is
/// replaced in every text.
struct ManifestImages: Equatable, Sendable {
    /// As pods name them, by the names that manifests have for them.
    private let references: [String: String]
    /// Every name that some rule builds; those without a reference have not been built yet.
    private let known: Set<String>

    /// The images of a session: `known` are the names of all that rules build.
    init(_ references: [String: String] = [:], known: Set<String> = []) {
        self.references = references
        self.known = known.union(references.keys)
    }

    /// Something with the images in it.
    struct Replaced<Value: Equatable & Sendable>: Equatable, Sendable {
        var value: Value
        /// The images that are in it.
        var used: Set<String> = []
        /// Those of them that a text names.
        var named: Set<String> = []
        /// Images that belong in it and have not been built yet.
        var missing: Set<String> = []
    }

    /// A manifest with the images in it.
    ///
    /// `running` is the same object as the cluster has it: a container whose image has not been built yet keeps the one
    /// that it runs there. Throws `LoopFailure` for the name of an image that no rule builds.
    func replaced(in object: JSON, running: JSON? = nil) throws(LoopFailure) -> Replaced<JSON> {
        guard !known.isEmpty else { return Replaced(value: object) }
        var result = Replaced(value: object)
        if let path = PodSpecPlace.path(in: object) {
            let live = running.flatMap(PodSpecPlace.spec)
            result.value = try object.replacing(at: path[...]) { spec throws(LoopFailure) in
                containers(in: spec, live: live, &result)
            }
        }
        let words = ObjectReference(object).map { "\($0)" } ?? object["kind"]?.string ?? "a manifest"
        result.value = try expanded(result.value, in: words, &result.named, &result.missing)
        result.used.formUnion(result.named)
        return result
    }

    /// A text with the images in it; `place` says where it stands, for people.
    func expanded(_ text: String, in place: String) throws(LoopFailure) -> Replaced<String> {
        var result = Replaced(value: text)
        result.value = try expanded(text, in: place, &result.used, &result.missing)
        return result
    }

    /// What to say of an object, or of something else, that waits.
    static func words(_ waiting: some CustomStringConvertible, waitsFor images: Set<String>) -> String {
        let names = images.sorted().map { "image \($0)" }.joined(separator: " and ")
        return "\(waiting) waits for \(names), which \(images.count == 1 ? "has" : "have") not been built yet"
    }

    // MARK: Images of containers

    private func containers(in spec: JSON, live: JSON?, _ result: inout Replaced<JSON>) -> JSON {
        var spec = spec
        for list in PodSpecPlace.lists {
            guard let containers = spec[list]?.array else { continue }
            spec[list] = .array(
                containers.map { container in
                    guard let image = container["image"]?.string, let name = name(of: image) else { return container }
                    var container = container
                    if let reference = references[name] {
                        container["image"] = .string(reference)
                        container["imagePullPolicy"] = "IfNotPresent"
                        result.used.insert(name)
                    } else if let runs = live?[list]?.array?.first(where: { $0["name"] == container["name"] })?[
                        "image"],
                        runs != container["image"]
                    {
                        container["image"] = runs
                        container["imagePullPolicy"] = "IfNotPresent"
                        result.used.insert(name)
                    } else {
                        result.missing.insert(name)
                    }
                    return container
                })
        }
        return spec
    }

    /// The name of the image that a container's text means; `nil` for one that no rule builds.
    private func name(of image: String) -> String? {
        if image.hasPrefix(ManifestImages.mark), image.hasSuffix("}") {
            let name = String(image.dropFirst(ManifestImages.mark.count).dropLast())
            return known.contains(name) ? name : nil
        }
        if known.contains(image) { return image }
        let repository = ManifestImages.repository(of: image)
        return known.filter { ManifestImages.repository(of: $0) == repository }.min()
    }

    /// The full name of a repository, with what Docker adds to short ones.
    private static func repository(of image: String) -> String {
        let name = ImageName(image)
        let registry = ["", "index.docker.io"].contains(name.registry) ? "docker.io" : name.registry
        let isShort = registry == "docker.io" && !name.repository.contains("/")
        return "\(registry)/\(isShort ? "library/" : "")\(name.repository)"
    }

    // MARK: Texts

    private static let mark = "${image:"

    private func expanded(
        _ value: JSON, in place: String, _ used: inout Set<String>, _ missing: inout Set<String>
    ) throws(LoopFailure) -> JSON {
        if let text = value.string {
            guard text.contains(ManifestImages.mark) else { return value }
            return .string(try expanded(text, in: place, &used, &missing))
        }
        if let elements = value.array {
            var result: [JSON] = []
            for element in elements { result.append(try expanded(element, in: place, &used, &missing)) }
            return .array(result)
        }
        guard let object = value.object else { return value }
        var result = object
        for (key, member) in object { result[key] = try expanded(member, in: place, &used, &missing) }
        return .object(result)
    }

    private func expanded(
        _ text: String, in place: String, _ used: inout Set<String>, _ missing: inout Set<String>
    ) throws(LoopFailure) -> String {
        guard !known.isEmpty else { return text }
        var result = ""
        var rest = text[...]
        while let found = rest.firstRange(of: ManifestImages.mark) {
            let before = rest[..<found.lowerBound]
            let after = rest[found.upperBound...]
            rest = after
            // `${image:0:5}` is a shell's, and `$${image:web}` is meant as it stands.
            guard let end = after.firstIndex(of: "}"), ManifestImages.isName(after[..<end]) else {
                result += before + ManifestImages.mark
                continue
            }
            guard before.last != "$" else {
                result += before.dropLast() + ManifestImages.mark
                continue
            }
            let name = String(after[..<end])
            rest = after[after.index(after: end)...]
            guard known.contains(name) else { throw unknown(name, in: place) }
            used.insert(name)
            if references[name] == nil { missing.insert(name) }
            result += before + (references[name] ?? "${image:\(name)}")
        }
        return result + rest
    }

    /// Whether a text may be the name of an image: a colon is only part of a registry's.
    private static func isName(_ text: Substring) -> Bool {
        guard let first = text.utf8.first, first.isLowerOrDigit, let last = text.utf8.last, last.isLowerOrDigit else {
            return false
        }
        let path = text.firstIndex(of: "/").map { text[$0...] } ?? text
        return text.utf8.allSatisfy { $0.isLowerOrDigit || "._-/:".utf8.contains($0) } && !path.contains(":")
    }

    private func unknown(_ name: String, in place: String) -> LoopFailure {
        let near = NearestName.of(name, among: known.sorted())
        return LoopFailure(
            failure: LoopEvent.Failure(
                "\(place): ${image:\(name)} is no image that a rule builds",
                nextStep: near.map { "did you mean ${image:\($0)}?" }
                    ?? "there are: \(known.sorted().joined(separator: ", ")); $${image:…} stays as it is"))
    }
}

extension UInt8 {
    fileprivate var isLowerOrDigit: Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(self) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self)
    }
}

extension Configuration {
    /// The names of all images that some rule builds or runs.
    var imageNames: Set<String> {
        Set(
            services.flatMap(\.rules).compactMap { rule in
                if case .image(let image) = rule.action { image.name } else { nil }
            })
    }
}
