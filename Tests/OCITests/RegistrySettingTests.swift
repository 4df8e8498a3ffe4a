import HTTP
import JSON
import OCI
import Reactor
import Synchronization
import TestCluster
import Testing

@Suite("Registries as they are set up", .timeLimit(.minutes(5)), .enabled(if: RegistryProcess.missing == nil))
struct RegistrySettingTests {
    private static func image(_ seed: UInt64 = 1) async throws -> ImageContent {
        var image = ImageContent(scratch: .host)
        image.append(try await Layer.pack([LayerEntry("data", .bytes(noise(1000, seed: seed)))]))
        return image
    }

    @Test("a registry that is read-only says so, and what is there can be read")
    func readOnly() async throws {
        let scratch = try Scratch()
        let writable = try await RegistryProcess.start(in: scratch.path)
        let image = try await Self.image()
        _ = try await Registry(writable.name).push(image, to: "app", tags: ["1"])
        await writable.kill()
        let process = try await RegistryProcess.start(in: scratch.path, .init(isReadOnly: true))
        let registry = Registry(process.name)
        #expect(try await registry.push(image, to: "app", tags: ["1"]).isUnchanged)
        for (content, tag) in [(image, "2"), (try await Self.image(2), "1")] {
            await #expect {
                try await registry.push(content, to: "app", tags: [tag])
            } throws: { error in
                guard let failure = error as? RegistryFailure else { return false }
                return failure.kind == .readOnly && failure.summary.contains(process.name)
                    && failure.repository == "app"
            }
        }
        #expect(try await registry.head("1", in: "app")?.digest == image.digest)
        #expect(try await registry.head("2", in: "app") == nil)
        await process.kill()
    }

    @Test("a manifest is deleted with its tags, and a registry where that is off is told apart")
    func deletion() async throws {
        try await withRegistry(.init(deletes: true)) { process, _ in
            let registry = Registry(process.name)
            let image = try await Self.image()
            _ = try await registry.push(image, to: "app", tags: ["1", "2"])
            #expect(try await registry.deleteManifest(image.digest, in: "app"))
            #expect(try await registry.head("1", in: "app") == nil)
            #expect(try await registry.deleteManifest(image.digest, in: "app") == false)
            #expect(try await registry.tags(in: "nothing") == [])
        }
        try await withRegistry { process, _ in
            let registry = Registry(process.name)
            let image = try await Self.image()
            _ = try await registry.push(image, to: "app", tags: ["1"])
            await #expect {
                try await registry.deleteManifest(image.digest, in: "app")
            } throws: { error in
                (error as? RegistryFailure)?.kind == .unsupported
            }
        }
    }

    @Test("a login is sent where it is asked for, and a wrong or missing one is told without showing it")
    func basic() async throws {
        let scratch = try Scratch()
        guard let hashed = try await Self.bcrypt("right") else {
            print("skipped: no program here makes a bcrypt password (python3 with bcrypt or crypt, htpasswd)")
            return
        }
        let file = try scratch.write("passwords", "user:\(hashed)\n")
        try await withRegistry(.init(passwords: file)) { process, scratch in
            func registry(_ login: String?) throws -> Registry {
                var environment = ["HOME": scratch.path, "DOCKER_CONFIG": "\(scratch.path)/docker"]
                if let login {
                    let auth = Base64.encode(Array(login.utf8))
                    let config: JSON = ["auths": [process.name: ["auth": .string(auth)]]]
                    try scratch.write("docker/config.json", config.bytes)
                } else {
                    environment = ["HOME": "/nowhere"]
                }
                return Registry(process.name, options: .init(environment: environment))
            }
            let image = try await Self.image()
            for login in ["user:wrong-secret", nil] {
                await #expect {
                    try await registry(login).push(image, to: "app", tags: ["1"])
                } throws: { error in
                    guard let failure = error as? RegistryFailure else { return false }
                    return failure.kind == .unauthorized && failure.nextStep == "docker login \(process.name)"
                        && !"\(failure)".contains("wrong-secret")
                }
            }
            let allowed = try registry("user:right")
            #expect(try await allowed.push(image, to: "app", tags: ["1"]).blobsSent == 2)
            #expect(try await isWhole(allowed, "app", "1"))
        }
    }

    /// A password as docker-registry wants it; `nil` where no program here makes one.
    private static func bcrypt(_ password: String) async throws -> String? {
        let programs = [
            ["htpasswd", "-nbB", "-C", "4", "user", password],
            [
                "python3", "-c",
                "import crypt; salt = crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16); "
                    + "print('user:' + crypt.crypt('\(password)', salt))",
            ],
        ]
        for program in programs {
            guard let output = try? await Child.run(Launch(program)), output.status.isSuccess else { continue }
            let hashed = output.text.split(separator: "\n").first?.split(separator: ":").last.map { String($0) } ?? ""
            // The library writes the same as 2b.
            if hashed.hasPrefix("$2") { return hashed }
        }
        return nil
    }

    @Test(
        "a registry with HTTPS is pushed to and pulled from through curl, and one that nobody vouches for is not",
        .enabled(if: (Installed.program("openssl") != nil) && (Installed.program("curl") != nil)))
    func https() async throws {
        let scratch = try Scratch()
        let (certificate, key) = try await Self.certify(scratch)
        try await withRegistry(.init(certificate: (certificate, key))) { process, _ in
            // Names below localhost, which a resolver may not know, and each way to say whom to trust.
            let name = "registry.localhost:\(process.port)"
            try scratch.write(".config/containers/certs.d/\(name)/ca.crt", try Disk.read(certificate))
            var given = Registry.Options.brief
            given.certificates = certificate
            var variable = Registry.Options.brief
            var variables = environment(with: ["SSL_CERT_FILE": certificate])
            // These would come first.
            for name in ["CURL_CA_BUNDLE", "SSL_CERT_DIR"] { variables[name] = nil }
            variable.programs = DirectRunner(environment: variables)
            var folder = Registry.Options.brief
            folder.environment = ["HOME": scratch.path]
            var image = try await Self.image()
            let file = try scratch.write("file", noise(3 << 20))
            image.append(try await Layer.pack([.file("file", from: file)]))
            for (number, options) in [given, variable, folder].enumerated() {
                let registry = Registry(name, options: options)
                let report = try await registry.push(image, to: "app\(number)", tags: ["1"])
                #expect(report.blobsSent == 3)
                #expect(try await registry.head("1", in: "app\(number)")?.digest == image.digest)
            }
            let registry = Registry(name, options: given)
            #expect(try await registry.push(image, to: "app0", tags: ["1"]).isUnchanged)
            // From one registry to the other, by way of this machine.
            try await withRegistry { other, _ in
                let base = try await Registry(name, options: given).image("1", in: "app0", platform: .host)
                #expect(try await Registry(other.name).push(base, to: "copy", tags: ["1"]).blobsSent == 3)
                #expect(try await isWhole(Registry(other.name), "copy", "1"))
            }
            await #expect {
                try await Registry(process.name, options: .brief).push(image, to: "app", tags: ["1"])
            } throws: { error in
                (error as? RegistryFailure)?.kind == .untrusted
            }
        }
    }

    /// A key and a certificate for this machine's names.
    private static func certify(_ scratch: Scratch) async throws -> (file: String, key: String) {
        let made = ("\(scratch.path)/ca.pem", "\(scratch.path)/key.pem")
        try await Child.succeed([
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", made.1, "-out", made.0,
            "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:registry.localhost",
        ])
        return made
    }

    /// To another registry, by way of this machine.
    private static func copy(_ image: ImageContent) async throws {
        try await PlaygroundRegistry.run { other, _ in
            let registry = Registry(other.name)
            let report = try await registry.push(image, to: "copy", tags: ["1"])
            #expect(report.blobsSent == 2)
            #expect(try await isWhole(registry, "copy", "1"))
        }
    }

    @Test(
        "a base image's blob that breaks off again and again comes all the same, each time from there on",
        .enabled(if: (Installed.program("openssl") != nil) && (Installed.program("curl") != nil)),
        arguments: [false, true])
    func download(isSecure: Bool) async throws {
        let scratch = try Scratch()
        let certificate = isSecure ? try await Self.certify(scratch) : nil
        try await withRegistry(.init(certificate: certificate)) { process, _ in
            var brief = Registry.Options.brief
            brief.certificates = certificate?.file
            let options = brief
            var image = ImageContent(scratch: .host)
            // What is smaller is read into memory.
            let file = try scratch.write("file", noise(20 << 20))
            image.append(try await Layer.pack([.file("file", from: file)]))
            _ = try await Registry(process.name, options: options).push(image, to: "app", tags: ["1"])
            let connections = Mutex(0)
            try await withRelay(to: .tcp(host: "127.0.0.1", port: process.port)) { count in
                connections.withLock { $0 = count }
                return .init(cutAnswersAfter: 6 << 20)
            } _: { relay in
                let base = try await Registry(relay.name, options: options).image("1", in: "app", platform: .host)
                try await Self.copy(base)
                #expect(connections.withLock(\.self) >= 4)
            }
        }
    }

    @Test(
        "what skopeo pulls from the registry is what was pushed, of both families",
        .enabled(if: Installed.program("skopeo") != nil))
    func skopeo() async throws {
        try await withRegistry { process, scratch in
            let image = try await Self.image()
            _ = try await Registry(process.name).push(image, to: "app", tags: ["1"])
            try await Child.succeed([
                "skopeo", "copy", "--src-tls-verify=false", "docker://\(process.name)/app:1",
                "docker-archive:\(scratch.path)/a.tar:app:1",
            ])
            let archive = try await ImageArchive.read("\(scratch.path)/a.tar")
            #expect(archive.layers.map(\.diffID) == image.layers.map(\.diffID))
            try await Child.succeed([
                "skopeo", "copy", "--dest-tls-verify=false", "--format", "v2s2", "docker-archive:\(scratch.path)/a.tar",
                "docker://\(process.name)/docker:1",
            ])
            // A base image of Docker's own types, with one more layer of its family.
            let registry = Registry(process.name)
            var based = try await registry.image("1", in: "docker", platform: .host)
            #expect(based.family == .docker)
            based.append(try await Layer.pack([LayerEntry("more", .bytes([1]))], family: based.family))
            _ = try await registry.push(based, to: "docker", tags: ["2"])
            try await Child.succeed([
                "skopeo", "copy", "--src-tls-verify=false", "docker://\(process.name)/docker:2",
                "oci:\(scratch.path)/layout:2",
            ])
            let layout = try await ImageArchive.read("\(scratch.path)/layout")
            #expect(layout.config.diffIDs == based.config.diffIDs)
        }
    }

    @Test(
        "nobody there is one clear line, at once",
        arguments: ["127.0.0.1:1", "localhost:1", "registry.localhost:1", "[::1]:1"])
    func nobody(name: String) async throws {
        let image = try await Self.image()
        await #expect {
            try await Registry(name).push(image, to: "app", tags: ["1"])
        } throws: { error in
            guard let failure = error as? RegistryFailure else { return false }
            return failure.kind == .unreachable && failure.summary.hasSuffix("nothing answers at \(name)")
        }
    }

    @Test("a name that no registry takes is refused before anything travels")
    func names() async throws {
        let image = try await Self.image()
        for (repository, tag) in [("Team/app", "1"), ("app", "a+b"), ("", "1")] {
            await #expect {
                try await Registry("127.0.0.1:1").push(image, to: repository, tags: [tag])
            } throws: { error in
                (error as? RegistryFailure)?.kind == .invalid
            }
        }
    }
}
