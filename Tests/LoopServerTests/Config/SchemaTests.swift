import Glibc
import JSON
import Testing

@testable import LoopServer

@Suite("loop.schema.json")
struct SchemaTests {
    private static let root = String(#filePath.dropLast("Tests/LoopServerTests/Config/SchemaTests.swift".count))

    private static func text(_ path: String) throws -> String {
        let file = try #require(fopen(root + path, "r"), "\(path)")
        defer { fclose(file) }
        var bytes: [UInt8] = []
        while case let byte = getc(file), byte != EOF { bytes.append(UInt8(byte)) }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func schema() throws -> JSON { try JSON(parsing: text("loop.schema.json")) }

    @Test("each section has the keys that the reader knows, each with a description")
    func sameKeys() throws {
        let schema = try SchemaTests.schema()
        for keys in ConfigurationKeys.sections {
            let isRoot = keys.section == ConfigurationKeys.root.section
            let section = try #require(isRoot ? schema : schema.at("$defs", keys.section), "\(keys.section)")
            let properties = try #require(section["properties"]?.object, "\(keys.section)")
            #expect(Set(properties.keys) == Set(keys.known), "\(keys.section)")
            #expect(section["additionalProperties"] == false, "\(keys.section)")
            for (key, value) in properties {
                let target = value["$ref"]?.string.flatMap {
                    schema.at("$defs", String($0.dropFirst("#/$defs/".count)))
                }
                #expect(
                    (value["description"] ?? target?["description"])?.string?.isEmpty == false, "\(keys.section).\(key)"
                )
            }
        }
        let providers = schema.at("$defs", "cluster", "properties", "provider", "enum")?.array?.compactMap(\.string)
        #expect(providers == Cluster.Provider.allCases.map(\.rawValue))
    }

    @Test("this project's loop.json is good for both")
    func ownFile() throws {
        let text = try SchemaTests.text("loop.json")
        let (configuration, problems) = Configuration.parse(Array(text.utf8), file: "loop.json", directory: "/x")
        #expect(problems == [])
        #expect(configuration?.services.map(\.name) == ["hello"])
        #expect(try SchemaCheck(SchemaTests.schema()).accepts(LocatedJSON(parsingJSON5: text).json))
    }

    /// Of these mistakes, a schema cannot see: other services, the order of durations, and what a label selector means.
    private static let beyondSchema = [
        "depends", "there is no service", "there is no build", "what the build is made from", "the whole project",
        "shorter than",
        "label selector", "out of range", "is here twice",
        "needs dev mode", "both have one workload", "is no pattern", "matches no file", "not a label",
        "mirror\\\" on /", "NUL character", "warning:", "circle",
        "onto nodes", "no service builds", "is built by", "builds image", "in a later layer", "both for",
        "nothing would run", "is not LOCAL:REMOTE", "ends with no port", "are made from", "image below the layer",
    ]

    private static let mistakes = [
        ConfigurationProblemTests.documents, ConfigurationProblemTests.services, ConfigurationProblemTests.rules,
        BuildConfigurationTests.mistakes, DevConfigurationTests.mistakes, NixConfigurationTests.mistakes,
        NodeConfigurationTests.mistakes, ImageConfigurationTests.mistakes, DeployConfigurationTests.mistakes,
        HostConfigurationTests.mistakes,
    ].flatMap(\.self)

    @Test("the schema refuses what the reader refuses", arguments: mistakes)
    func refuses(text: String, problem: String) throws {
        guard !SchemaTests.beyondSchema.contains(where: problem.contains), !problem.contains("on / would"),
            let value = try? LocatedJSON(parsingJSON5: text).json
        else { return }
        #expect(try !SchemaCheck(SchemaTests.schema()).accepts(value), "\(text)")
    }

    @Test(
        "the schema accepts what the reader accepts",
        arguments: [
            #"{"services": {"a": {"selector": "app=x"}}}"#,
            #"{"services": {"a": {"selector": {"app": ""}, "rules": []}}}"#,
            #"{"services": {"a": {"manifests": ["k8s/", "./x.yaml", "..data/x"]}}}"#,
            #"{"version": 1, "project": "a-1", "services": {"a": {"workload": "sts/a.b", "container": "c"}}}"#,
            #"{"watch": {"debounce": "1.5s", "maxWait": "1m", "poll": "500ms", "ignore": ["!x"]}, "services": {"a": {"workload": "ds/a"}}}"#,
            #"{"cluster": {"context": "x", "allowContexts": []}, "services": {"a": {"workload": "deploy/a"}}}"#,
            #"{"services": {"a": {"workload": "ds/a", "dev": true, "rules": [{"watch": ["a"], "sideload": {"from": "a", "to": "/a", "on": "container"}, "then": [{"restart": "signal:SIGhup"}]}]}}}"#,
            #"{"services": {"a": {"workload": "ds/a", "rules": [{"watch": ["a"], "sideload": {"from": "a", "to": "/opt/", "on": "node"}, "then": [{"restart": "pod"}]}]}}}"#,
            #"{"services": {"a": {"rules": [{"watch": ["*.nix"], "deploy": {"nix": ".#a", "kluctl": {"target": "x"}}}]}}}"#,
            #"{"registry": "localhost", "services": {"a": {"workload": "ds/a", "recreate": true, "rules": [{"image": {}}, {"image": {"name": "localhost:5000/a/b__c--d", "container": "x", "builder": "docker"}}]}}}"#,
            #"{"registry": {"push": "[::1]:5000/a"}, "services": {"a": {"workload": "ds/a", "rules": [{"watch": ["x"], "build": ["x"], "image": {"base": "ghcr.io/x/y:1@sha256:0123456789abcdef0123456789abcdef", "to": "/", "files": [{"from": "x", "to": "/x"}]}}]}, "b": {"rules": [{"image": "a"}], "workload": "ds/b"}}}"#,
            #"{"services": {"a": {"rules": [{"deploy": {"helm": {"chart": "./c", "set": {"a.b": 1, "c": {"d": true, "e": 1.5}}}}}]}, "b": {"rules": [{"image": {}}, {"deploy": {"manifests": ["k8s"]}}]}}}"#,
            #"{"services": {"a": {"workload": "ds/a", "dev": false, "rules": [{"watch": ["*.nix"], "sideload": {"nix": {"file": "a.nix"}, "profile": "/p"}}]}}}"#,
            #"{"services": {"a": {"host": ["x"]}, "b": {"host": {"command": ["x"], "ports": []}}, "c": {"workload": "ds/c", "forward": [1, ":2", "3:4"], "host": {"command": ["x", ""], "ports": [1, {"container": 2, "host": 3}], "needs": ["a.b:1"], "build": {"run": ["x"], "watch": ["y"]}}}}}"#,
            #"{"services": {"a": {"workload": "deployment/a", "rules": [{"watch": ["a/"], "sync": {"to": "/processes", "from": "."}, "then": [{"exec": ["a", ""]}]}]}}}"#,
        ])
    func accepts(text: String) throws {
        let (_, problems) = Configuration.parse(Array(text.utf8), file: "f", directory: "/x")
        #expect(problems.filter { $0.severity == .error } == [])
        #expect(try SchemaCheck(SchemaTests.schema()).accepts(JSON(parsing: text)))
    }
}

/// As much of JSON Schema 2020-12 as `loop.schema.json` uses.
///
/// A keyword that it does not know is a failure, so that nothing in the schema goes unchecked.
struct SchemaCheck {
    private let root: JSON

    init(_ root: JSON) { self.root = root }

    func accepts(_ value: JSON) -> Bool { accepts(value, root) }

    private func accepts(_ value: JSON, _ schema: JSON) -> Bool {
        guard let keywords = schema.object else { return schema == true }
        return keywords.allSatisfy { accepts(value, $0.key, $0.value, schema) }
    }

    private func accepts(_ value: JSON, _ keyword: String, _ argument: JSON, _ schema: JSON) -> Bool {
        switch keyword {
        case "$schema", "title", "description", "$defs": return true
        case "$ref":
            let name = argument.string.map { String($0.dropFirst("#/$defs/".count)) } ?? ""
            return root.at("$defs", name).map { accepts(value, $0) } ?? false
        case "type": return argument.string == type(of: value)
        case "const": return value == argument
        case "enum": return argument.array?.contains(value) ?? false
        case "allOf": return (argument.array ?? []).allSatisfy { accepts(value, $0) }
        case "anyOf": return (argument.array ?? []).contains { accepts(value, $0) }
        case "not": return !accepts(value, argument)
        case "if":
            let branch = accepts(value, argument) ? "then" : "else"
            return schema[branch].map { accepts(value, $0) } ?? true
        case "then", "else": return true
        default: return acceptsKind(value, keyword, argument, schema)
        }
    }

    private func acceptsKind(_ value: JSON, _ keyword: String, _ argument: JSON, _ schema: JSON) -> Bool {
        switch keyword {
        case "required":
            guard let object = value.object else { return true }
            return (argument.array ?? []).allSatisfy { object[$0.string ?? ""] != nil }
        case "properties":
            guard let object = value.object else { return true }
            return object.allSatisfy { member in argument[member.key].map { accepts(member.value, $0) } ?? true }
        case "additionalProperties":
            guard let object = value.object else { return true }
            return object.allSatisfy { schema.at("properties")?[$0.key] != nil || accepts($0.value, argument) }
        case "propertyNames": return (value.object?.keys ?? []).allSatisfy { accepts(.string($0), argument) }
        case "minProperties": return value.object.map { $0.count >= argument.integer ?? 0 } ?? true
        case "prefixItems": return zip(value.array ?? [], argument.array ?? []).allSatisfy { accepts($0, $1) }
        case "items":
            let first = schema["prefixItems"]?.array?.count ?? 0
            return (value.array ?? []).dropFirst(first).allSatisfy { accepts($0, argument) }
        case "minItems": return value.array.map { $0.count >= argument.integer ?? 0 } ?? true
        case "minimum": return value.integer.map { $0 >= argument.integer ?? 0 } ?? true
        case "maximum": return value.integer.map { $0 <= argument.integer ?? 0 } ?? true
        case "minLength": return value.string.map { $0.unicodeScalars.count >= argument.integer ?? 0 } ?? true
        case "maxLength": return value.string.map { $0.unicodeScalars.count <= argument.integer ?? 0 } ?? true
        case "pattern":
            guard let text = value.string else { return true }
            guard let pattern = argument.string, let regex = try? Regex(pattern) else { return false }
            return text.firstMatch(of: regex) != nil
        default:
            Issue.record("the schema uses \(keyword), which the check does not know")
            return false
        }
    }

    private func type(of value: JSON) -> String {
        switch value {
        case .null: "null"
        case .bool: "boolean"
        case .integer: "integer"
        case .double: "number"
        case .string: "string"
        case .array: "array"
        case .object: "object"
        }
    }
}
