internal import JSON

/// Which workloads read a Secret when their pods start: a pure function of their pod templates.
enum SecretConsumers {
    /// The Secrets that a pod's spec mounts or takes variables from.
    static func secrets(in spec: JSON) -> Set<String> {
        var names: Set<String> = []
        for volume in spec["volumes"]?.array ?? [] {
            names.insert(volume.at("secret", "secretName")?.string ?? "")
            for source in volume.at("projected", "sources")?.array ?? [] {
                names.insert(source.at("secret", "name")?.string ?? "")
            }
        }
        for container in PodSpecPlace.lists.flatMap({ spec[$0]?.array ?? [] }) {
            for variable in container["env"]?.array ?? [] {
                names.insert(variable.at("valueFrom", "secretKeyRef", "name")?.string ?? "")
            }
            for source in container["envFrom"]?.array ?? [] {
                names.insert(source.at("secretRef", "name")?.string ?? "")
            }
        }
        return names.subtracting([""])
    }

    /// The workloads among some that read one of these Secrets.
    static func workloads(among objects: [JSON], reading secrets: Set<String>) -> [JSON] {
        objects.filter { object in
            PodSpecPlace.spec(in: object).map { !SecretConsumers.secrets(in: $0).isDisjoint(with: secrets) } ?? false
        }
    }
}
