import Glibc
import Reactor
import Testing

@testable import LoopServer

@Suite("The helper's archive", .turn) struct HelperArchiveTests {
    @Test(
        "tar unpacks it, whatever the size; only its owner may use it", arguments: [["tar"], ["busybox", "tar"]],
        [0, 1, 511, 512, 513, 10240, 700_001])
    func unpacks(tar: [String], size: Int) async throws {
        let folder = try ScratchTree()
        let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ 7) }
        let program = HelperProgram(bytes: bytes, digest: SHA256Digest(of: bytes))
        let archive = HelperArchive.tar(program, path: "\(program.folder)/helper")
        // Whole records: a tar that reads by records needs no end of file.
        #expect(archive.count % 10240 == 0)
        try folder.write("archive", archive)
        try folder.folder("to")
        let done = try await Child.run(
            Launch(tar + ["-x", "-f", folder.path + "/archive", "-C", folder.path + "/to"]))
        #expect(done.status.isSuccess, "\(done.errorText)")
        let path = "\(folder.path)/to/\(program.folder)/helper"
        #expect(ScratchTree.contents(path) == bytes)
        for (path, mode) in [(path, S_IFREG | 0o700), ("\(folder.path)/to/\(program.folder)", S_IFDIR | 0o700)] {
            var status = stat()
            stat(path, &status)
            #expect(status.st_mode == mode)
        }
    }
}
