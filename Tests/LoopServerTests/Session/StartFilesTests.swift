import Testing
import Watcher

@testable import LoopServer

@Suite("Files that are read at the start only") struct StartFilesTests {
    private let files = StartFiles(
        project: "/home/me/shop", configuration: "/home/me/shop/loop.json",
        manifests: ["/home/me/shop/k8s", "/home/me/shop/web/app.txt", "/elsewhere/app.yaml"])

    @Test(
        "are loop.json, manifests, and what kubectl reads of a folder of them",
        arguments: [
            ("loop.json", "loop.json has changed: it is read when loopd starts"),
            ("k8s/app.yaml", "k8s/app.yaml has changed: manifests are applied when loopd starts"),
            ("k8s/deep/app.json", "k8s/deep/app.json has changed: manifests are applied when loopd starts"),
            ("web/app.txt", "web/app.txt has changed: manifests are applied when loopd starts"),
            ("k8s/README.md", nil), ("web/loop.json", nil), ("app.yaml", nil),
        ] as [(String, String?)])
    func tells(path: String, words: String?) {
        #expect(files.words(on: RelativePath(path)) == words)
    }
}
