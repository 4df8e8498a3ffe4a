import Glibc
import Reactor
import Testing
import Wire

@Suite("Faults around the supervisor", .timeLimit(.minutes(10)))
struct SupervisorFaultTests {
    @Test("whatever is asked, killed and swapped: never two services, whole programs, and the next connection works")
    func random() async throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed of the supervisor's faults: \(seed)")
        try await withFolder { folder in
            var world = try await FaultyWorld(folder, seed: seed)
            for step in 0..<150 {
                let what = try await world.disturb()
                let wrong = Disk.text(folder + "/wrong")
                try #require(wrong == nil, "seed \(seed), step \(step), \(what): \(wrong ?? "")")
            }
            try await world.finish()
            await world.supervised.killEverything()
        }
    }

    @Test("requests of several connections at once, some of which vanish, leave one service that answers")
    func crowd() async throws {
        try await Supervised.run(FaultyWorld.service) { supervised, folder in
            // Whole when it appears: the service waits for it.
            Disk.write(folder + "/new", FaultyWorld.program(1), mode: 0o755)
            rename(folder + "/new", folder + "/program")
            let watcher = try await supervised.connect()
            let following = try await watcher.follow()
            await withTaskGroup(of: Void.self) { group in
                for number in 0..<8 {
                    group.addTask {
                        guard let client = try? await supervised.connect() else { return }
                        _ = try? await client.follow()
                        for _ in 0..<10 {
                            _ = try? await client.service(.restart(graceMilliseconds: 1000))
                            if number % 2 == 0 { _ = try? await client.service(.hold(graceMilliseconds: 1000)) }
                        }
                        client.child.signal(SIGKILL)
                        // Then its hold is gone, too.
                        _ = await client.child.wait()
                    }
                }
            }
            try await watcher.service(.release)
            let pid = try await watcher.restart()
            #expect(isAlive(pid))
            while try await following.untilRunning().pid != pid {}
            #expect(Disk.text(folder + "/wrong") == nil)
            try await watcher.end()
        }
    }

    @Test("random frames at the supervisor's socket close that connection, and nothing else happens")
    func garbage() async throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed of the garbage at the supervisor's socket: \(seed)")
        var generator = SeededGenerator(seed: seed)
        try await Supervised.run("exec sleep 1000") { supervised, folder in
            let client = try await supervised.connect()
            let following = try await client.follow()
            let first = try await following.untilRunning()
            for round in 0..<200 {
                // As many as may wait for the supervisor at once may be there already.
                guard let stream = try? await Stream.connect(to: .unix(path: folder + "/s")) else { continue }
                var bytes = Frame(.service(.state), on: 1).encoded
                if round % 2 == 0 { bytes = [] }
                bytes += (0..<Int.random(in: 1...300, using: &generator)).map { _ in
                    UInt8.random(in: 0...255, using: &generator)
                }
                try? await stream.write(bytes)
                stream.close()
            }
            #expect(try await client.service(.state) == .running(pid: UInt32(first.pid), starts: 1), "seed \(seed)")
            try await client.end()
        }
    }
}

/// A supervisor, a host's connection to it, and what can befall them.
private struct FaultyWorld {
    /// Runs the program that is there now.
    static let service = "while [ ! -e $F/program ]; do sleep 0.01; done; export F; exec $F/program"

    /// A service that notices when another one runs, its own remains included, and when it is not all of one version.
    static func program(_ version: Int) -> String {
        """
        #!/bin/sh
        V=\(version)
        exec 9>>$F/lock
        flock -n 9 || echo "version \(version) is the second service" >> $F/wrong
        [ $V = \(version) ] || echo "version \(version) is torn" >> $F/wrong
        case $(($$ % 3)) in
        0) trap '' TERM;;
        1) sh -c 'trap "" TERM; exec sleep 1000' & ;;
        esac
        echo \(version) > $F/version.$$ && mv $F/version.$$ $F/version
        while :; do sleep 1000 & wait; done
        """
    }

    let folder: String
    let seed: UInt64
    private var generator: SeededGenerator
    private(set) var supervised: Supervised
    private var client: HelperClient
    private var version = 1

    init(_ folder: String, seed: UInt64) async throws {
        self.folder = folder
        self.seed = seed
        generator = SeededGenerator(seed: seed)
        Disk.write(folder + "/program", FaultyWorld.program(1), mode: 0o755)
        supervised = try await FaultyWorld.start(folder)
        client = try await supervised.connect()
        _ = try await client.follow()
    }

    private static func start(_ folder: String) async throws -> Supervised {
        try await Supervised.start(["sh", "-c", "F=\(folder); " + service], in: folder)
    }

    /// Does something bad or good; returns what.
    mutating func disturb() async throws -> String {
        let grace = UInt32.random(in: 0...100, using: &generator)
        switch Int.random(in: 0..<10, using: &generator) {
        case 0, 1:
            try await ask(.restart(graceMilliseconds: grace))
            return "restart"
        case 2:
            swap()
            try await client.send(.service(.restart(graceMilliseconds: grace)), on: client.newStream())
            swap()
            return "swap during a restart"
        case 3:
            try await ask(.hold(graceMilliseconds: grace))
            return "hold"
        case 4:
            try await ask(.release)
            return "release"
        case 5:
            let number = [SIGTERM, SIGKILL, SIGUSR1, SIGSTOP, SIGCONT].randomElement(using: &generator) ?? SIGTERM
            try await ask(.signal(number))
            return "signal \(number)"
        case 6:
            if case .running(let pid, _)? = try? await client.service(.state) { kill(Int32(pid), SIGKILL) }
            return "kill -9 of the service"
        case 7:
            client.child.signal(SIGKILL)
            _ = await client.child.wait()
            try await reconnect()
            return "kill -9 of the helper"
        case 8:
            await client.hangUp()
            try await reconnect()
            return "the host hangs up"
        default:
            await supervised.killEverything()
            try await reconnect()
            return "kill -9 of the supervisor"
        }
    }

    /// Everything works in the end, and it is the last version that runs.
    mutating func finish() async throws {
        swap()
        client.child.signal(SIGKILL)
        _ = await client.child.wait()
        try await reconnect()
        try await client.service(.release)
        let pid = try await client.restart(grace: 50)
        let wanted = "\(version)\n"
        let current = folder + "/version"
        #expect(await eventually { Disk.text(current) == wanted }, "seed \(seed)")
        #expect(isAlive(pid), "seed \(seed)")
    }

    private mutating func swap() {
        version += 1
        Disk.write(folder + "/new", FaultyWorld.program(version), mode: 0o755)
        rename(folder + "/new", folder + "/program")
    }

    /// A refusal is an answer, too.
    private func ask(_ request: ServiceRequest) async throws {
        switch try await client.ask(.service(request)) {
        case .serviceState, .failure: break
        case let other: throw Unexpected(message: other)
        }
    }

    /// Connects again; a supervisor that has ended, as it has to when nobody follows what has ended, is started again.
    private mutating func reconnect() async throws {
        let clock = ContinuousClock()
        let limit = clock.now.advanced(by: .seconds(60))
        while true {
            if let again = try? await supervised.connect(), let following = try? await again.follow(),
                (try? await following.next()) != nil
            {
                client = again
                return
            }
            guard clock.now < limit else { throw Unexpected(message: nil) }
            if !isAlive(supervised.child.pid) {
                _ = await supervised.child.wait()
                supervised = try await FaultyWorld.start(folder)
            }
        }
    }
}
