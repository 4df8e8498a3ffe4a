import OCI
import Testing

@testable import LoopServer

@Suite("Clients of registries")
struct RegistriesTests {
    @Test("clients of registries have this user's files, and programs that end with loopd")
    func clients() {
        let registries = Registries(leash: "/leash", environment: ["HOME": "/home/u", "TMPDIR": "/tmp/u"])
        #expect(registries.options.environment["HOME"] == "/home/u")
        #expect(registries.options.temporaryFolder == "/tmp/u")
        #expect(registries.options.credentials?.files.contains("/home/u/.docker/config.json") == true)
        #expect((registries.options.programs as? LeashedPrograms)?.leash == "/leash")
        #expect(Registries(leash: "/leash").options.environment["HOME"] == ProcessEnvironment.inherited["HOME"])
    }
}
