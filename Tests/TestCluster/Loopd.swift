internal import Glibc
package import JSON
package import Reactor
internal import Synchronization

/// A running `loopd`, as a user starts it, with `--output json`.
package final class Loopd: Sendable {
    package let child: Child
    /// Its events.
    package let log = EventLog()
    private let output = Mutex<[UInt8]>([])
    private let errors = Mutex<[UInt8]>([])
    private let errorReading = Mutex<Task<Void, Never>?>(nil)

    private init(_ child: Child) {
        self.child = child
    }

    /// Starts loopd in a folder; its output is read until it ends.
    package static func start(
        _ arguments: [String], in directory: String, stateDirectory: String, environment changes: [String: String] = [:]
    ) async throws -> Loopd {
        // What follows `--` is another program's.
        let end = arguments.firstIndex(of: "--") ?? arguments.count
        var launch = Launch([Built.loopd] + arguments[..<end] + ["--output", "json"] + arguments[end...])
        launch.directory = directory
        launch.environment = environment(
            with: ["LOOPD_STATE_DIR": stateDirectory].merging(changes) { $1 })
        let loopd = Loopd(try await Child.spawn(launch))
        Task.detached { await loopd.readEvents() }
        let errorReading = Task.detached { await loopd.readErrors() }
        loopd.errorReading.withLock { $0 = errorReading }
        return loopd
    }

    private func readEvents() async {
        var rest: [UInt8] = []
        while let bytes = try? await child.standardOutput?.read(), !bytes.isEmpty {
            rest += bytes
            output.withLock { $0 += bytes }
            while let end = rest.firstIndex(of: 0x0A) {
                let line = Array(rest[..<end])
                rest.removeFirst(end + 1)
                log.add((try? JSON(parsing: line)) ?? ["notJSON": .string(String(decoding: line, as: UTF8.self))])
            }
        }
        log.end()
    }

    private func readErrors() async {
        while let bytes = try? await child.standardError?.read(), !bytes.isEmpty {
            errors.withLock { $0 += bytes }
        }
    }

    /// What it printed.
    package var outputText: String { String(decoding: output.withLock { $0 }, as: UTF8.self) }

    /// What it printed as errors.
    package var errorText: String { String(decoding: errors.withLock { $0 }, as: UTF8.self) }

    /// Everything it said, for a failed test's report.
    package var transcript: String {
        (log.events().suffix(300).map(\.text) + [errorText]).joined(separator: "\n")
    }

    /// The next event of a kind from a place in the log on.
    package func event(
        _ name: String, from place: Int = 0, limit: Duration = .seconds(120),
        where isWanted: @escaping @Sendable (JSON) -> Bool = { _ in true }
    ) async throws -> JSON {
        let found = try await within(limit, "event \"\(name)\"", state: { self.transcript }) { [log] in
            await log.first(from: place) { $0["event"]?.string == name && isWanted($0) }
        }
        guard let found else { throw Trouble("loopd ended without event \"\(name)\"\n\(transcript)") }
        return found
    }

    /// Sends a signal and waits for the end; says how it ended and after how long.
    @discardableResult
    package func stop(_ signal: Int32 = SIGINT) async throws -> (status: ExitStatus, took: Duration) {
        let clock = ContinuousClock()
        let began = clock.now
        child.signal(signal)
        let status = try await end()
        return (status, clock.now - began)
    }

    /// Waits for the end.
    package func end(limit: Duration = .seconds(120)) async throws -> ExitStatus {
        let state: @Sendable () -> String = { self.transcript }
        let status = try await within(limit, "the end of loopd", state: state) { [child] in await child.wait() }
        // What it said last may still be on its way.
        _ = await log.first(from: .max) { _ in false }
        await errorReading.withLock { $0 }?.value
        return status
    }
}
