internal import JSON

/// An image that a rule builds, or that it only runs.
struct ImageClaim {
    let service: String
    /// `nil` where it could not be read.
    var image: Image?
    /// `nil` where that could not be read.
    let name: String?
    /// The value of `image`.
    let node: ConfigurationReader.Node
    /// Its members; none where it is the name of an image that another service builds.
    let keys: [String: ConfigurationReader.Node]

    /// Whether it says how the image is built, even if that is wrong.
    var builds: Bool { if case .object = node.value.kind { true } else { false } }
    var isLayer: Bool { if case .append = image?.builder { true } else { false } }
}

/// What the rules of all services say about images together: an image has one builder and a container one image.
extension ConfigurationReader {
    mutating func checkImages(of services: [Service]) {
        checkBuilders()
        checkLayers()
        checkBases()
        checkUses()
        checkContainers(services)
        checkConsumers(services)
    }

    /// An image is built by one service, and there by one rule, or by several that append a layer each.
    private mutating func checkBuilders() {
        var first: [String: ImageClaim] = [:]
        for claim in imageClaims where claim.builds {
            guard let name = claim.name else { continue }
            guard let owner = first[name] else {
                first[name] = claim
                continue
            }
            guard claim.image != nil, owner.image != nil else { continue }
            if owner.service != claim.service {
                error(
                    claim.node, "image \"\(name)\" is built by services \"\(owner.service)\" and \"\(claim.service)\"",
                    hint:
                        "\"image\": \"\(name)\" in one of them runs what the other builds; or give each its own \"name\""
                )
            } else if !owner.isLayer || !claim.isLayer {
                error(
                    claim.node, "image \"\(name)\" is built by two rules",
                    hint: "give each its own \"name\"; only rules that append share one: each is a layer")
            }
        }
    }

    /// The first layer of an image says what the later ones share.
    private mutating func checkLayers() {
        var seen: Set<String> = []
        for claim in imageClaims where claim.isLayer {
            guard let name = claim.name else { continue }
            if seen.insert("\(claim.service)/\(name)").inserted {
                if claim.keys["base"] == nil {
                    error(
                        claim.node, "\"base\" is missing",
                        hint: "the image below the layer, or \"scratch\": \"base\": \"python:3.13-slim\"")
                }
                continue
            }
            for key in ["base", "config", "alias", "container"] {
                guard let node = claim.keys[key] else { continue }
                error(
                    node, "\"\(key)\" in a later layer of image \"\(name)\"", hint: "the image's first rule says it")
            }
        }
    }

    /// Images that are appended to each other in a circle.
    private mutating func checkBases() {
        var bases: [String: (base: String, node: Node)] = [:]
        for claim in imageClaims {
            guard let name = claim.name, case .append(let layer) = claim.image?.builder, let base = layer.base,
                let node = claim.keys["base"], bases[name] == nil
            else { continue }
            bases[name] = (base, node)
        }
        for (name, (base, node)) in bases {
            var way = [name, base]
            while let next = bases[way[way.count - 1]]?.base, !way.dropLast().contains(way[way.count - 1]) {
                way.append(next)
            }
            if way.last == name { error(node, "a circle of bases: \(way.joined(separator: " → "))") }
        }
    }

    /// Images that a service runs and another one is to build.
    private mutating func checkUses() {
        let built = imageClaims.filter(\.builds)
        let names = built.compactMap(\.name)
        for claim in imageClaims where !claim.builds {
            guard let name = claim.name else { continue }
            guard let owner = built.first(where: { $0.name == name }) else {
                let near = NearestName.of(name, among: names)
                error(
                    claim.node, "no service builds an image \"\(name)\"",
                    hint: near.map { "did you mean \"\($0)\"?" }
                        ?? (names.isEmpty
                            ? "{} instead builds the service's Dockerfile"
                            : "built here: \(Set(names).sorted().joined(separator: ", "))"))
                continue
            }
            if owner.service == claim.service {
                error(claim.node, "the service builds image \"\(name)\" itself", hint: "leave this rule out")
            }
        }
    }

    /// Two images for one container of one workload.
    private mutating func checkContainers(_ services: [Service]) {
        // What is only the base of another image is not for a container.
        let bases = ImagePlan.bases(of: services)
        var taken: [(target: Target, container: String?, image: String)] = []
        for claim in imageClaims {
            guard let image = claim.image, let service = services.first(where: { $0.name == claim.service }),
                let target = service.target, !claim.builds || image.container != nil || !bases.contains(image.name)
            else { continue }
            // Later layers say nothing about the container.
            let container = image.container ?? service.container
            if claim.isLayer, taken.contains(where: { $0.target == target && $0.image == image.name }) { continue }
            let other = taken.first { $0.target == target && $0.container == container && $0.image != image.name }
            taken.append((target, container, image.name))
            guard let other else { continue }
            error(
                claim.node,
                "images \"\(other.image)\" and \"\(image.name)\" are both for \(container.map { "container \"\($0)\"" } ?? "the container") of \(target)",
                hint: "\"container\" says whose image it is")
        }
    }

    /// An image that nobody would run.
    private mutating func checkConsumers(_ services: [Service]) {
        // A deployment or manifest names images as it likes.
        guard services.allSatisfy({ $0.manifests.isEmpty && $0.rules.allSatisfy { $0.deployment == nil } }) else {
            return
        }
        let variables = services.flatMap { [$0.host?.environment, $0.dev?.environment] }.compactMap(\.self)
        let used = ImagePlan.bases(of: services).union(imageClaims.filter { !$0.builds }.compactMap(\.name))
            .union(ImagePlan.named(in: variables.flatMap { Array($0.values) }, of: services))
        var named: Set<String> = []
        for claim in imageClaims {
            guard claim.image != nil, let name = claim.name, !claim.builds || !used.contains(name),
                let service = services.first(where: { $0.name == claim.service }), service.target == nil,
                named.insert(service.name).inserted
            else { continue }
            error(
                claim.node, "nothing would run image \"\(name)\"",
                hint:
                    "give the service the \"workload\" that does, for example \"workload\": \"deployment/\(service.name)\"; or \"manifests\", or a \"deploy\" that names the image"
            )
        }
    }
}
