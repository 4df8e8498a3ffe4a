internal import Synchronization

/// Reads a blob for an upload, and knows the digest of what it has given out.
///
/// One upload at a time reads.
final class UploadReader: Sendable {
    private struct State {
        var running = RunningDigest()
        var hashed: Int64 = 0
    }
    let blob: Blob
    private let isChecked: Bool
    private let state = Mutex(State())

    init(_ blob: Blob) {
        self.blob = blob
        // What is in memory is still what was hashed.
        if case .bytes = blob.source { isChecked = false } else { isChecked = true }
    }

    /// The whole content, where it is in memory as one.
    var bytes: [UInt8]? {
        if case .bytes(let bytes) = blob.source { bytes } else { nil }
    }

    func read(at offset: Int64, count: Int) async throws -> [UInt8] {
        let bytes = try await blob.read(at: offset, count: count)
        if isChecked { note(bytes, at: offset) }
        return bytes
    }

    /// Takes what was not taken before; an upload that goes on from an earlier place reads some bytes again.
    private func note(_ bytes: [UInt8], at offset: Int64) {
        state.withLock { state in
            let known = state.hashed - offset
            guard known >= 0, known < bytes.count else { return }
            bytes.withUnsafeBytes {
                state.running.update(UnsafeRawBufferPointer(rebasing: $0[Int(known)...]))
            }
            state.hashed = offset + Int64(bytes.count)
        }
    }

    /// Who is to blame where it is not what its digest says.
    var problem: LayerProblem {
        if case .file(let file, _) = blob.source { return .changed(file.path) }
        return .changed("a file of the layer")
    }

    /// Whether all was read, and is not what the digest says.
    var isOther: Bool {
        isChecked
            && state.withLock { $0.hashed == blob.descriptor.size && $0.running.digest != blob.descriptor.digest }
    }
}
