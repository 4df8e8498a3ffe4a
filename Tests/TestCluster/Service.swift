internal import Glibc
internal import Reactor
internal import Synchronization

/// A program that serves for as long as a test wants it, and ends with the test's process.
final class Service: Sendable {
    private let child: Child
    private let drain: Task<Void, Never>

    private init(_ child: Child, _ drain: Task<Void, Never>) {
        self.child = child
        self.drain = drain
    }

    /// Starts a program and waits until what it prints as errors satisfies `isReady`.
    static func start<Ready: Sendable>(
        _ arguments: [String], environment: [String: String]? = nil,
        isReady: @escaping @Sendable (String) -> Ready?
    ) async throws -> (Service, Ready) {
        var launch = Launch([Built.leash, "--grace-ms", "10000", "--"] + arguments, environment: environment)
        launch.standardInput = .pipe
        launch.standardOutput = .null
        let child = try await Child.spawn(launch)
        let printed = Mutex<[UInt8]>([])
        let name = arguments[0]
        do {
            let ready = try await within(
                .seconds(60), "\(name) serves", state: { String(decoding: printed.withLock(\.self), as: UTF8.self) }
            ) {
                while let bytes = try await child.standardError?.read(), !bytes.isEmpty {
                    let text = printed.withLock { all in
                        all += bytes
                        return String(decoding: all, as: UTF8.self)
                    }
                    if let ready = isReady(text) { return ready }
                }
                throw Trouble("\(name) has ended: \(String(decoding: printed.withLock(\.self), as: UTF8.self))")
            }
            // What nobody reads would stop it in the end.
            let drain = Task { while let bytes = try? await child.standardError?.read(), !bytes.isEmpty {} }
            return (Service(child, drain), ready)
        } catch {
            child.standardInput?.close()
            _ = await child.wait()
            throw error
        }
    }

    /// Ends the program and all that it has started.
    func stop() async {
        child.standardInput?.close()
        _ = await child.wait()
        drain.cancel()
    }
}
