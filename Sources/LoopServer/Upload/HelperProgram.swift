internal import Glibc
internal import Reactor

/// The helper's executable for one architecture, ready to be sent.
struct HelperProgram: Sendable {
    let bytes: [UInt8]
    let digest: SHA256Digest

    /// Where it lies in a container in dev mode.
    static let supervisor = "/.loopd/bin/helper"

    /// The name of its folder in a container: helpers of other versions have other folders.
    var folder: String { ".loopd-" + digest.hex.prefix(16) }

    /// Reads the program for a node's architecture, in Kubernetes' names.
    ///
    /// A missing one is a failure that says so.
    static func load(architecture: String, from programs: Programs) throws -> HelperProgram {
        guard let path = programs.helpers[architecture] else {
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "no helper for nodes of architecture \(architecture)",
                    details: ["there are helpers for \(programs.helpers.keys.sorted().joined(separator: ", "))"],
                    nextStep: "build it with `make helpers`, or install a release of loopd that has it"))
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemError.last("open \(path)") }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw SystemError.last("stat \(path)") }
        let size = Int(status.st_size)
        let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            count = max(0, read(descriptor, buffer.baseAddress, size))
        }
        guard bytes.count == size else { throw SystemError(code: EIO, attempt: "read \(path)") }
        return HelperProgram(stripping: bytes)
    }
}

extension HelperProgram {
    /// A program without what only debuggers read: a ConfigMap holds a megabyte, and a helper built for debugging is bigger.
    init(stripping file: [UInt8]) {
        let bytes = ElfStripping.stripped(file) ?? file
        self.init(bytes: bytes, digest: SHA256Digest(of: bytes))
    }
}
