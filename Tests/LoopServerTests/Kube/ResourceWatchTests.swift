import HTTP
import JSON
@testable import LoopServer
import Reactor
import Synchronization
import Testing

private func pod(_ name: String, version: Int) -> JSON {
    ["metadata": ["name": .string(name), "namespace": "d", "resourceVersion": .string("\(version)")]]
}

private func event(_ type: String, _ object: JSON) -> [UInt8] {
    (["type": .string(type), "object": object] as JSON).bytes + [0x0A]
}

@Suite("Watching resources", .turn)
struct ResourceWatchTests {
    private func following(
        _ client: KubeClient, _ scope: KubeClient.Scope = .init(.pods, namespace: "d"),
        _ body: (ResourceWatch) async throws -> Void
    ) async throws {
        let watch = ResourceWatch(client, scope, firstPause: .milliseconds(1))
        let running = Task { await watch.run() }
        defer { running.cancel() }
        try await body(watch)
        running.cancel()
        await running.value
    }

    @Test("a recorded rollout is told change by change")
    func rollout() async throws {
        let lines = try Recording.lines("watch/pods-during-rollout.jsonl")
        let (seen, mark) = AsyncStream<Void>.makeStream()
        try await withAPI({ exchange in
            guard exchange.query("watch") != nil else {
                try await exchange.answer(["metadata": ["resourceVersion": "7"], "items": []])
                return
            }
            #expect(exchange.query("resourceVersion") == "7")
            #expect(exchange.query("allowWatchBookmarks") == "true")
            #expect(exchange.query("labelSelector") == "app=app")
            try await exchange.startBody(HTTPResponse(200))
            var iterator = seen.makeAsyncIterator()
            for line in lines {
                // In two pieces, as a network may deliver it.
                try await exchange.write(Array(line[..<(line.count / 2)]))
                try await exchange.write(Array(line[(line.count / 2)...]) + [0x0A])
                await iterator.next()
            }
            try await Task.sleep(for: .seconds(3600))
        }) { client, _ in
            try await following(client, .init(.pods, namespace: "d", labels: "app=app")) { watch in
                #expect(await watch.next() == .synced([]))
                for line in lines {
                    let expected = try JSON(parsing: line)
                    let change = await watch.next()
                    var object = try #require(expected["object"])
                    object["metadata"]?["managedFields"] = nil
                    #expect(change == (expected["type"] == "DELETED" ? .removed(object) : .changed(object)))
                    mark.yield()
                }
            }
        }
    }

    @Test("a watch that ends is resumed from its last version, bookmarks included; nothing is listed again")
    func resume() async throws {
        let requests = Mutex<[String]>([])
        try await withAPI({ exchange in
            guard exchange.query("watch") != nil else {
                requests.withLock { $0.append("list") }
                try await exchange.answer(["metadata": ["resourceVersion": "1"], "items": [pod("a", version: 1)]])
                return
            }
            let version = exchange.query("resourceVersion") ?? ""
            requests.withLock { $0.append(version) }
            try await exchange.startBody(HTTPResponse(200))
            switch version {
            case "1": try await exchange.write(event("ADDED", pod("b", version: 2)))
            case "2": try await exchange.write(event("BOOKMARK", pod("", version: 50)))
            case "50": try await exchange.write(event("DELETED", pod("a", version: 51)))
            default: try await Task.sleep(for: .seconds(3600))
            }
            try await exchange.finish()
        }) { client, _ in
            try await following(client) { watch in
                #expect(await watch.next() == .synced([pod("a", version: 1)]))
                #expect(await watch.next() == .changed(pod("b", version: 2)))
                #expect(await watch.next() == .removed(pod("a", version: 51)))
            }
            #expect(requests.withLock { $0.prefix(4) } == ["list", "1", "2", "50"])
        }
    }

    @Test("a version that is too old means a new list, as an event and as a status", arguments: [true, false])
    func tooOld(asEvent: Bool) async throws {
        let expired = try Recording.bytes("watch/resource-version-too-old.jsonl")
        let lists = Mutex(0)
        try await withAPI({ exchange in
            guard exchange.query("watch") != nil else {
                let count = lists.withLock { count in
                    count += 1
                    return count
                }
                try await exchange.answer([
                    "metadata": ["resourceVersion": .string("\(count)")], "items": [pod("p\(count)", version: count)],
                ])
                return
            }
            if exchange.query("resourceVersion") == "1" {
                if asEvent {
                    try await exchange.startBody(HTTPResponse(200))
                    try await exchange.write(expired)
                    try await exchange.finish()
                } else {
                    try await exchange.fail(410, "Expired", "too old resource version: 1 (810)")
                }
                return
            }
            try await exchange.startBody(HTTPResponse(200))
            try await Task.sleep(for: .seconds(3600))
        }) { client, _ in
            try await following(client) { watch in
                // The first list may be replaced before it is read: the reader sees the present.
                var change = await watch.next()
                if change == .synced([pod("p1", version: 1)]) { change = await watch.next() }
                #expect(change == .synced([pod("p2", version: 2)]))
            }
        }
    }

    @Test("a cut connection is told once, and everything known comes again when it is back")
    func reconnect() async throws {
        let watches = Mutex(0)
        try await withAPI({ exchange in
            guard exchange.query("watch") != nil else {
                try await exchange.answer(["metadata": ["resourceVersion": "1"], "items": [pod("a", version: 1)]])
                return
            }
            let count = watches.withLock { count in
                count += 1
                return count
            }
            switch count {
            case 1:
                try await exchange.startBody(HTTPResponse(200))
                try await exchange.write(event("ADDED", pod("b", version: 2)))
            // The handler's end without `finish` cuts the body off.
            case 2...4: try await exchange.fail(500, "InternalError", "etcd is away")
            default:
                try await exchange.startBody(HTTPResponse(200))
                try await Task.sleep(for: .seconds(3600))
            }
        }) { client, _ in
            try await following(client) { watch in
                var changes: [ResourceChange] = []
                let whole = ResourceChange.synced([pod("a", version: 1), pod("b", version: 2)])
                while changes.last != whole, let change = await watch.next() { changes.append(change) }
                #expect(changes.contains { if case .disconnected = $0 { true } else { false } })
            }
        }
    }

    @Test("a watch that has gone silent is resumed where it was, without a word")
    func silent() async throws {
        let watches = Mutex<[String]>([])
        try await withAPI({ exchange in
            guard exchange.query("watch") != nil else {
                return try await exchange.answer(["metadata": ["resourceVersion": "1"], "items": []])
            }
            let version = exchange.query("resourceVersion") ?? ""
            // By version: on a busy machine any watch may be silent for longer than the test's patience.
            let isFirst = watches.withLock { watches in
                watches.append(version)
                return watches.count { $0 == version } == 1
            }
            try await exchange.startBody(HTTPResponse(200))
            let next = event("ADDED", version == "1" ? pod("a", version: 2) : pod("b", version: 3))
            // Half of an event, and nothing more: the connection is dead, and does not end.
            if version != "3" { try await exchange.write(version == "2" && isFirst ? Array(next.prefix(20)) : next) }
            try await Task.sleep(for: .seconds(3600))
        }) { client, _ in
            let scope = KubeClient.Scope(.pods, namespace: "d")
            let watch = ResourceWatch(
                client, scope, firstPause: .milliseconds(1), patience: .milliseconds(100))
            let running = Task { await watch.run() }
            #expect(await watch.next() == .synced([]))
            #expect(await watch.next() == .changed(pod("a", version: 2)))
            #expect(await watch.next() == .changed(pod("b", version: 3)))
            running.cancel()
            await running.value
            let versions = watches.withLock { $0 }
            #expect(versions.first == "1" && versions.drop { $0 == "1" }.prefix(2) == ["2", "2"], "\(versions)")
        }
    }

    @Test("a kind that may not be seen, or is not there, is told as a refusal", arguments: [403, 404, 500])
    func refusal(code: Int) async throws {
        try await withAPI({ try await $0.fail(code, "Reason", "no") }) { client, _ in
            try await following(client) { watch in
                #expect(await watch.next() == .disconnected("list pods: no", isRefusal: code != 500))
            }
        }
    }

    @Test("a slow reader gets the last state of each object, once")
    func coalescing() {
        var backlog = WatchBacklog()
        backlog.replace(with: [pod("b", version: 1), pod("a", version: 1)])
        backlog.change(pod("a", version: 2))
        #expect(backlog.next() == .synced([pod("a", version: 2), pod("b", version: 1)]))
        #expect(backlog.next() == nil)
        for version in 3..<1000 { backlog.change(pod("a", version: version)) }
        backlog.change(pod("c", version: 5))
        backlog.remove(pod("b", version: 6))
        backlog.remove(pod("c", version: 7))
        backlog.disconnect("x")
        backlog.disconnect("y")
        #expect(backlog.next() == .changed(pod("a", version: 999)))
        #expect(backlog.next() == .removed(pod("c", version: 7)))
        #expect(backlog.next() == .removed(pod("b", version: 6)))
        #expect(backlog.next() == .disconnected("y"))
        #expect(backlog.next() == nil)
        backlog.disconnect("z")
        backlog.resync()
        #expect(backlog.next() == .synced([pod("a", version: 999)]))
        #expect(backlog.next() == nil)
    }

    @Test("a reader's wait ends when its task is cancelled")
    func cancelledReader() async throws {
        let watch = ResourceWatch(KubeClient(HTTPClient(endpoint: .unix(path: "/nowhere"))), .init(.pods))
        let reading = Task { await watch.next() }
        reading.cancel()
        #expect(await reading.value == nil)
    }

    @Test("lines are found however the bytes are cut, and a line without end is refused")
    func lines() throws {
        let text = Array("one\n\ntwo\nthree\n".utf8)
        for size in 1...text.count {
            var splitter = WatchLines(limit: 100)
            var lines: [[UInt8]] = []
            for start in stride(from: 0, to: text.count, by: size) {
                lines += try splitter.split(Array(text[start..<min(text.count, start + size)]))
            }
            #expect(lines == [Array("one".utf8), Array("two".utf8), Array("three".utf8)])
        }
        var splitter = WatchLines(limit: 10)
        #expect(throws: HTTPError.self) { try splitter.split([UInt8](repeating: 65, count: 11)) }
    }
}
