internal import HTTP
internal import JSON

/// Reads Kubernetes' protobuf, which `kubectl create` sends, for the kinds that it creates so.
///
/// A field that this table lacks and that holds something is refused, never dropped.
struct Protobuf {
    /// The envelope's magic number.
    private static let magic: [UInt8] = [0x6B, 0x38, 0x73, 0x00]

    /// `Message: number:name:type …`; `s` text, `i` number, `b` truth, `t` time, `y` bytes as Base64, `x` number or text,
    /// `q` quantity, `ms` `my` `mq` maps, a message's name, `[…]` repeated, `-` empty in what clients send.
    private static let table = """
        ObjectMeta: 1:name:s 2:generateName:s 3:namespace:s 5:uid:s 6:resourceVersion:s 7:-:- 8:creationTimestamp:t \
        11:labels:ms 12:annotations:ms 14:finalizers:[s]
        Namespace: 1:metadata:ObjectMeta 2:spec:NamespaceSpec 3:status:Empty
        NamespaceSpec: 1:finalizers:[s]
        Empty:
        ConfigMap: 1:metadata:ObjectMeta 2:data:ms 3:binaryData:my 4:immutable:b
        Secret: 1:metadata:ObjectMeta 2:data:my 3:type:s 4:stringData:ms 5:immutable:b
        ServiceAccount: 1:metadata:ObjectMeta 3:imagePullSecrets:[LocalObjectReference] 4:automountServiceAccountToken:b
        LocalObjectReference: 1:name:s
        TokenRequest: 1:metadata:ObjectMeta 2:spec:TokenRequestSpec 3:status:-
        TokenRequestSpec: 1:audiences:[s] 3:boundObjectRef:BoundObjectReference 4:expirationSeconds:i
        BoundObjectReference: 1:kind:s 2:apiVersion:s 3:name:s 4:uid:s
        ResourceQuota: 1:metadata:ObjectMeta 2:spec:ResourceQuotaSpec 3:status:Empty
        ResourceQuotaSpec: 1:hard:mq 2:scopes:[s]
        Deployment: 1:metadata:ObjectMeta 2:spec:DeploymentSpec 3:status:Empty
        DeploymentSpec: 1:replicas:i 2:selector:LabelSelector 3:template:PodTemplateSpec 4:strategy:DeploymentStrategy \
        5:minReadySeconds:i 6:revisionHistoryLimit:i 7:paused:b 9:progressDeadlineSeconds:i
        DeploymentStrategy: 1:type:s 2:rollingUpdate:RollingUpdate
        RollingUpdate: 1:maxUnavailable:x 2:maxSurge:x
        LabelSelector: 1:matchLabels:ms
        Service: 1:metadata:ObjectMeta 2:spec:ServiceSpec 3:status:Empty
        ServiceSpec: 1:ports:[ServicePort] 2:selector:ms 3:clusterIP:s 4:type:s 5:externalIPs:[s] 7:sessionAffinity:s \
        8:loadBalancerIP:s 10:externalName:s 11:externalTrafficPolicy:s 12:healthCheckNodePort:i \
        13:publishNotReadyAddresses:b 17:ipFamilyPolicy:s 18:clusterIPs:[s] 19:ipFamilies:[s] 22:internalTrafficPolicy:s
        ServicePort: 1:name:s 2:protocol:s 3:port:i 4:targetPort:x 5:nodePort:i 6:appProtocol:s
        PodTemplateSpec: 1:metadata:ObjectMeta 2:spec:PodSpec
        PodSpec: 2:containers:[Container] 3:restartPolicy:s 4:terminationGracePeriodSeconds:i 6:dnsPolicy:s \
        8:serviceAccountName:s 9:serviceAccount:s 10:nodeName:s 11:hostNetwork:b 12:hostPID:b 13:hostIPC:b 16:hostname:s \
        17:subdomain:s 19:schedulerName:s 24:priorityClassName:s 14:securityContext:Empty
        Container: 1:name:s 2:image:s 3:command:[s] 4:args:[s] 5:workingDir:s 6:ports:[ContainerPort] 7:env:[EnvVar] \
        8:resources:ResourceRequirements 13:terminationMessagePath:s 14:imagePullPolicy:s 16:stdin:b 17:stdinOnce:b \
        18:tty:b 20:terminationMessagePolicy:s
        ContainerPort: 1:name:s 2:hostPort:i 3:containerPort:i 4:protocol:s 5:hostIP:s
        EnvVar: 1:name:s 2:value:s
        ResourceRequirements: 1:limits:mq 2:requests:mq
        DeleteOptions: 1:gracePeriodSeconds:i 2:preconditions:Preconditions 3:orphanDependents:b 4:propagationPolicy:s \
        5:dryRun:[s]
        Preconditions: 1:uid:s 2:resourceVersion:s
        """

    private static let messages: [String: [UInt64: (name: String, type: Substring)]] = {
        var messages: [String: [UInt64: (name: String, type: Substring)]] = [:]
        for line in table.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard let head = words.first else { continue }
            var fields: [UInt64: (name: String, type: Substring)] = [:]
            for word in words.dropFirst() {
                let parts = word.split(separator: ":")
                if parts.count == 3, let number = UInt64(parts[0]) { fields[number] = (String(parts[1]), parts[2]) }
            }
            messages[String(head.dropLast())] = fields
        }
        return messages
    }()

    /// One field on the wire.
    private enum Wire {
        case number(UInt64)
        case bytes(ArraySlice<UInt8>)
    }

    /// The object in an envelope, with its `kind` and `apiVersion`.
    static func object(_ body: [UInt8]) throws -> JSON {
        guard body.starts(with: magic) else { throw malformed }
        var version = ""
        var kind = ""
        var raw: ArraySlice<UInt8> = []
        for (number, value) in try fields(body[4...]) {
            guard case .bytes(let bytes) = value else { continue }
            if number == 2 { raw = bytes }
            guard number == 1 else { continue }
            for case (let part, .bytes(let text)) in try fields(bytes) {
                if part == 1 { version = String(decoding: text, as: UTF8.self) }
                if part == 2 { kind = String(decoding: text, as: UTF8.self) }
            }
        }
        guard messages[kind] != nil, kind != "Empty" else {
            throw refusal("\(kind) objects")
        }
        var object = try message(raw, kind)
        object["kind"] = .string(kind)
        object["apiVersion"] = .string(version)
        return object
    }

    private static let malformed = StatusError.badRequest("the body is not the protobuf of an object")

    private static func refusal(_ what: String) -> StatusError {
        StatusError(
            code: 415, reason: "UnsupportedMediaType",
            message: "the playground does not read \(what) as protobuf; send JSON (kubectl apply does)")
    }

    private static func message(_ bytes: ArraySlice<UInt8>, _ name: String) throws -> JSON {
        guard let known = messages[name] else { throw refusal(name) }
        var object: JSON = [:]
        for (number, value) in try fields(bytes) {
            guard let field = known[number], field.type != "-" else {
                // Kubernetes writes its empty values too.
                switch value {
                case .number(0): continue
                case .bytes(let bytes) where bytes.isEmpty: continue
                default:
                    if known[number] != nil { continue }
                    throw refusal("field \(number) of \(name)")
                }
            }
            try set(field.name, field.type, value, in: &object)
        }
        return object
    }

    private static func set(_ name: String, _ type: Substring, _ value: Wire, in object: inout JSON) throws {
        if type.hasPrefix("[") {
            let element = try single(type.dropFirst().dropLast(), value)
            object[name] = .array((object[name]?.array ?? []) + [element])
        } else if type.hasPrefix("m"), type.count == 2 {
            guard case .bytes(let bytes) = value else { throw malformed }
            var key = ""
            var member = JSON.string("")
            for (number, part) in try fields(bytes) {
                if number == 1 { key = try single("s", part).string ?? "" }
                if number == 2 { member = try single(type.dropFirst(), part) }
            }
            var map = object[name] ?? [:]
            map[key] = member
            object[name] = map
        } else {
            let element = try single(type, value)
            // An empty message stands for a structure that is not there, except where its presence speaks.
            if name == "creationTimestamp" || (element == [:] && name != "securityContext") { return }
            object[name] = element
        }
    }

    private static func single(_ type: Substring, _ value: Wire) throws -> JSON {
        switch (type, value) {
        case ("s", .bytes(let bytes)): return .string(String(decoding: bytes, as: UTF8.self))
        case ("y", .bytes(let bytes)): return .string(HTTP.Base64.encode(Array(bytes)))
        case ("i", .number(let number)): return .integer(Int64(bitPattern: number))
        case ("b", .number(let number)): return .bool(number != 0)
        case ("t", .bytes): return [:]
        case ("q", .bytes(let bytes)):
            for case (1, .bytes(let text)) in try fields(bytes) {
                return .string(String(decoding: text, as: UTF8.self))
            }
            return "0"
        case ("x", .bytes(let bytes)):
            var isText = false
            var number: Int64 = 0
            var text = ""
            for (part, value) in try fields(bytes) {
                switch (part, value) {
                case (1, .number(let kind)): isText = kind == 1
                case (2, .number(let value)): number = Int64(bitPattern: value)
                case (3, .bytes(let bytes)): text = String(decoding: bytes, as: UTF8.self)
                default: break
                }
            }
            return isText ? .string(text) : .integer(number)
        case (_, .bytes(let bytes)): return try message(bytes, String(type))
        default: throw malformed
        }
    }

    private static func fields(_ bytes: ArraySlice<UInt8>) throws -> [(number: UInt64, value: Wire)] {
        var rest = bytes
        var result: [(number: UInt64, value: Wire)] = []
        while !rest.isEmpty {
            let tag = try varint(&rest)
            switch tag & 7 {
            case 0: result.append((tag >> 3, .number(try varint(&rest))))
            case 2:
                let length = try varint(&rest)
                guard length <= UInt64(rest.count) else { throw malformed }
                result.append((tag >> 3, .bytes(rest.prefix(Int(length)))))
                rest = rest.dropFirst(Int(length))
            default: throw malformed
            }
        }
        return result
    }

    private static func varint(_ rest: inout ArraySlice<UInt8>) throws -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 70, by: 7) {
            guard let byte = rest.popFirst() else { throw malformed }
            value |= shift < 64 ? UInt64(byte & 0x7F) << shift : 0
            if byte & 0x80 == 0 { return value }
        }
        throw malformed
    }
}
