import Glibc
import JSON
import LoopServer
import Testing

@testable import loopd

@Suite("What the documentation says")
struct DocumentationTests {
    private static let pages = [
        "README.md", "CONTRIBUTING.md", "samples/hello/README.md", "docs/loop-json.md", "docs/sync.md",
        "docs/playground.md",
        "docs/events.md", "docs/troubleshooting.md", "docs/dev-mode.md", "samples/supervisor/README.md", "docs/nix.md",
        "docs/deploy.md", "samples/deploy/README.md", "samples/nix/README.md", "docs/images.md", "docs/host.md",
        "samples/image/README.md", "samples/gateway/README.md",
    ]

    private static func text(_ page: String) throws -> String {
        let file = try #require(fopen("\(Built.project)\(page)", "r"), "\(page)")
        defer { fclose(file) }
        var bytes: [UInt8] = []
        while case let byte = getc(file), byte != EOF { bytes.append(UInt8(byte)) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The lines of fenced blocks in a language.
    private static func blocks(_ language: String, in text: String) -> [String] {
        var blocks: [String] = []
        var current: [Substring]?
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if let lines = current {
                if line == "```" {
                    blocks.append(lines.joined(separator: "\n"))
                    current = nil
                } else {
                    current = lines + [line]
                }
            } else if line == "```\(language)" {
                current = []
            }
        }
        return blocks
    }

    /// Commands of other programs, each of which a test, the demo or the build runs in this form.
    private static let known: Set<String> = [
        "eval \"$(loopd env --file samples/nix)\"", "kubectl logs deployment/greeter -n greeter",
        "eval \"$(loopd env)\"", "kubectl logs -f deployment/hello -n hello", "kubectl get pods -A",
        "apt-get install runc", "apt-get install passt iptables", "kubectl create namespace strict",
        "kubectl label namespace strict pod-security.kubernetes.io/enforce=restricted",
        "kubectl create quota small --hard=pods=2,limits.memory=1Gi -n strict", "kubectl get quota -n strict",
        "kubectl logs -f deployment/supervisor -n supervisor", "kubectl logs -f deployment/pages -n pages",
        "cc -O2 -static -o supervisor supervisor.c", "eval \"$(loopd env --file distroless.json)\"",
        "buildah build --file distroless/Dockerfile --tag $LOOPD_REGISTRY/supervisor:distroless .",
        "buildah push --tls-verify=false $LOOPD_REGISTRY/supervisor:distroless",
        "sysctl fs.inotify.max_user_watches=524288", "swift build --target LoopServer", "swift build --build-tests",
        "swift test --skip-build --filter ConfigurationTests",
        "curl http://127.0.0.1:18081/", "python3 store.py 127.0.0.1:16000 get visits",
        "kubectl exec deployment/menu -n cafe -- python3 -c "
            + "'from urllib.request import urlopen; print(urlopen(\"http://gateway/\").read().decode())'",
        "sed -i s/morning/evening/ samples/deploy/k8s/greeting.txt",
    ]

    @Test("every command in a page is one that works", arguments: pages)
    func commands(page: String) throws {
        let text = try DocumentationTests.text(page)
        let makefile = try DocumentationTests.text("Makefile")
        for line in DocumentationTests.blocks("sh", in: text).flatMap({ $0.split(separator: "\n") }) {
            let words = line.prefix { $0 != "|" }.split(separator: " ").map(String.init)
            switch words.first {
            case "loopd": _ = try Invocation(parsing: Array(words.dropFirst()))
            case "make": #expect(makefile.contains("\n\(words[1]):"), "\(line)")
            default: #expect(DocumentationTests.known.contains(String(line)), "\(page): \(line)")
            }
        }
    }

    @Test("every loopd command within a sentence makes sense", arguments: pages)
    func inlineCommands(page: String) throws {
        let parts = try DocumentationTests.text(page).split(separator: "`", omittingEmptySubsequences: false)
        for part in parts where part.hasPrefix("loopd ") && !part.contains("\n") {
            // `loopd completion bash\|zsh\|fish` and `loopd help [COMMAND]` show what may stand there.
            let words = part.prefix { $0 != "[" }.split(separator: " ").dropFirst()
            let arguments = words.map { String($0.prefix { $0 != "\\" }) }
            #expect(throws: Never.self, "\(page): \(part)") { try Invocation(parsing: arguments) }
        }
    }

    @Test("every loop.json that is shown is good", arguments: pages)
    func configurations(page: String) throws {
        for block in DocumentationTests.blocks("json5", in: try DocumentationTests.text(page)) {
            let (_, problems) = Configuration.parse(Array(block.utf8), file: page, directory: "/projects/shop")
            #expect(problems == [], "\(page)")
        }
    }

    @Test("links lead to pages and headings that are there", arguments: pages)
    func links(page: String) throws {
        let text = try DocumentationTests.text(page)
        let folder = page.split(separator: "/").dropLast().map { "\($0)/" }.joined()
        for match in text.matches(of: /\]\(([^)]+)\)/) where !match.1.hasPrefix("http") {
            let parts = match.1.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
            let target = parts[0].isEmpty ? page : folder + parts[0]
            #expect(access("\(Built.project)\(target)", F_OK) == 0, "\(page): \(match.1)")
            guard parts.count == 2 else { continue }
            let headings = try DocumentationTests.text(target).split(separator: "\n").filter { $0.hasPrefix("#") }
            let anchors = headings.map { heading in
                heading.drop { $0 == "#" || $0 == " " }.lowercased().replacing(" ", with: "-").filter {
                    $0 != "`" && $0 != ","
                }
            }
            #expect(anchors.contains(String(parts[1])), "\(page): \(match.1)")
        }
    }

    @Test("the README lists every command with its summary")
    func commandTable() throws {
        let text = try DocumentationTests.text("README.md")
        for command in Command.shown where command != .help {
            #expect(text.contains("`loopd \(command.rawValue)"))
            #expect(text.contains("| \(command.summary)"), "\(command.summary)")
        }
    }

    @Test("the reference names every key of the schema")
    func keys() throws {
        let text = try DocumentationTests.text("docs/loop-json.md")
        let schema = try JSON(parsing: DocumentationTests.text("loop.schema.json"))
        let sections =
            [schema]
            + [
                "cluster", "watch", "service", "dev", "rule", "build", "sideload", "sync", "nix", "deploy", "kluctl",
                "step", "registry", "image", "secret", "files", "config", "helm", "host",
            ].compactMap {
                schema.at("$defs", $0)
            }
        for section in sections {
            for key in section["properties"]?.object?.keys ?? [] { #expect(text.contains("\n| `\(key)` |"), "\(key)") }
        }
    }
}
