import HTTP
import JSON
import OCI
import Reactor
import TestCluster
import Testing

@Suite("Pushing images", .timeLimit(.minutes(5)), .enabled(if: RegistryProcess.missing == nil))
struct PushTests {
    @Test("an image is pushed and read again, and nothing of it travels twice")
    func roundTrip() async throws {
        try await withRegistry { process, scratch in
            let file = try scratch.write("app", noise(10 << 20), mode: 0o755)
            let clock = ContinuousClock()
            let registry = Registry(process.name)
            try await registry.check()
            var image = ImageContent(scratch: .host)
            var report = PushReport()
            let took = try await clock.measure {
                image.append(try await Layer.pack([.file("srv/app", from: file)]))
                report = try await registry.push(image, to: "team/app", tags: ["1", "dev"])
            }
            print("pushed in \(took)")
            #expect(report.blobsSent == 2)
            #expect(!report.isUnchanged)
            let again = try await registry.push(image, to: "team/app", tags: ["1", "dev"])
            #expect(again.isUnchanged)
            #expect(again.bytesSent == 0)
            #expect(try await registry.tags(in: "team/app").sorted() == ["1", "dev"])
            let found = try await registry.image("1", in: "team/app", platform: .host)
            #expect(found.digest == image.digest)
            #expect(found.layers.map(\.descriptor) == image.layers.map(\.descriptor))
            let other = try await registry.push(found, to: "other", tags: ["x"])
            #expect(other.blobsMounted == 1)
        }
    }
}
