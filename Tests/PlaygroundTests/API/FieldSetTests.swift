import JSON
import Testing

@testable import Playground

/// Sets of fields: their notation, their paths, and what has an owner of its own.
struct FieldSetTests {
    /// Every object with managed fields in a recording.
    private static func objects(in value: JSON) -> [JSON] {
        switch value {
        case .object(let object):
            let own = value.at("metadata", "managedFields") == nil ? [] : [value]
            return own + object.flatMap { objects(in: $0.value) }
        case .array(let elements): return elements.flatMap(objects)
        default: return []
        }
    }

    @Test(
        "recorded managed fields are written as they were read, in their order",
        arguments: ["nodes.json", "objects", "pods", "deployments"])
    func roundTrip(_ place: String) throws {
        let path = "\(Recording.folder)/\(place)"
        let files = place.hasSuffix(".json") ? [path] : Disk.names(in: path).map { "\(path)/\($0)" }
        let objects = try files.flatMap { Self.objects(in: try JSON(parsing: try Disk.read($0))) }
        #expect(!objects.isEmpty)
        for object in objects {
            let recorded = object.at("metadata", "managedFields")
            #expect(ManagedFields(recorded).json?.text == recorded?.text)
        }
    }

    @Test(
        "fields of a pod that an apply names",
        arguments: [
            (["nodeName": "a"], [".spec.nodeName"]),
            (["nodeSelector": ["a": "b", "c": "d"]], [".spec.nodeSelector"]),
            (["tolerations": [["key": "a"]]], [".spec.tolerations"]),
            (
                ["imagePullSecrets": [["name": "a"]]],
                [#".spec.imagePullSecrets[name="a"]"#]
            ),
            (
                ["initContainers": [["name": "a", "args": ["x"], "envFrom": [["prefix": "p"]]]]],
                [
                    #".spec.initContainers[name="a"]"#, #".spec.initContainers[name="a"].args"#,
                    #".spec.initContainers[name="a"].envFrom"#, #".spec.initContainers[name="a"].name"#,
                ]
            ),
            (
                [
                    "containers": [
                        [
                            "name": "a", "ports": [["containerPort": 53, "protocol": "UDP"]],
                            "env": [
                                ["name": "E", "valueFrom": ["fieldRef": ["fieldPath": "x"]]]
                            ],
                            "volumeMounts": [["mountPath": "/m", "name": "v"]],
                            "securityContext": ["capabilities": ["drop": ["ALL"]]],
                        ]
                    ]
                ],
                [
                    #".spec.containers[name="a"]"#, #".spec.containers[name="a"].name"#,
                    #".spec.containers[name="a"].env[name="E"]"#, #".spec.containers[name="a"].env[name="E"].name"#,
                    #".spec.containers[name="a"].env[name="E"].valueFrom.fieldRef"#,
                    #".spec.containers[name="a"].ports[containerPort=53,protocol="UDP"]"#,
                    #".spec.containers[name="a"].ports[containerPort=53,protocol="UDP"].containerPort"#,
                    #".spec.containers[name="a"].ports[containerPort=53,protocol="UDP"].protocol"#,
                    #".spec.containers[name="a"].securityContext.capabilities.drop"#,
                    #".spec.containers[name="a"].volumeMounts[mountPath="/m"]"#,
                    #".spec.containers[name="a"].volumeMounts[mountPath="/m"].mountPath"#,
                    #".spec.containers[name="a"].volumeMounts[mountPath="/m"].name"#,
                ]
            ),
            (
                ["volumes": [["name": "v", "configMap": ["name": "c", "items": [["key": "k", "path": "p"]]]]]],
                [
                    #".spec.volumes[name="v"]"#, #".spec.volumes[name="v"].name"#,
                    #".spec.volumes[name="v"].configMap.items"#, #".spec.volumes[name="v"].configMap.name"#,
                ]
            ),
        ] as [(JSON, [String])])
    func named(_ spec: JSON, _ paths: [String]) {
        #expect(ManagedFields.fields(of: ["spec": spec], .pod).paths == paths)
    }

    @Test("of metadata, identity is nobody's; finalizers and owners are told apart")
    func metadata() {
        let object: JSON = [
            "apiVersion": "v1", "kind": "Pod",
            "metadata": [
                "name": "a", "namespace": "b", "uid": "c", "resourceVersion": "1", "labels": ["x": "y"],
                "finalizers": ["f"], "ownerReferences": [["uid": "u", "name": "n"]],
            ],
            "status": ["phase": "Running"],
        ]
        #expect(
            ManagedFields.fields(of: object, .pod).paths
                == [
                    #".metadata.finalizers[="f"]"#, ".metadata.labels.x", #".metadata.ownerReferences[uid="u"]"#,
                ])
    }

    @Test(
        "managed fields that make no sense are left out",
        arguments: [
            #"[{"manager":"a","operation":"Update","fieldsV1":{"x":{}}}]"#,
            #"[{"manager":"a","operation":"Guess","fieldsV1":{"f:a":{}}}]"#, #"[{"manager":"a","operation":"Apply"}]"#,
            #"[{"manager":"a","operation":"Apply","fieldsV1":{"f:a":1}}]"#, #"[1]"#, #"{}"#,
        ])
    func nonsense(_ text: String) throws {
        #expect(ManagedFields(try JSON(parsing: text)).json == nil)
    }
}
