internal import JSON

/// What a pod asks for as a whole.
enum PodResources {
    /// The `requests` or `limits` of a pod for one resource; `nil` where no container names it.
    ///
    /// Its containers run together with the sidecars among its init containers; each other init container runs alone, with
    /// the sidecars that were started before it.
    static func total(_ list: String, of resource: String, for pod: JSON) -> Quantity? {
        func amount(_ container: JSON) -> Quantity? {
            container.at("resources", list, resource)?.string.flatMap { Quantity($0) }
        }
        var isNamed = false
        func add(_ container: JSON, to sum: Quantity) -> Quantity {
            guard let amount = amount(container) else { return sum }
            isNamed = true
            return sum + amount
        }
        var together = (pod.at("spec", "containers")?.array ?? []).reduce(.zero) { add($1, to: $0) }
        var sidecars = Quantity.zero
        var beginning = Quantity.zero
        for container in pod.at("spec", "initContainers")?.array ?? [] {
            if container["restartPolicy"] == "Always" {
                together = add(container, to: together)
                sidecars = add(container, to: sidecars)
                beginning = max(beginning, sidecars)
            } else {
                beginning = max(beginning, add(container, to: sidecars))
            }
        }
        return isNamed ? max(together, beginning) : nil
    }
}
