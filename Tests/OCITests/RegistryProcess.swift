import Glibc
import OCI
import Reactor
import Synchronization
import TestCluster

/// Debian's `docker-registry` (CNCF distribution) on a port of its own.
final class RegistryProcess: Sendable {
    struct Setting: Sendable {
        var deletes = false
        var isReadOnly = false
        /// The path of a file of `htpasswd`.
        var passwords: String?
        /// A certificate and its key.
        var certificate: (file: String, key: String)?
        /// The address of a token server, its service, issuer and the certificate of its key.
        var port: UInt16 = 0
    }

    /// `nil` where it is installed, else why these tests are skipped.
    static let missing: String? =
        (Installed.program("docker-registry") != nil)
        ? nil : "docker-registry is not installed (apt-get install docker-registry)"

    let port: UInt16
    private let child: Child
    private let log: Task<Void, Never>

    var name: String { "127.0.0.1:\(port)" }

    private init(port: UInt16, child: Child, log: Task<Void, Never>) {
        self.port = port
        self.child = child
        self.log = log
    }

    /// Starts a registry whose content is in `folder`, and waits until it listens.
    static func start(in folder: String, _ setting: Setting = Setting()) async throws -> RegistryProcess {
        var text = """
            version: 0.1
            log: {level: warn, accesslog: {disabled: true}}
            storage:
              filesystem: {rootdirectory: \(folder)/content}
              delete: {enabled: \(setting.deletes)}
              maintenance: {readonly: {enabled: \(setting.isReadOnly)}, uploadpurging: {enabled: false}}
            http:
              addr: 127.0.0.1:\(setting.port)
              secret: the-same-after-a-restart

            """
        if let certificate = setting.certificate {
            text += "  tls: {certificate: \(certificate.file), key: \(certificate.key)}\n"
        }
        if let passwords = setting.passwords { text += "auth: {htpasswd: {realm: test, path: \(passwords)}}\n" }
        // It says where it listens at this level only.
        text = text.replacing("level: warn", with: "level: info")
        try Disk.write(Array("\(folder)/config.yml".utf8), Array(text.utf8))
        // It ends with this process, whatever that dies of: its end of the pipe is closed then.
        let script = "docker-registry serve \"$1\" & read -r line; kill -9 $!"
        var launch = Launch(["sh", "-c", script, "sh", "\(folder)/config.yml"])
        launch.standardInput = .pipe
        launch.standardOutput = .null
        launch.standardError = .pipe
        let child = try await Child.spawn(launch)
        let lines = LineBuffer()
        let port = try await within(.seconds(20), "docker-registry listens", state: { lines.all }) {
            while let bytes = try await child.standardError?.read(), !bytes.isEmpty {
                lines.add(bytes)
                if let port = lines.port { return port }
            }
            throw Trouble("docker-registry ended: \(lines.all)")
        }
        let log = Task { while let bytes = try? await child.standardError?.read(), !bytes.isEmpty {} }
        return RegistryProcess(port: port, child: child, log: log)
    }

    /// Ends it, as a power cut would.
    func kill() async {
        child.signal(SIGKILL, toGroup: true)
        _ = await child.wait()
        log.cancel()
    }

    private final class LineBuffer: Sendable {
        private let bytes = Mutex<[UInt8]>([])
        func add(_ more: [UInt8]) { bytes.withLock { $0 += more } }
        var all: String { String(decoding: bytes.withLock(\.self), as: UTF8.self) }
        var port: UInt16? {
            let text = all
            guard let found = text.firstRange(of: "listening on 127.0.0.1:") else { return nil }
            let rest = text[found.upperBound...]
            let digits = rest.prefix { $0.isNumber }
            return digits.endIndex < rest.endIndex ? UInt16(digits) : nil
        }
    }
}

/// Runs a registry for as long as `body` takes.
func withRegistry(
    _ setting: RegistryProcess.Setting = .init(), _ body: (RegistryProcess, Scratch) async throws -> Void
) async throws {
    let scratch = try Scratch()
    let registry = try await RegistryProcess.start(in: scratch.path, setting)
    do {
        try await body(registry, scratch)
    } catch {
        await registry.kill()
        throw error
    }
    await registry.kill()
}
