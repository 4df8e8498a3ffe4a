import Glibc
import Reactor
import Synchronization
import TestCluster
import Testing

@Suite("What the pages tell to type", .turn, .enabled(if: Ability.isPlayground, Ability.ownPlayground))
struct PageTests {
    private static let root = String(#filePath.dropLast("/Tests/EndToEndTests/PageTests.swift".count))
    private static let pages = [
        "README.md", "samples/hello/README.md", "docs/events.md", "docs/loop-json.md", "docs/sync.md",
        "docs/troubleshooting.md", "docs/playground.md", "docs/dev-mode.md", "samples/nix/README.md", "docs/nix.md",
        "docs/deploy.md",
    ]
    /// What changes the machine, or builds: `make test` and `make demo` themselves do the same.
    private static let others: Set<String> = ["make", "apt-get", "sysctl"]
    /// What goes on until Ctrl-C, and what it says when it works.
    private static let endless = [
        ("loopd watch --file samples/nix", "greeter   connected to"),
        ("jq", "[\"hello\","), ("loopd watch", "1 file → 1 pod"), ("kubectl logs -f", "waiting for /srv/hello"),
    ]

    /// The fenced blocks for a shell.
    private static func blocks(_ page: String) throws -> [String] {
        let text = String(decoding: try Disk.read("\(root)/\(page)"), as: UTF8.self)
        return text.components(between: "\n```sh\n", and: "\n```")
    }

    @Test("every block of commands runs as it stands, in the project of the quick start")
    func blocks() async throws {
        let project = try Project()
        try await Child.succeed(["cp", "-r", "\(Self.root)/loop.json", "\(Self.root)/samples", project.path])
        let state = "\(project.path)-state"
        let store = try PrivateStore()
        let bin = Built.loopd.split(separator: "/").dropLast().map { "/\($0)" }.joined()
        let own = ["LOOPD_STATE_DIR": state, "PATH": "\(bin):\(variable("PATH") ?? "")", "KUBECONFIG": ""]
        let variables = environment(with: store.environment.merging(own) { $1 })
        func shell(_ script: String) -> Launch {
            // To a terminal jq writes each line as it comes, into a pipe only when it is asked to.
            let jq = "jq() { command jq --unbuffered \"$@\"; }\n"
            var launch = Launch(["sh", "-ec", jq + script], directory: project.path)
            launch.environment = variables
            return launch
        }
        var count = 0
        for page in Self.pages {
            for block in try Self.blocks(page) {
                if Self.others.contains(String(block.prefix { $0 != " " })) { continue }
                count += 1
                // The sample is there, as the text before the block says.
                let there = try await Child.run(shell("loopd sync >&2"))
                #expect(there.status == .exited(0), "\(page): \(there.errorText)")
                if let (_, words) = Self.endless.first(where: { block.contains($0.0) }) {
                    try project.write("samples/hello/app/message.txt", "block \(count)\n")
                    try await says(words, shell(block), "\(page): \(block)")
                } else {
                    let output = try await Child.run(shell(block))
                    #expect(output.status == .exited(0), "\(page): \(block): \(output.text)\(output.errorText)")
                }
            }
        }
        #expect(count >= 7)
        #expect(try await Child.run(shell("loopd down")).status == .exited(0))
    }

    /// Runs what does not end by itself until it has said this, then ends it as Ctrl-C does.
    private func says(_ words: String, _ launch: Launch, _ name: String) async throws {
        let child = try await Child.spawn(launch)
        let said = Mutex<[UInt8]>([])
        let text: @Sendable () -> String = { said.withLock { String(decoding: $0, as: UTF8.self) } }
        try await within(.seconds(120), "\(words) from \(name)", state: text) {
            while !text().contains(words) {
                let more = try await child.standardOutput?.read() ?? []
                if more.isEmpty { break }
                said.withLock { $0 += more }
            }
        }
        #expect(text().contains(words), "\(name): \(text())")
        child.signal(SIGINT, toGroup: true)
        _ = await child.wait()
    }
}

extension String {
    /// The parts between two marks, from left to right.
    fileprivate func components(between start: String, and end: String) -> [String] {
        var parts: [String] = []
        var rest = Substring(self)
        while let from = rest.firstRange(of: start) {
            rest = rest[from.upperBound...]
            guard let to = rest.firstRange(of: end) else { break }
            parts.append(String(rest[..<to.lowerBound]))
            rest = rest[to.upperBound...]
        }
        return parts
    }
}
