import Glibc
import OCI
import Testing
import Watcher

@testable import LoopServer

@Suite("What rules put into their layers") struct LayerFilesTests {
    private let folder: ScratchTree

    init() throws { folder = try ScratchTree() }

    private func find(
        _ rules: [Rule], of rule: Int = 0, ignore: [String] = []
    ) throws -> [String] {
        var service = Service(name: "web", root: folder.path)
        service.rules = rules
        guard case .append(let layer) = rules[rule].image?.builder else { return [] }
        let files = LayerFiles(
            plan: ServicePlan(service, project: folder.path), rule: rule, layer: layer,
            tree: LocalTree(root: folder.path), ignore: try IgnoreRules(root: folder.path, patterns: ignore))
        return try files.find().map { String(decoding: $0.entry.path, as: UTF8.self) }.sorted()
    }

    private func append(_ pattern: String, to: String, from: String? = nil) throws -> Rule {
        var layer = AppendedLayer()
        (layer.to, layer.from) = (to, from)
        return Rule(watch: [try Glob(pattern)], action: .image(Image("web", .append(layer))))
    }

    @Test("files keep their path below the fixed part of the pattern; ignored ones stay out")
    func watched() throws {
        for name in ["app/a.py", "app/deep/b.py", "app/c.log", "other/d"] { try folder.write(name, "1") }
        let found = try find([append("app/**", to: "/srv")], ignore: ["*.log"])
        #expect(found == ["srv/a.py", "srv/deep", "srv/deep/b.py"])
        #expect(
            try find([append("app/**", to: "/srv", from: "")]) == [
                "srv/app/a.py", "srv/app/c.log", "srv/app/deep", "srv/app/deep/b.py",
            ])
        #expect(try find([append("*/a.py", to: "/")]) == ["app/a.py"])
    }

    @Test("what an earlier rule takes is not in the layer")
    func firstRule() throws {
        for name in ["app/a.py", "app/b.html"] { try folder.write(name, "1") }
        let sync = Rule(watch: [try Glob("**/*.html")], sync: Sync(to: "/srv"))
        #expect(try find([sync, append("app/**", to: "/srv")], of: 1) == ["srv/a.py"])
    }

    @Test("what a build makes is taken whole, ignored or not, with its links")
    func outputs() throws {
        try folder.write("target/app", "1", mode: 0o755)
        try folder.write("target/lib/x.so", "1")
        #expect(symlink("x.so", "\(folder.path)/target/lib/y.so") == 0)
        var layer = AppendedLayer()
        layer.files = [
            Sideload(from: "\(folder.path)/target/app", to: "/usr/bin/app"),
            Sideload(from: "\(folder.path)/target/lib", to: "/usr/lib/app"),
        ]
        let rule = Rule(watch: [try Glob("src/**")], action: .image(Image("web", .append(layer))))
        #expect(
            try find([rule], ignore: ["target"]) == [
                "usr/bin/app", "usr/lib/app", "usr/lib/app/x.so", "usr/lib/app/y.so",
            ])
        layer.files = [Sideload(from: "\(folder.path)/missing", to: "/x")]
        let other = Rule(watch: [], action: .image(Image("web", .append(layer))))
        let failure = #expect(throws: LoopFailure.self) { try find([other]) }
        #expect(failure?.failure.summary.contains("missing is missing") == true)
    }
}
