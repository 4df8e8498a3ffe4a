import Glibc
import JSON
import Testing

@testable import LoopServer

@Suite("loop.json on disk")
struct ConfigurationFileTests {
    /// A folder of its own for one test.
    private func withFolder(_ files: [String: String], _ body: (String) throws -> Void) throws {
        var template = Array("/tmp/loopd-config-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template), let real = realpath(made, nil) else {
            Issue.record("no temporary folder")
            return
        }
        let folder = String(cString: real)
        free(real)
        defer { _ = system("rm -rf \(folder)") }
        for (path, text) in files {
            var parent = folder
            for part in path.split(separator: "/").dropLast() {
                parent += "/\(part)"
                mkdir(parent, 0o755)
            }
            guard let file = fopen("\(folder)/\(path)", "w") else {
                Issue.record("cannot write \(path)")
                return
            }
            fputs(text, file)
            fclose(file)
        }
        try body(folder)
    }

    @Test("a file, and the folder that has it, are the same configuration")
    func load() throws {
        try withFolder(["loop.json": "{services: {web: {manifests: ['a.yaml']}}}"]) { folder in
            let (byFile, problems) = Configuration.load(path: "\(folder)/loop.json")
            #expect(problems == [])
            #expect(byFile?.directory == folder)
            #expect(Configuration.load(path: folder).0 == byFile)
        }
    }

    @Test("a file that is missing, a folder without one, and one that is too big are one line each")
    func unreadable() throws {
        let big = "// " + String(repeating: "x", count: 1 << 20)
        try withFolder(["sub/x": "", "big.json": big]) { folder in
            let hint = " (run loopd in the folder that has loop.json, or name the file with --file)"
            #expect(problems("\(folder)/no.json") == ["\(folder)/no.json: $: no such file\(hint)"])
            #expect(problems("\(folder)/sub") == ["\(folder)/sub/loop.json: $: no such file\(hint)"])
            #expect(
                problems("\(folder)/big.json") == [
                    "\(folder)/big.json: $: bigger than 1 MiB (name the project's loop.json with --file)"
                ])
        }
    }

    private func problems(_ path: String) -> [String] {
        let (configuration, problems) = Configuration.load(path: path)
        #expect(configuration == nil)
        return problems.map(\.description)
    }

    @Test("what the disk does not have is named: folders and manifests as errors, patterns as warnings")
    func disk() throws {
        let text = """
            {watch: {ignore: ['*.log']}, services: {
              web: {workload: 'deployment/web', manifests: ['web.yaml', 'no.yaml'], rules: [
                {watch: ['app/**', 'none/*.py', '*.log', '.hidden'], sync: {to: '/a'}}]},
              api: {root: 'api', workload: 'deployment/api', rules: [
                {watch: ['src/*.ts', 'app/**'], sync: {to: '/a'}}]},
              gone: {root: 'gone', workload: 'deployment/gone', rules: [{watch: ['x'], sync: {to: '/a'}}]},
            }}
            """
        let files = [
            "loop.json": text, "web.yaml": "", "app/deep/x.py": "", "a.log": "", ".hidden": "", "api/src/x.ts": "",
        ]
        try withFolder(files) { folder in
            let configuration = try #require(Configuration.load(path: folder).0)
            let found = configuration.problemsOnDisk().map {
                "\($0.position?.description ?? "-") \($0.severity) \($0.path): \($0.message)"
            }
            #expect(
                found == [
                    "2:61 error $.services.web.manifests[1]: there is no no.yaml",
                    "3:24 warning $.services.web.rules[0].watch[1]: \"none/*.py\" matches no file",
                    "3:37 warning $.services.web.rules[0].watch[2]: \"*.log\" matches no file",
                    "5:26 warning $.services.api.rules[0].watch[1]: \"app/**\" matches no file",
                    "6:16 error $.services.gone.root: there is no folder gone",
                ])
            #expect(configuration.missingOnDisk().count == 2)
        }
    }
}
