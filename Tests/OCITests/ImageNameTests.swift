import OCI
import Testing

@Suite("Names of images")
struct ImageNameTests {
    @Test(
        "a name is taken apart as Docker does it",
        arguments: [
            ("web", "", "web", "latest"), ("web:1", "", "web", "1"), ("team/web", "", "team/web", "latest"),
            ("localhost:5000/team/web:1", "localhost:5000", "team/web", "1"),
            ("ghcr.io/acme/web@sha256:ab", "ghcr.io", "acme/web", "sha256:ab"),
            ("localhost/web", "localhost", "web", "latest"), ("host:5000/web", "host:5000", "web", "latest"),
            ("127.0.0.1/app", "127.0.0.1", "app", "latest"), ("ghcr.io/a/b:1@sha256:ab", "ghcr.io", "a/b", "sha256:ab"),
        ])
    func parts(_ text: String, _ registry: String, _ repository: String, _ reference: String) {
        let name = ImageName(text)
        #expect([name.registry, name.repository, name.reference] == [registry, repository, reference])
    }
}
