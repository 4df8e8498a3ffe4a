import Glibc
import Testing

@testable import LoopServer

@Suite("The command lines of engines") struct EngineCommandTests {
    private static let recipe = {
        var recipe = EngineBuild(nil, context: "/shop", dockerfile: "/shop/Dockerfile.dev")
        recipe.arguments = ["VERSION": "1.2", "TOKEN": "hunter22", "PATH": "/opt/bin"]
        recipe.target = "dev"
        recipe.contexts = ["assets": "/assets"]
        recipe.secrets = ["npm": .file("/home/ann/.npmrc"), "token": .environment("NPM_TOKEN")]
        return recipe
    }()
    private static let tail = [
        "--build-arg", "PATH=/opt/bin", "--build-arg", "TOKEN", "--build-arg", "VERSION", "--target", "dev",
        "--platform",
        "linux/arm64", "--build-context", "assets=/assets", "--secret", "id=npm,src=/home/ann/.npmrc", "--secret",
        "id=token,env=NPM_TOKEN", "/shop",
    ]

    @Test("a build has everything that loop.json says, and no value of an argument")
    func build() {
        let start = ["build", "--iidfile", "/tmp/id", "--file", "/shop/Dockerfile.dev", "--force-rm"]
        for (engine, words) in [
            (ContainerEngine(.docker), ["docker"] + start),
            (ContainerEngine(.podman), ["podman"] + start + ["--layers"]),
            (ContainerEngine(.buildah), ["buildah"] + start + ["--layers"]),
            (
                ContainerEngine(.podman, environment: ["CONTAINER_HOST": "unix:///x"]),
                ["podman", "--remote"] + start + ["--layers"]
            ),
        ] {
            let command = EngineCommand(engine).build(
                EngineCommandTests.recipe, platform: "linux/arm64", idFile: "/tmp/id")
            #expect(command == words + EngineCommandTests.tail)
        }
    }

    @Test("values of arguments are in the environment, but for those that the program itself goes by")
    func environment() {
        let engine = ContainerEngine(.docker, environment: ["DOCKER_HOST": "unix:///x"])
        let variables = EngineCommand(engine).buildEnvironment(
            EngineCommandTests.recipe, on: ["PATH": "/usr/bin", "BUILDKIT_PROGRESS": "rawjson"])
        #expect(variables["TOKEN"] == "hunter22")
        #expect(variables["PATH"] == "/usr/bin")
        #expect(variables["DOCKER_HOST"] == "unix:///x")
        #expect(variables["BUILDKIT_PROGRESS"] == "rawjson")
        #expect(variables["DOCKER_BUILDKIT"] == nil)
        #expect(EngineVariables.contains("https_proxy"))
    }

    @Test(
        "names that only begin as the programs' own are not theirs",
        arguments: [
            "SSH_PRIVATE_KEY", "GOOGLE_API_KEY", "GOPROXY", "REGISTRY_PASSWORD", "DOCKER_TOKEN", "CONTAINER_PORT",
            "SSL_KEY", "path",
        ])
    func others(name: String) {
        var recipe = EngineCommandTests.recipe
        recipe.arguments = [name: "hunter22"]
        for program in [EngineBuild.Program.docker, .podman, .buildah] {
            let command = EngineCommand(ContainerEngine(program))
            #expect(!command.build(recipe, platform: nil, idFile: "/tmp/id").contains { $0.contains("hunter22") })
            #expect(command.buildEnvironment(recipe, on: [:])[name] == "hunter22")
        }
    }

    @Test("a secret of a name that the program goes by is in no command line either")
    func ownSecret() {
        var recipe = EngineCommandTests.recipe
        recipe.arguments = ["CONTAINER_SSHKEY": "hunter22"]
        let command = EngineCommand(ContainerEngine(.podman))
        #expect(!command.build(recipe, platform: nil, idFile: "/tmp/id").contains { $0.contains("hunter22") })
        #expect(command.buildEnvironment(recipe, on: [:])["CONTAINER_SSHKEY"] == nil)
    }

    @Test("the image's own platform wins over the nodes'; a place with a comma stays one field")
    func platform() {
        var recipe = EngineBuild(.docker, context: "/shop", dockerfile: "/shop/Dockerfile")
        recipe.platform = "linux/arm/v7"
        recipe.secrets = ["a": .file("/a,b")]
        let command = EngineCommand(ContainerEngine(.docker)).build(recipe, platform: "linux/arm64", idFile: "/tmp/id")
        #expect(command.contains("linux/arm/v7"))
        #expect(!command.contains("linux/arm64"))
        #expect(command.contains("id=a,\"src=/a,b\""))
    }

    @Test("only registries on this machine are spoken to without encryption")
    func push() {
        let reference = "localhost:5000/web:loopd-1"
        let podman = EngineCommand(ContainerEngine(.podman))
        #expect(
            podman.push(reference, isLoopback: true)
                == ["podman", "push", "--tls-verify=false", reference, "docker://\(reference)"])
        #expect(podman.push(reference, isLoopback: false) == ["podman", "push", reference, "docker://\(reference)"])
        #expect(
            EngineCommand(ContainerEngine(.docker)).push(reference, isLoopback: true) == ["docker", "push", reference])
    }

    @Test("only names that loopd has given are its own to take away")
    func ownNames() {
        let list =
            "web:loopd-1\ndocker.io/library/web:loopd-2\nweb:dev\nweb2:loopd-3\nlocalhost:5000/web:loopd-4\nweb:1.2\n"
        #expect(
            EngineDelivery.ownNames(list, "docker.io/library/web") == ["web:loopd-1", "docker.io/library/web:loopd-2"])
        #expect(EngineDelivery.ownNames(list, "localhost:5000/web") == ["localhost:5000/web:loopd-4"])
    }

    @Test("names in a registry take the place of names in manifests")
    func names() {
        let names = RegistryNames(push: "localhost:5000", pull: "k3d-registry.localhost:5000")
        for (name, path) in [
            ("web", "web"), ("acme/web", "acme/web"), ("ghcr.io/acme/web", "acme/web"), ("localhost:5000/web", "web"),
            ("k3d-registry.localhost:5000/a/web", "a/web"),
        ] {
            #expect(names.pushRepository(of: name) == "localhost:5000/\(path)")
            #expect(names.pullRepository(of: name) == "k3d-registry.localhost:5000/\(path)")
        }
        let below = RegistryNames(push: "registry.localhost:5000/team")
        #expect(below.pushRepository(of: "web") == "registry.localhost:5000/team/web")
        #expect(below.programRepository(of: "web") == "localhost:5000/team/web")
        #expect(names.programRepository(of: "web") == "localhost:5000/web")
        let remote = RegistryNames(push: "ghcr.io/acme")
        #expect(remote.programRepository(of: "web") == "ghcr.io/acme/web")
        #expect(remote.pushRepository(of: "ghcr.io/acme/web") == "ghcr.io/acme/web")
        #expect(remote.pushRepository(of: "web") == "ghcr.io/acme/web")
        #expect(RegistryNames(push: "localhost:5000", pull: "").pullRepository(of: "web") == "web")
    }
}

@Suite("Secrets in what programs print") struct SecretMaskTests {
    @Test("values are masked, and lines of long ones")
    func mask() {
        let mask = SecretMask(["hunter22", "-----BEGIN KEY-----\nMIIEvQIBADANBg\n}\n", "hunter", ""])
        #expect(mask.masked("using hunter22 and hunter") == "using *** and ***")
        #expect(mask.masked("it was MIIEvQIBADANBg }") == "it was *** }")
        #expect(mask.masked("nothing to see") == "nothing to see")
    }

    @Test("arguments are secrets when they are called so")
    func arguments() {
        let values = SecretMask.secretArguments(
            ["NPM_TOKEN": "abcd-1234", "VERSION": "1.2.3", "apiKey": "k-1234", "MODE": "debug", "PASSWORD": "x"])
        #expect(Set(values) == ["abcd-1234", "k-1234"])
    }
}
