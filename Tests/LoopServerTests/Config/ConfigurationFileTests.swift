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

    @Test("what images and deployments are made from is looked for, and named where it is not")
    func sources() throws {
        let text = """
            {services: {
              a: {workload: 'deployment/a', rules: [{image: {}}]},
              b: {root: 'b', workload: 'deployment/b', rules: [
                {image: {context: 'ctx', dockerfile: 'Dockerfile.dev', contexts: {lib: '../no', 'a b': '/no'}, secrets: {s: {file: '~/no/file'}}}}]},
              c: {root: 'c', workload: 'deployment/c', rules: [{image: {context: 'none'}}]},
              d: {root: 'c', workload: 'deployment/d', rules: [{watch: ['x'], image: {run: ['x'], dir: 'none'}}]},
              e: {rules: [{deploy: {manifests: 'k8s/none'}}]}, f: {rules: [{deploy: {manifests: ['x', 'none']}}]},
              g: {rules: [{deploy: {kustomize: 'none'}}]}, h: {rules: [{deploy: {kustomize: 'c'}}]},
              i: {rules: [{deploy: {helm: {chart: 'a/chart', valuesFiles: ['x', 'v.yaml']}}}]},
              j: {rules: [{deploy: {helm: {chart: 'c'}}}]},
              k: {rules: [{deploy: {helm: {chart: 'r/c', version: '1'}}}]},
            }}
            """
        let files = [
            "loop.json": text, "Containerfile": "", "b/ctx/Dockerfile.dev": "", "c/x": "", "x": "",
        ]
        try withFolder(files) { folder in
            let (configuration, problems) = Configuration.load(path: folder)
            #expect(problems == [])
            let found = try #require(configuration).missingOnDisk().map { problem in
                "\(problem.position?.line ?? 0) \(problem.path.dropFirst("$.services.".count)): \(problem.message)"
                    + (problem.hint.map { " (\($0))" } ?? "")
            }
            #expect(
                found.filter { !$0.contains("secrets") } == [
                    "2 a.rules[0].image: there is no Dockerfile (there is Containerfile: name it in \"dockerfile\")",
                    "4 b.rules[0].image.dockerfile: there is no b/Dockerfile.dev (it is relative to the service's root: \"ctx/Dockerfile.dev\"?)",
                    "4 b.rules[0].image.contexts[\"a b\"]: there is no folder /no",
                    "4 b.rules[0].image.contexts.lib: there is no folder b/../no",
                    "5 c.rules[0].image.context: there is no folder c/none",
                    "6 d.rules[0].image.dir: there is no folder c/none",
                    "7 e.rules[0].deploy.manifests: there is no k8s/none",
                    "7 f.rules[0].deploy.manifests[1]: there is no none",
                    "8 g.rules[0].deploy.kustomize: there is no folder none",
                    "8 h.rules[0].deploy.kustomize: there is no kustomization.yaml in c",
                    "9 i.rules[0].deploy.helm.chart: there is no a/chart (a chart of a repository needs its \"version\")",
                    "9 i.rules[0].deploy.helm.valuesFiles[1]: there is no v.yaml",
                    "10 j.rules[0].deploy.helm.chart: there is no Chart.yaml in c",
                ])
            let secret = try #require(found.first { $0.contains("secrets") })
            #expect(secret.hasPrefix("4 b.rules[0].image.secrets.s.file: there is no /"))
            #expect(secret.hasSuffix("/no/file"))
        }
    }
}
