import JSON
import Testing

@testable import LoopServer

/// Workloads with volumes in the form that nix-csi documents; the driver itself is not here.
@Suite("Volumes of nix-csi") struct NixVolumeTests {
    private static let old = "/nix/store/0000000000000000000000000000000a-app-1.0"
    private static let new = "/nix/store/0000000000000000000000000000000b-app-1.1"

    private static func workload(_ attributes: JSON, driver: JSON = "nix.csi.store", inputs: String? = nil) -> JSON {
        let annotations: JSON = inputs.map { ["loopd.dev/nix-inputs": .string($0)] } ?? [:]
        return [
            "spec": [
                "template": [
                    "metadata": ["annotations": annotations],
                    "spec": [
                        "volumes": [
                            ["name": "tmp", "emptyDir": [:]],
                            ["name": "nix", "csi": ["driver": driver, "volumeAttributes": attributes]],
                        ]
                    ],
                ]
            ]
        ]
    }

    private func reaction(
        _ workload: JSON, output: String? = new, isDelivered: Bool = true
    ) -> NixVolumes.Reaction {
        NixVolumes.reaction(
            of: workload, called: "deployment/app", to: "inputs", output: output, system: "x86_64-linux",
            isDelivered: isDelivered)
    }

    private static let repointed: JSON = [
        "spec": [
            "template": [
                "spec": [
                    "volumes": [
                        [
                            "name": "nix",
                            "csi": ["driver": "nix.csi.store", "volumeAttributes": ["x86_64-linux": .string(new)]],
                        ]
                    ]
                ]
            ]
        ]
    ]
    private static let restarted: JSON = [
        "spec": ["template": ["metadata": ["annotations": ["loopd.dev/nix-inputs": "inputs"]]]]
    ]

    @Test("pods whose volume is a flake's output are made anew when its inputs have changed, once")
    func restarts() {
        let flake: JSON = ["flakeRef": "github:me/app#server"]
        #expect(reaction(Self.workload(flake)) == NixVolumes.Reaction(patch: Self.restarted))
        #expect(reaction(Self.workload(flake, driver: "nixkube"), output: nil).patch == Self.restarted)
        #expect(reaction(Self.workload(flake, inputs: "inputs")) == NixVolumes.Reaction())
        #expect(reaction(Self.workload(flake, driver: "ebs.csi.aws.com")) == NixVolumes.Reaction())
    }

    @Test("a volume of an earlier build, or of local source, is pointed at the new store path")
    func repoints() {
        for attributes in [["x86_64-linux": .string(Self.old)], ["flakeRef": "path:/home/me/app#server"]] as [JSON] {
            #expect(
                reaction(Self.workload(attributes))
                    == NixVolumes.Reaction(patch: Self.repointed, isRepointed: true))
        }
        #expect(reaction(Self.workload(["x86_64-linux": .string(Self.new)])) == NixVolumes.Reaction())
        let other: JSON = ["x86_64-linux": "/nix/store/0000000000000000000000000000000c-database-9"]
        #expect(reaction(Self.workload(other)) == NixVolumes.Reaction())
    }

    @Test("what no node can reach is named, and nothing is pointed at it")
    func unreachable() {
        let cases: [(JSON, String?)] = [
            (["x86_64-linux": .string(Self.old)], Self.new), (["flakeRef": "path:/home/me/app#server"], Self.new),
            (["flakeRef": "/home/me/app#server"], nil), (["flakeRef": ".#server"], nil), (["flakeRef": "#a"], nil),
            (["flakeRef": "git+file:///home/me/app"], nil),
        ]
        for (attributes, output) in cases {
            let reaction = reaction(Self.workload(attributes), output: output, isDelivered: false)
            #expect(reaction.patch == nil)
            #expect(reaction.unreachable.count == 1)
            #expect(
                reaction.unreachable.first?.hasPrefix("deployment/app: volume \"nix\": nodes cannot reach ") == true)
        }
    }

    @Test(
        "a package is known by its name, whatever its hash and version",
        arguments: [
            ("/nix/store/aaaa-app-1.0", "app"), ("/nix/store/aaaa-app", "app"), ("/nix/store/aaaa-my-app-2a", "my-app"),
            ("/nix/store/aaaa-app-dev", "app-dev"), ("/etc/app", ""),
        ])
    func names(path: String, name: String) { #expect(NixVolumes.packageName(path) == name) }
}
