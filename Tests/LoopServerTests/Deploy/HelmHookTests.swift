import JSON
import Testing

@testable import LoopServer

@Suite("Hooks of a chart") struct HelmHookTests {
    private func hook(
        _ name: String, _ text: String = "1", moments: String = "pre-upgrade", image: String? = nil
    ) -> JSON {
        var hook: JSON = [
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": ["name": .string(name), "annotations": ["helm.sh/hook": .string(moments)]],
            "spec": ["template": ["metadata": ["labels": ["of": .string(name)]], "spec": ["hostname": .string(text)]]],
        ]
        if let image { hook["spec"]?["template"]?["spec"]?["containers"] = [["name": "c", "image": .string(image)]] }
        return hook
    }

    private func lines(_ old: [JSON], _ new: [JSON], revision: Int? = 9) -> [String] {
        HelmHooks.lines(from: old, to: new, revision: revision, namespace: "shop")
    }

    @Test("what changes, comes and goes is a line; the same hooks are none, in whatever order")
    func changes() {
        let (one, two) = (hook("one"), hook("two"))
        #expect(lines([one, two], [two, one]) == [])
        #expect(
            lines([one, two], [hook("one", "2"), hook("new")]) == [
                "+ hook/job/new", "~ hook/job/one  spec.template.spec.hostname 1 → 2", "- hook/job/two",
            ])
        #expect(lines([], [one], revision: nil) == ["+ hook/job/one"])
    }

    @Test(
        "tests never count, what belongs to the installation only counts for that",
        arguments: [
            ("test", false, false), ("test-success", false, false), ("pre-install", true, false),
            ("post-install, test", true, false), ("pre-install,pre-upgrade", true, true), ("post-delete", true, true),
            ("Pre-Rollback", true, true),
        ])
    func moments(moments: String, installs: Bool, upgrades: Bool) {
        #expect(HelmHooks.counts(hook("a", moments: moments), isUpgrade: false) == installs)
        #expect(HelmHooks.counts(hook("a", moments: moments), isUpgrade: true) == upgrades)
        #expect(lines([hook("a", moments: moments)], [hook("a", "2", moments: moments)]).isEmpty == !upgrades)
    }

    @Test("two hooks of one name, for different moments, are two")
    func sameName() {
        let pair = [hook("a", "1", moments: "pre-upgrade"), hook("a", "2", moments: "post-upgrade")]
        #expect(lines(pair, pair) == [])
        #expect(lines(pair, [pair[0]]) == ["- hook/job/a"])
    }

    @Test("the revision's number in a name is no difference, wherever the name stands; any other number is one")
    func revisions() {
        #expect(lines([hook("migrate-9"), hook("m-9-x")], [hook("migrate-10"), hook("m-10-x")]) == [])
        #expect(lines([hook("migrate-9")], [hook("migrate-10", "2")]).count == 1)
        #expect(lines([hook("migrate-8")], [hook("migrate-10")]) == ["+ hook/job/migrate-10", "- hook/job/migrate-8"])
        #expect(lines([hook("v9")], [hook("v10")]).count == 2)
    }

    @Test("an image of loopd's that a hook has by another name is told, the one that it runs is not")
    func images() {
        let images = ManifestImages(["web": "reg:5000/web:loopd-1"], known: ["web", "api"])
        func unreached(_ image: String, text: String = "") -> Set<String> {
            HelmHooks.unreached(in: hook("a", text, image: image), images)
        }
        #expect(unreached("web:dev") == ["web"])
        #expect(unreached("reg:5000/web:loopd-1") == [])
        #expect(unreached("api:dev") == ["api"])
        #expect(unreached("postgres:17") == [])
        #expect(unreached("postgres:17", text: "${image:web}") == ["web"])
        #expect(unreached("postgres:17", text: "${image:none}") == [])
    }

    @Test("a release's hooks come after its manifest; one without a manifest has hooks only")
    func text() {
        let release: JSON = ["manifest": "---\na: 1\n", "hooks": [["manifest": "b: 2"], ["manifest": "c: 3"]]]
        #expect(HelmManifest.text(of: release) == "---\na: 1\n\n---\nb: 2\n---\nc: 3")
        #expect(HelmManifest.text(of: ["hooks": [["manifest": "b: 2"]]]) == "\n---\nb: 2")
        #expect(!HelmHooks.isHook(["metadata": ["annotations": ["a": "b"]]]))
    }
}
