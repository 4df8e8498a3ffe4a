import Glibc
import JSON
import Testing

@testable import LoopServer

@Suite("What helm starts between rendering and applying", .turn) struct PostRendererTests {
    @Test("what was rendered goes through the socket and comes back changed, each object a document of its own")
    func changes() async throws {
        let folder = try SocketDirectory.create()
        defer { folder.remove() }
        let renderer = try PostRenderer(folder: folder.path) { rendered in
            [["kind": "A", "text": .string(String(decoding: rendered, as: UTF8.self))], ["kind": "B"]]
        }
        let arguments = renderer.arguments(major: 3, program: "/bin/loopd")
        #expect(arguments.prefix(3) == ["--post-renderer", "/bin/loopd", "--post-renderer-args=post-render"])
        let socket = try #require(arguments.last).droppingPrefix("--post-renderer-args=")
        var about = stat()
        #expect(stat(socket, &about) == 0 && about.st_mode & 0o777 == 0o600)
        let result = await PostRendering.run(Array("x: 1\n".utf8), through: socket)
        let text = String(decoding: try result.get(), as: UTF8.self)
        #expect(text == "---\n{\"kind\":\"A\",\"text\":\"x: 1\\n\"}\n---\n{\"kind\":\"B\"}\n")
        await renderer.stop()
        #expect(await PostRendering.run([], through: socket) != .success([]))
    }

    @Test("why it cannot be changed reaches helm in one line, and loopd as a failure")
    func refuses() async throws {
        let folder = try SocketDirectory.create()
        defer { folder.remove() }
        let renderer = try PostRenderer(folder: folder.path) { _ in
            throw LoopFailure(failure: LoopEvent.Failure("image web is not there", nextStep: "build it"))
        }
        let socket = try #require(renderer.arguments(major: 4, program: "").last).droppingPrefix(
            "--post-renderer-args=")
        #expect(await PostRendering.run([], through: socket) == .failure(.init(words: "image web is not there")))
        #expect(renderer.failure == LoopEvent.Failure("image web is not there", nextStep: "build it"))
        await renderer.stop()
    }

    @Test("from version 4 on helm finds a plugin of that name, in a private folder")
    func plugin() async throws {
        let folder = try SocketDirectory.create()
        defer { folder.remove() }
        let renderer = try PostRenderer(folder: folder.path) { _ in [] }
        let arguments = renderer.arguments(major: 4, program: "/opt/my loopd")
        #expect(arguments.prefix(2) == ["--post-renderer", "loopd"])
        for _ in 0..<2 {
            let plugins = try renderer.plugins(program: "/opt/my loopd")
            let about = String(
                decoding: try SmallFile.read("\(plugins)/loopd/plugin.yaml", limit: 1 << 16), as: UTF8.self)
            #expect(about.contains("type: postrenderer/v1"))
            var target = [CChar](repeating: 0, count: 256)
            #expect(readlink("\(plugins)/loopd/post-render", &target, 255) == "/opt/my loopd".utf8.count)
        }
        await renderer.stop()
    }
}
