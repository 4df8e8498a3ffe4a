@testable import HTTP
import Testing

@Suite("Encodings")
struct EncodingTests {
    @Test(
        "SHA-1 gives the digests of its standard",
        arguments: [
            ("", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
            ("abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "84983e441c3bd26ebaae4aa1f95129e5e54670f1"
            ),
            (String(repeating: "a", count: 1_000), "291e9a6c66994949b57ba5e650361e98fc36b1ba"),
        ])
    func sha1(text: String, digest: String) {
        let hex = SHA1.digest(text.bytes).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        #expect(hex == digest)
    }

    @Test(
        "base64 gives the texts of its standard and reads them",
        arguments: [
            ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ])
    func base64(text: String, encoded: String) {
        #expect(Base64.encode(text.bytes) == encoded)
        #expect(Base64.decode(encoded) == text.bytes)
    }

    @Test("what is not base64 is refused", arguments: ["Z", "Zg=", "Zg==Zg==", "Zm9!", "=m9v", "Zm=v", "===="])
    func notBase64(text: String) {
        #expect(Base64.decode(text) == nil)
    }

    @Test("path and query come out as they went in")
    func percent() {
        let name = "a b/ü?&=+%#\u{1F600}"
        let query = PercentEncoding.query([("command", name), ("x", ""), (name, "1")])
        let request = HTTPRequest("GET", "/api/\(PercentEncoding.encode(segment: name))/?\(query)")
        #expect(request.path == ["api", name, ""])
        #expect(request.query.map(\.0) == ["command", "x", name])
        #expect(request.query.map(\.1) == [name, "", "1"])
        #expect(request.target.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F })
    }

    @Test("odd targets are read without complaint")
    func oddTargets() {
        #expect(HTTPRequest("GET", "/").path == [])
        #expect(HTTPRequest("GET", "/a%2").path == ["a%2"])
        #expect(HTTPRequest("GET", "/a%zz//b").path == ["a%zz", "", "b"])
        #expect(HTTPRequest("GET", "/?a+b=c+d&e&&=f").query.map { "\($0.0)=\($0.1)" } == ["a b=c d", "e=", "=f"])
        #expect(HTTPRequest("GET", "/a").query.isEmpty)
    }

    @Test("a mask twice over is the original, at every phase and length")
    func mask() {
        for phase in 0..<4 {
            for count in 0..<40 {
                let original = (0..<count).map { UInt8($0) }
                let masked = WebSocketMask.piece([], original, 0..<count, mask: 0x4433_2211, position: phase)
                let expected = original.enumerated().map { $1 ^ [0x11, 0x22, 0x33, 0x44][($0 + phase) % 4] }
                #expect(masked == expected)
            }
        }
    }

    @Test("header names compare without case, and lists are split")
    func headers() {
        var headers: HTTPHeaders = ["Connection": "keep-alive, Upgrade", "A": "1"]
        headers.add("a", "2")
        #expect(headers["CONNECTION"] == "keep-alive, Upgrade")
        #expect(headers.all("A") == ["1", "2"])
        #expect(headers.lists("upgrade", in: "connection"))
        #expect(!headers.lists("up", in: "connection"))
        headers["A"] = nil
        #expect(headers.all("a").isEmpty)
    }
}
