internal import JSON

/// What variables and files say of their own pod: `fieldRef` and `resourceFieldRef`, as the kubelet answers them.
extension PodReferences {
    /// The value at a field path; `nil` where only a pod has it, and there is none.
    func field(_ path: String) throws -> String? {
        let metadata = pod["metadata"] ?? .null
        for map in ["labels", "annotations"] {
            if path == "metadata.\(map)" {
                let lines = metadata.strings(map).sorted { $0.key < $1.key }.map {
                    "\($0.key)=\(GoText.quoted($0.value))"
                }
                return lines.joined(separator: "\n")
            }
            let prefix = "metadata.\(map)['"
            guard path.hasPrefix(prefix), path.hasSuffix("']") else { continue }
            return metadata.strings(map)[String(path.dropFirst(prefix.count).dropLast(2))] ?? ""
        }
        switch path {
        case "metadata.namespace": return namespace
        case "spec.serviceAccountName": return serviceAccount
        case "metadata.name", "metadata.uid", "spec.nodeName":
            let parts = path.split(separator: ".").map(String.init)
            return isTemplate ? nil : pod.at(parts[0], parts[1])?.string ?? ""
        case "status.podIP", "status.hostIP":
            return isTemplate ? nil : pod.at("status", String(path.dropFirst("status.".count)))?.string ?? ""
        case "status.podIPs", "status.hostIPs":
            let name = String(path.dropFirst("status.".count))
            let all = (pod.at("status", name)?.array ?? []).compactMap { $0["ip"]?.string }
            if isTemplate { return nil }
            return all.isEmpty ? pod.at("status", String(name.dropLast()))?.string ?? "" : all.joined(separator: ",")
        default:
            throw LoopFailure(
                failure: LoopEvent.Failure("the pod refers to the field \(path), which loopd does not know"))
        }
    }

    /// The service account that the pod runs as.
    var serviceAccount: String {
        let name = (pod.at("spec", "serviceAccountName") ?? pod.at("spec", "serviceAccount"))?.string ?? ""
        return name.isEmpty ? "default" : name
    }

    /// The container that a `resourceFieldRef` is about.
    private func owner(_ reference: JSON) -> JSON {
        guard let name = reference["containerName"]?.string, !name.isEmpty else { return container }
        let all = ["containers", "initContainers"].flatMap { pod.at("spec", $0)?.array ?? [] }
        return all.first { $0["name"]?.string == name } ?? container
    }

    /// What a container asks for, or is given at most, with what stands for a limit that it does not set; `nil` where
    /// that is the node's whole room, and the node may not be looked at.
    private func amount(_ reference: JSON) throws -> String? {
        let parts = (reference["resource"]?.string ?? "").split(separator: ".", maxSplits: 1).map(String.init)
        guard parts.count == 2, ["limits", "requests"].contains(parts[0]) else {
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "the pod refers to the resource \(reference["resource"]?.string ?? ""), which loopd does not know"))
        }
        if parts[0] == "requests" {
            return PodReferences.text(owner(reference).at("resources", "requests", parts[1])) ?? "0"
        }
        if let limit = limit(reference) { return limit }
        return node.map { PodReferences.text($0.at("status", "allocatable", parts[1])) ?? "0" }
    }

    /// The limit that the container, or else the pod as a whole, sets; also for a request, which needs no node.
    func limit(_ reference: JSON) -> String? {
        let resource = reference["resource"]?.string ?? ""
        guard resource.hasPrefix("limits.") else { return "0" }
        let name = String(resource.dropFirst("limits.".count))
        let set = [owner(reference).at("resources", "limits", name), pod.at("spec", "resources", "limits", name)]
        return set.compactMap(PodReferences.text).first { HeldValue.quantity($0) ?? 0 > 0 }
    }

    /// The value of a `resourceFieldRef`, divided as asked and rounded up; `nil` where nobody may know it.
    func resource(_ reference: JSON) throws -> String? {
        guard let amount = try amount(reference).flatMap(HeldValue.quantity) else { return nil }
        // Parts of a processor count in thousandths, everything else in whole units.
        let unit: Double = reference["resource"]?.string?.hasSuffix(".cpu") == true ? 1000 : 1
        let wanted = PodReferences.text(reference["divisor"]).flatMap(HeldValue.quantity) ?? 0
        let divisor = PodReferences.up((wanted > 0 ? wanted : 1) * unit)
        return String(Int64(exactly: PodReferences.up(PodReferences.up(amount * unit) / divisor)) ?? .max)
    }

    /// The next whole number; a fraction may have missed its own by a little.
    private static func up(_ number: Double) -> Double {
        abs(number.rounded() - number) < 1e-6 ? number.rounded() : number.rounded(.up)
    }

    /// A quantity as text, which YAML may have made a number.
    private static func text(_ value: JSON?) -> String? {
        value?.string ?? value?.integer.map { String($0) } ?? value?.double.map { String($0) }
    }
}

/// Text as Go's `%q` shows it, which is how the kubelet writes labels and annotations.
enum GoText {
    private static let names: [Unicode.Scalar: String] = [
        "\"": "\\\"", "\\": "\\\\", "\u{7}": "\\a", "\u{8}": "\\b", "\u{C}": "\\f", "\n": "\\n", "\r": "\\r",
        "\t": "\\t", "\u{B}": "\\v",
    ]

    static func quoted(_ text: String) -> String {
        let parts = text.unicodeScalars.map { scalar -> String in
            if let name = names[scalar] { return name }
            if isPrintable(scalar) { return String(scalar) }
            let hex = String(scalar.value, radix: 16)
            let (sign, width) = scalar.value < 0x80 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
            return "\\\(sign)\(String(repeating: "0", count: width - hex.count))\(hex)"
        }
        return "\"\(parts.joined())\""
    }

    private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
        case .spaceSeparator: scalar == " "
        default: true
        }
    }
}
