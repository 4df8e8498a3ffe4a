// swift-tools-version: 6.2
import PackageDescription

/// What every ordinary Swift target is compiled with.
let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .treatAllWarnings(as: .error),
]

/// What runs inside a container or holds the leash: static, without a runtime library of its own.
let embedded: [SwiftSetting] = [
    .enableExperimentalFeature("Embedded"),
    .unsafeFlags(["-wmo", "-Osize"]),
    .treatAllWarnings(as: .error),
]
let embeddedLink: [LinkerSetting] = [
    .linkedLibrary("m"),
    .unsafeFlags(["-Xclang-linker", "-static", "-no-toolchain-stdlib-rpath"]),
]
let cStrict: [CSetting] = [.unsafeFlags(["-Wall", "-Wextra", "-Werror"])]

let package = Package(
    name: "loopd",
    products: [
        .executable(name: "loopd", targets: ["loopd"]),
        .executable(name: "LoopAgent", targets: ["LoopAgent"]),
        .executable(name: "Leash", targets: ["Leash"]),
    ],
    targets: [
        // C: system calls that Glibc's module lacks, SHA-256, and libc headers for Embedded Swift.
        .target(name: "CLinux", cSettings: cStrict),
        .target(name: "CHash", cSettings: cStrict + [.unsafeFlags(["-O2"])]),
        .target(name: "CAgent", cSettings: cStrict),

        // In the pod, and around child processes.
        .target(name: "Wire", swiftSettings: strict),
        .executableTarget(
            name: "LoopAgent", dependencies: ["CAgent", "CHash"],
            swiftSettings: embedded, linkerSettings: embeddedLink),
        .executableTarget(
            name: "Leash", dependencies: ["CAgent"],
            swiftSettings: embedded, linkerSettings: embeddedLink),

        // On the host.
        .target(name: "Watcher", swiftSettings: strict),
        .target(name: "JSON", swiftSettings: strict),
        .target(name: "Reactor", dependencies: ["CLinux"], swiftSettings: strict),
        .target(name: "HTTP", dependencies: ["Reactor"], swiftSettings: strict),
        .target(name: "OCI", dependencies: ["HTTP", "JSON", "Reactor", "CHash"], swiftSettings: strict),
        .target(
            name: "LoopServer", dependencies: ["Watcher", "Wire", "HTTP", "OCI", "JSON", "Reactor", "CHash"],
            swiftSettings: strict),
        .target(
            name: "Playground", dependencies: ["HTTP", "OCI", "JSON", "Reactor", "CLinux"],
            swiftSettings: strict),
        .executableTarget(
            name: "loopd", dependencies: ["LoopServer", "Playground", "JSON", "Reactor", "Wire"], swiftSettings: strict),

        .testTarget(name: "WatcherTests", dependencies: ["Watcher"], swiftSettings: strict),
        .testTarget(name: "WireTests", dependencies: ["Wire"], swiftSettings: strict),
        .testTarget(
            name: "LoopAgentTests", dependencies: ["Wire", "CAgent", "CHash", "Reactor", "TestCluster"],
            swiftSettings: strict),
        .testTarget(name: "JSONTests", dependencies: ["JSON"], swiftSettings: strict),
        .testTarget(name: "ReactorTests", dependencies: ["Reactor"], swiftSettings: strict),
        .testTarget(name: "HTTPTests", dependencies: ["HTTP", "Reactor"], swiftSettings: strict),
        .testTarget(
            name: "OCITests", dependencies: ["OCI", "Playground", "HTTP", "JSON", "Reactor", "TestCluster"],
            swiftSettings: strict),
        .testTarget(
            name: "LoopServerTests",
            dependencies: ["LoopServer", "HTTP", "OCI", "JSON", "Reactor", "Wire", "Watcher", "TestCluster"],
            swiftSettings: strict),
        .testTarget(
            name: "PlaygroundTests", dependencies: ["Playground", "HTTP", "OCI", "JSON", "Reactor", "CLinux"],
            swiftSettings: strict),
        .testTarget(
            name: "LoopdTests", dependencies: ["loopd", "LoopServer", "JSON", "Reactor"], swiftSettings: strict),
        // The end-to-end tests and the benchmark: a cluster, projects and images for both, and what runs in containers.
        .target(name: "CProbe", path: "Tests/CProbe", cSettings: cStrict + [.unsafeFlags(["-O2"])]),
        .executableTarget(
            name: "Probe", dependencies: ["CProbe", "CAgent"], path: "Tests/Probe", swiftSettings: embedded,
            linkerSettings: embeddedLink),
        .target(
            name: "TestCluster", dependencies: ["JSON", "Reactor", "HTTP", "CHash", "CLinux"],
            path: "Tests/TestCluster",
            swiftSettings: strict),
        .executableTarget(
            name: "Bench", dependencies: ["TestCluster", "JSON", "Reactor", "HTTP"], swiftSettings: strict),
        .testTarget(
            name: "EndToEndTests", dependencies: ["loopd", "LoopServer", "TestCluster", "JSON", "Reactor", "HTTP"],
            swiftSettings: strict),
    ]
)
