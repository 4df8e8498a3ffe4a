import CHash
import Reactor
import Testing

@Suite("SHA-256", .serialized)
struct HashTests {
    private func hash(_ bytes: [UInt8], pieces: [Int]) -> [UInt8] {
        var state = chash_sha256()
        chash_sha256_init(&state)
        var rest = bytes[...]
        for piece in pieces {
            let taken = Array(rest.prefix(piece))
            chash_sha256_update(&state, taken, taken.count)
            rest = rest.dropFirst(piece)
        }
        let last = Array(rest)
        chash_sha256_update(&state, last, last.count)
        var digest = [UInt8](repeating: 0, count: 32)
        chash_sha256_final(&state, &digest)
        return digest
    }

    private func hexadecimal(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    @Test(
        "the vectors of FIPS 180-4, by the CPU's instructions and in plain C",
        arguments: [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
            ),
        ])
    func vectors(_ text: String, _ expected: String) {
        for portable: Int32 in [0, 1] {
            chash_use_portable(portable)
            #expect(hexadecimal(hash(Array(text.utf8), pieces: [])) == expected)
        }
        chash_use_portable(0)
    }

    @Test("a million times the letter a")
    func million() {
        let bytes = [UInt8](repeating: 97, count: 1_000_000)
        for portable: Int32 in [0, 1] {
            chash_use_portable(portable)
            #expect(
                hexadecimal(hash(bytes, pieces: [1, 63, 64, 65, 127]))
                    == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
        }
        chash_use_portable(0)
    }

    @Test("random contents in random pieces agree with sha256sum")
    func random() async throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed of the hashed contents: \(seed)")
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<30 {
            let bytes = (0..<Int.random(in: 0...5000, using: &generator)).map { _ in
                UInt8.random(in: 0...255, using: &generator)
            }
            let pieces = (0..<8).map { _ in Int.random(in: 0...300, using: &generator) }
            let sum = try await Child.run(Launch(["sha256sum"]), input: bytes)
            let expected =
                bytes.isEmpty
                ? "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" : String(sum.text.prefix(64))
            for portable: Int32 in [0, 1] {
                chash_use_portable(portable)
                #expect(hexadecimal(hash(bytes, pieces: pieces)) == expected, "seed \(seed)")
            }
            chash_use_portable(0)
        }
    }
}
