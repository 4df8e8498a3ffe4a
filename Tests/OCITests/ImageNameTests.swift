import OCI
import Testing

@Suite("Names of images")
struct ImageNameTests {
    @Test(
        "a name is taken apart as Docker does it, and put together again",
        arguments: [
            ("web", "", "web", "latest"), ("web:1", "", "web", "1"), ("team/web", "", "team/web", "latest"),
            ("localhost:5000/team/web:1", "localhost:5000", "team/web", "1"),
            ("ghcr.io/acme/web@sha256:ab", "ghcr.io", "acme/web", "sha256:ab"),
            ("localhost/web", "localhost", "web", "latest"), ("host:5000/web", "host:5000", "web", "latest"),
            ("127.0.0.1/app", "127.0.0.1", "app", "latest"), ("ghcr.io/a/b:1@sha256:ab", "ghcr.io", "a/b", "sha256:ab"),
            ("[::1]:5000/a", "[::1]:5000", "a", "latest"),
        ])
    func parts(_ text: String, _ registry: String, _ repository: String, _ reference: String) {
        let name = ImageName(text)
        #expect([name.registry, name.repository, name.reference] == [registry, repository, reference])
        #expect(name.description == text)
    }

    @Test(
        "where a name is found, by Docker's rule",
        arguments: [
            ("web", "docker.io", "library/web"), ("team/web", "docker.io", "team/web"),
            ("docker.io/web", "docker.io", "library/web"), ("ghcr.io/web", "ghcr.io", "web"),
        ])
    func location(_ text: String, _ registry: String, _ repository: String) {
        #expect(ImageName(text).location == (registry, repository))
    }

    private static let digest = "sha256:" + String(repeating: "a", count: 64)

    @Test(
        "good names pass",
        arguments: [
            "web", "web:1", "x/a.b_c__d-e---f/g", "localhost:5000/web:V1.2_3-x", "k3d-registry.localhost:5000/team/web",
            "[::1]:5000/web", "GHCR.io/acme/web", "web@\(digest)", "web:1@\(digest)",
            "x:" + String(repeating: "t", count: 128),
        ])
    func good(text: String) throws {
        #expect(ImageName.problem(in: text) == nil)
        #expect(try ImageName(checking: text) == ImageName(text))
    }

    @Test(
        "a bad name is refused with the part that is wrong",
        arguments: [
            ("", "is empty", nil), ("localhost:5000/", "no name after the registry", nil),
            ("Team/web:1", "upper-case letters in \"Team\"", "team/web:1"),
            ("localhost:5000/a/Web", "upper-case letters in \"Web\"", "localhost:5000/a/web"),
            ("https://ghcr.io/web", "no scheme", "ghcr.io/web"), ("my web", "a blank", nil), ("wéb", "\"é\"", nil),
            ("web\n", "a line break", nil), ("a//b", "empty part", nil), ("-web", "\"-web\" is not made of", nil),
            ("web-", "\"web-\"", nil), ("a..b", "\"a..b\"", nil), ("a___b", "\"a___b\"", nil),
            ("a._b", "\"a._b\"", nil),
            ("web:", "tag after : is empty", nil), ("web:-1", "the tag \"-1\"", nil),
            ("web:a+b", "the tag \"a+b\"", nil),
            ("web:" + String(repeating: "t", count: 129), "at most 128", nil),
            (String(repeating: "n", count: 256), "at most 255", nil), ("web@sha256:12", "64 hexadecimal digits", nil),
            ("host:99999/web", "\"host:99999\" is not a registry's host and port", nil),
        ] as [(String, String, String?)])
    func bad(text: String, part: String, suggestion: String?) throws {
        let problem = try #require(ImageName.problem(in: text))
        #expect(problem.reason.contains(part), "\(problem)")
        #expect(problem.suggestion == suggestion)
        #expect(throws: ImageNameProblem.self) { try ImageName(checking: text) }
    }
}
