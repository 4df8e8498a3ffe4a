internal import JSON

/// Lists as `kubectl get` prints them.
enum Table {
    struct Column {
        let name: String
        let type: String
        /// 1 is for `-o wide` only.
        let priority: Int64

        init(_ name: String, _ type: String = "string", wide: Bool = false) {
            self.name = name
            self.type = type
            priority = wide ? 1 : 0
        }
    }

    /// A table of objects; each row carries its object's metadata, unless the query says otherwise.
    static func of(_ kind: ResourceKind, _ objects: [JSON], includeObject: String?) -> JSON {
        let columns = columns(of: kind).map { column in
            [
                "name": .string(column.name), "type": .string(column.type),
                "format": column.name == "Name" ? "name" : "", "description": "", "priority": .integer(column.priority),
            ] as JSON
        }
        let now = Timestamp.now
        let rows = objects.map { object in
            var row: JSON = ["cells": .array(Cells.row(of: object, kind, now: now))]
            switch includeObject {
            case "None": break
            case "Object": row["object"] = object
            default: row["object"] = APIServer.partial(object)
            }
            return row
        }
        var table: JSON = ["kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": [:]]
        if objects.count == 1, let version = objects[0].at("metadata", "resourceVersion") {
            table["metadata"] = ["resourceVersion": version]
        }
        table["columnDefinitions"] = .array(columns)
        table["rows"] = .array(rows)
        return table
    }

    static func columns(of kind: ResourceKind) -> [Column] {
        let name = Column("Name")
        let age = Column("Age")
        let template = [
            Column("Containers", wide: true), Column("Images", wide: true), Column("Selector", wide: true),
        ]
        switch kind {
        case .pod:
            return [
                name, Column("Ready"), Column("Status"), Column("Restarts"), age, Column("IP", wide: true),
                Column("Node", wide: true), Column("Nominated Node", wide: true), Column("Readiness Gates", wide: true),
            ]
        case .deployment: return [name, Column("Ready"), Column("Up-to-date"), Column("Available"), age] + template
        case .replicaSet:
            return [name, Column("Desired", "integer"), Column("Current", "integer"), Column("Ready", "integer"), age]
                + template
        case .statefulSet: return [name, Column("Ready"), age] + template.dropLast()
        case .daemonSet:
            return [name]
                + ["Desired", "Current", "Ready", "Up-to-date", "Available"].map { Column($0, "integer") }
                + [Column("Node Selector"), age] + template
        case .job:
            return [name, Column("Status"), Column("Completions"), Column("Duration"), age] + template
        case .controllerRevision: return [name, Column("Controller"), Column("Revision"), age]
        case .service:
            return [
                name, Column("Type"), Column("Cluster-IP"), Column("External-IP"), Column("Port(s)"), age,
                Column("Selector", wide: true),
            ]
        case .endpoints: return [name, Column("Endpoints"), age]
        case .endpointSlice:
            return [name, Column("AddressType"), Column("Ports"), Column("Endpoints"), age]
        case .configMap: return [name, Column("Data"), age]
        case .resourceQuota: return [name, Column("Request"), Column("Limit"), age]
        case .secret: return [name, Column("Type"), Column("Data"), age]
        case .serviceAccount: return [name, Column("Secrets"), age]
        case .namespace: return [name, Column("Status"), age]
        case .node:
            return [
                name, Column("Status"), Column("Roles"), age, Column("Version"), Column("Internal-IP", wide: true),
                Column("External-IP", wide: true), Column("OS-Image", wide: true), Column("Kernel-Version", wide: true),
                Column("Container-Runtime", wide: true),
            ]
        case .event:
            return [
                Column("Last Seen"), Column("Type"), Column("Reason"), Column("Object"),
                Column("Subobject", wide: true), Column("Source", wide: true), Column("Message"),
                Column("First Seen", wide: true), Column("Count", wide: true), Column("Name", wide: true),
            ]
        default: return [name, age]
        }
    }
}
