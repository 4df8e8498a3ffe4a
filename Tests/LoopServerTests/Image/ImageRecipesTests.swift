import Testing

@testable import LoopServer

@Suite("Bases of images")
struct ImageRecipesTests {
    @Test(
        "a base is asked for where it is",
        arguments: [
            ("debian:12", nil, nil, "docker.io/library/debian:12"),
            ("docker.io/debian:12", nil, nil, "docker.io/library/debian:12"),
            ("index.docker.io/debian:12", nil, nil, "docker.io/library/debian:12"),
            ("acme/web", nil, nil, "docker.io/acme/web"),
            ("ghcr.io/acme/web:1", nil, nil, "ghcr.io/acme/web:1"),
            ("base:1", "127.0.0.1:5000", nil, "127.0.0.1:5000/base:1"),
            ("docker.io/debian:12", "127.0.0.1:5000", nil, "docker.io/library/debian:12"),
            ("registry:5000/base:1", nil, "registry:5000", "localhost:5000/base:1"),
            ("registry:5001/base:1", nil, "registry:5000", "registry:5001/base:1"),
            ("debian:12", nil, "registry:5000", "docker.io/library/debian:12"),
        ] as [(String, String?, String?, String)])
    func bases(text: String, playground: String?, pull: String?, expected: String) {
        let names = pull.map { RegistryNames(push: "localhost:5000", pull: $0) }
        #expect("\(ImageRecipes.place(of: text, playground: playground, names))" == expected)
    }
}
