import HTTP
import JSON
import Reactor
import Synchronization
import Testing

@testable import LoopServer

@Suite("The images of a service", .turn)
struct ServiceImagesTests {
    /// The images of a Deployment that is not there.
    private func withImages(_ body: (ServiceImages) async throws -> Void) async throws {
        try await withAPI({ exchange in
            try await exchange.respond(HTTPResponse(404), body: Array("{}".utf8))
        }) { client, _ in
            let rollout = DevFixture.rollout(client) { _ in }
            try await body(ServiceImages(["web": rollout]))
        }
    }

    @Test("what was never let into the workload has failed when the session ends, and nobody waits for it any more")
    func ends() async throws {
        try await withImages { images in
            let run = Task { await images.run() }
            await images.take("web", "localhost:5000/web:loopd-1111111111111111")
            let waiting = Task { await images.untilRolledOut() }
            run.cancel()
            await run.value
            #expect(await waiting.value == false)
        }
    }

    @Test("an image that found no workload is told once, and comes when the workload is there")
    func absent() async throws {
        let api = StoredObjects()
        let image = "localhost:5000/web:loopd-1111111111111111"
        try await withAPI({ try await api.handle($0) }) { client, _ in
            let failures = Mutex<[String]>([])
            let rollout = DevFixture.rollout(client) { kind in
                if case .failed(let failure) = kind { failures.withLock { $0.append(failure.summary) } }
            }
            let images = ServiceImages(["web": rollout])
            let run = Task { await images.run() }
            await images.take("web", image)
            await images.allow()
            await images.untilEntered()
            // As long as it is not there nothing comes of it.
            await images.retry()
            await images.untilEntered()
            api.put("deployments", DevFixture.deployment())
            await images.retry()
            await images.untilEntered()
            let container = api.object("deployments", "app")?.podSpec.named("app", in: "containers")
            #expect(container?["image"]?.string == image)
            #expect(
                failures.withLock { $0 } == ["deployment/app is not in namespace d: nothing runs web yet"])
            run.cancel()
            await run.value
        }
    }

    /// The images of a service that runs on this machine, and the API with the Deployment, where that is there.
    private func withResting(
        _ objects: [JSON] = [DevFixture.deployment()], _ body: (ServiceImages, StoredObjects) async throws -> Void
    ) async throws {
        let api = StoredObjects()
        for object in objects { api.put("deployments", object) }
        try await withAPI({ try await api.handle($0) }) { client, _ in
            let images = ServiceImages(["web": DevFixture.rollout(client) { _ in }], isResting: true)
            let run = Task { await images.run() }
            await images.allow()
            try await body(images, api)
            run.cancel()
            await run.value
        }
    }

    private func take(_ number: Int, _ images: ServiceImages) async {
        await images.take("web", "localhost:5000/web:loopd-\(number)")
        await images.untilEntered()
    }

    /// Which one the Deployment has.
    private func present(_ api: StoredObjects) -> String? {
        let container = api.object("deployments", "app")?.podSpec.named("app", in: "containers")
        return container?["image"]?.string?.split(separator: "-").last.map(String.init)
    }

    @Test("of a service that runs on this machine only the first of each image goes into the workload")
    func resting() async throws {
        try await withResting { images, api in
            for number in 1...2 { await take(number, images) }
            #expect(present(api) == "1")
        }
    }

    @Test("of a service that runs on this machine the next image goes there when the first one cannot")
    func restingFailure() async throws {
        try await withResting([]) { images, api in
            await take(1, images)
            api.put("deployments", DevFixture.deployment())
            await take(2, images)
            #expect(present(api) == "2")
        }
    }

    @Test("of a service that runs on this machine what came meanwhile follows a first one that does not run")
    func spare() async throws {
        try await withResting { images, api in
            for number in 1...2 { await take(number, images) }
            #expect(present(api) == "1")
            // What is there when it is first looked at is about a rollout of before: its controller gives this one up later.
            var second = 10
            while present(api) != "2" {
                second += 1
                var object = try #require(api.object("deployments", "app"))
                object["status"] = [
                    "observedGeneration": object.at("metadata", "generation") ?? 1,
                    "conditions": [
                        [
                            "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
                            "lastUpdateTime": .string("2099-01-01T00:00:\(second)Z"),
                        ]
                    ],
                ]
                api.put("deployments", object)
                // Nobody tells a test when it was first looked at: once more, until it counts.
                try await Task.sleep(for: .milliseconds(100))
            }
        }
    }

    @Test("an image of another name is not its business")
    func others() async throws {
        try await withImages { images in
            await images.take("other", "localhost:5000/other:loopd-1111111111111111")
            #expect(await images.untilRolledOut())
        }
    }
}
