import JSON
@testable import LoopServer
import Testing

@Suite("Undoing dev mode") struct DevUndoTests {
    private static let everything: JSON = [
        "livenessProbe": [
            "httpGet": ["path": "/", "port": 80, "scheme": "HTTP"], "timeoutSeconds": 1, "periodSeconds": 10,
        ],
        "startupProbe": ["grpc": ["port": 9, "service": ""], "failureThreshold": 3],
        "args": ["a"], "workingDir": "/old", "securityContext": ["runAsUser": 1000],
        "env": [
            ["name": "A", "valueFrom": ["fieldRef": ["fieldPath": "status.podIP"]]], ["name": "B", "value": "b"],
        ],
        "volumeMounts": [["name": "cfg", "mountPath": "/srv", "readOnly": true, "subPath": "x"]],
    ]

    private static let dev: DevMode = {
        var dev = DevMode()
        dev.environment = ["A": "1", "C": "3"]
        dev.workingDirectory = "/new"
        return dev
    }()

    private static func workloads() throws -> [(JSON, DevTemplate.Inputs)] {
        let files = [
            "deployments/app.json", "deployments/liveness.json", "deployments/readonly.json",
            "deployments/initfail.json",
            "deployments/pvc.json", "objects/statefulset.json", "objects/daemonset.json",
        ]
        let recorded = try files.map { file in
            let whole = try DevFixture.workload(file)
            // Listings hold several.
            let object = whole["items"]?[0] ?? whole
            let name = object.podSpec["containers"]?[0]?["name"]?.string
            return (object, DevFixture.inputs(dev, container: name, destinations: ["/srv"]))
        }
        let made = DevFixture.deployment(
            container: everything, pod: ["volumes": [["name": "cfg", "configMap": ["name": "c", "defaultMode": 420]]]])
        return recorded + [(made, DevFixture.inputs(dev, destinations: ["/srv", "/opt/x"]))]
    }

    @Test("every recorded workload is as it was, also after a server has completed what dev mode added")
    func whole() throws {
        for (workload, inputs) in try DevUndoTests.workloads() {
            let entered = try DevFixture.enter(workload, inputs)
            #expect(entered.podSpec != workload.podSpec)
            #expect(try DevFixture.leave(entered).podSpec == workload.podSpec)
            let completed = DevUndoTests.completed(entered)
            #expect(completed != entered)
            #expect(try #require(DevRecord(of: completed)).isHeld(by: completed))
            #expect(try DevFixture.leave(completed).podSpec == workload.podSpec)
        }
    }

    @Test("a record survives its annotation, and one of another version is no record")
    func coding() throws {
        for (workload, inputs) in try DevUndoTests.workloads() {
            let record = try #require(DevRecord(of: try DevFixture.enter(workload, inputs)))
            #expect(DevRecord(text: record.text) == record)
            #expect(!record.changes.isEmpty)
        }
        #expect(DevRecord(text: #"{"version":2,"container":"a","program":"b","changes":[]}"#) == nil)
        #expect(DevRecord(text: #"{"version":1,"container":"a","program":"b","changes":[{"path":[1]}]}"#) == nil)
        #expect(DevRecord(text: "no JSON") == nil)
    }

    @Test("what others changed meanwhile stays: scale, labels, images, variables, containers, volumes")
    func foreign() throws {
        let workload = DevFixture.deployment(container: DevUndoTests.everything)
        var changed = try DevFixture.enter(workload, DevFixture.inputs(DevUndoTests.dev, destinations: ["/srv"]))
        var expected = workload
        for foreign in [
            { (object: inout JSON) in object["spec"]?["replicas"] = 5 },
            { object in object["metadata"]?["labels"] = ["team": "a"] },
            { object in object.podSpec.change("app", in: "containers") { $0["image"] = "registry/app:2" } },
            { object in
                object.podSpec.change("app", in: "containers") { $0.append(["name": "D", "value": "d"], to: "env") }
            },
            { object in
                let others = object.podSpec["containers"]?.array ?? []
                object.podSpec["containers"] = .array([["name": "new", "image": "n"]] + others)
            },
            { object in object.podSpec.append(["name": "extra", "emptyDir": [:]], to: "volumes") },
            { object in object.podSpec.append(["name": "init", "image": "i"], to: "initContainers") },
            { object in object.podSpec.change("app", in: "containers") { $0["livenessProbe"]?["periodSeconds"] = 99 } },
        ] {
            foreign(&changed)
            foreign(&expected)
        }
        #expect(try #require(DevRecord(of: changed)).isHeld(by: changed))
        let left = try DevFixture.leave(changed)
        #expect(left.podSpec == expected.podSpec)
        #expect(left.at("spec", "replicas") == 5)
        #expect(left.at("metadata", "labels") == ["team": "a"])
    }

    @Test("a field that somebody set again keeps their value, and is named as lost")
    func reverted() throws {
        let workload = DevFixture.deployment(container: DevUndoTests.everything)
        var changed = try DevFixture.enter(workload, DevFixture.inputs(DevUndoTests.dev))
        changed.podSpec.change("app", in: "containers") { container in
            container["command"] = ["theirs"]
            container.change("A", in: "env") { $0["value"] = "theirs" }
        }
        let lost = try #require(DevRecord(of: changed)).lost(in: changed).map(\.path.text)
        #expect(lost == ["containers[app].command", "containers[app].env[A].value"])
        let container = try DevFixture.leave(changed).podSpec.named("app", in: "containers")
        #expect(container?["command"] == ["theirs"])
        #expect(container?["args"] == ["a"])
        #expect(container?.named("A", in: "env")?["value"] == "theirs")
    }

    @Test("a probe or a container that somebody removed does not come back in parts")
    func removed() throws {
        let workload = DevFixture.deployment(container: DevUndoTests.everything)
        var changed = try DevFixture.enter(workload, DevFixture.inputs(DevUndoTests.dev))
        changed.podSpec.change("app", in: "containers") { $0["livenessProbe"] = nil }
        #expect(try DevFixture.leave(changed).podSpec.named("app", in: "containers")?["livenessProbe"] == nil)
        changed.podSpec["containers"] = [["name": "other", "image": "o"]]
        let left = try DevFixture.leave(changed).podSpec
        #expect(left["containers"] == [["name": "other", "image": "o"]])
        #expect(left["volumes"] == nil)
    }

    @Test("an init container of loopd's goes although somebody gave it another image")
    func seederImage() throws {
        let workload = DevFixture.deployment(container: DevUndoTests.everything)
        var changed = try DevFixture.enter(workload, DevFixture.inputs(destinations: ["/opt"]))
        changed.podSpec.change("loopd-seed", in: "initContainers") { $0["image"] = "mutated" }
        #expect(try DevFixture.leave(changed).podSpec == workload.podSpec)
    }

    @Test("entering what was left is the same as entering the original")
    func again() throws {
        for (workload, inputs) in try DevUndoTests.workloads() {
            let entered = try DevFixture.enter(workload, inputs)
            #expect(try DevFixture.enter(try DevFixture.leave(entered), inputs).podSpec == entered.podSpec)
        }
    }

    @Test(
        "quantities are compared by what they stand for",
        arguments: zip(["1000m", "1Ki", "0.5", "1e3", "2", "x"], ["1", "1024", "500m", "1k", "2M", "y"]))
    func quantities(left: String, right: String) {
        let isSame = !["2", "x"].contains(left)
        let (mine, theirs): (JSON, JSON) = (["limits": ["cpu": .string(left)]], ["limits": ["cpu": .string(right)]])
        #expect(HeldValue.isHeld(mine, in: theirs) == isSame)
        // Anywhere else, text is text.
        #expect(!HeldValue.isHeld(["command": [.string(left)]], in: ["command": [.string(right)]]))
    }

    @Test("whatever others change outside of dev mode's fields, undoing gives what they would have without it")
    func random() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededGenerator(seed: seed)
        for (workload, inputs) in try DevUndoTests.workloads() {
            for _ in 0..<50 {
                var changed = DevUndoTests.completed(try DevFixture.enter(workload, inputs))
                var expected = workload
                for step in 0..<Int.random(in: 1...6, using: &random) {
                    let change = DevUndoTests.foreignChange(step, &random)
                    change(&changed)
                    change(&expected)
                }
                let left = try DevFixture.leave(changed)
                #expect(DevUndoTests.sorted(left.podSpec) == DevUndoTests.sorted(expected.podSpec), "seed \(seed)")
            }
        }
    }

    /// Something that somebody else does to a pod spec.
    private static func foreignChange(_ step: Int, _ random: inout SeededGenerator) -> (inout JSON) -> Void {
        let number = Int.random(in: 0...99, using: &random)
        let name = "foreign-\(step)"
        switch Int.random(in: 0..<6, using: &random) {
        case 0: return { $0.podSpec["terminationGracePeriodSeconds"] = .integer(Int64(number)) }
        case 1: return { $0.podSpec.append(["name": .string(name), "emptyDir": [:]], to: "volumes") }
        case 2: return { $0.podSpec.append(["name": .string(name), "image": "i"], to: "initContainers") }
        case 3:
            return { object in
                guard var list = object.podSpec["containers"]?.array else { return }
                list.insert(["name": .string(name), "image": "c"], at: 0)
                object.podSpec["containers"] = .array(list)
            }
        case 4:
            return { object in
                let first = object.podSpec["containers"]?.array?.last?["name"]?.string ?? ""
                object.podSpec.change(first, in: "containers") {
                    $0.append(["name": .string(name), "value": .string("\(number)")], to: "env")
                }
            }
        default:
            return { object in
                let first = object.podSpec["containers"]?.array?.last?["name"]?.string ?? ""
                object.podSpec.change(first, in: "containers") {
                    $0["resources"] = ["limits": ["cpu": .integer(Int64(number))]]
                }
            }
        }
    }

    /// Without what the order of adding and removing does to lists.
    private static func sorted(_ spec: JSON) -> JSON {
        var result = spec
        for list in ["containers", "initContainers", "volumes"] {
            guard let elements = spec[list]?.array else { continue }
            result[list] = .array(elements.sorted { ($0["name"]?.string ?? "") < ($1["name"]?.string ?? "") })
        }
        return result
    }

    /// What a server adds to what dev mode has added.
    private static func completed(_ workload: JSON) -> JSON {
        var result = workload
        for volume in result.podSpec["volumes"]?.array ?? []
        where volume["name"]?.string?.hasPrefix("loopd-helper") == true {
            result.podSpec.change(volume["name"]?.string ?? "", in: "volumes") { $0["configMap"]?["defaultMode"] = 420 }
        }
        for container in result.podSpec["initContainers"]?.array ?? [] {
            result.podSpec.change(container["name"]?.string ?? "", in: "initContainers") {
                guard $0["command"]?[0]?.string == "/.loopd/bin/helper" else { return }
                $0["terminationMessagePath"] = "/dev/termination-log"
                $0["resources"] = $0["resources"] ?? [:]
            }
        }
        return result
    }
}
