import Glibc
import Reactor
import TestCluster

@testable import LoopServer

/// Proxies from Debian as a company's machine has one, each on a port of its own.
enum OutsideProxyFixture {
    static let isInstalled = ["tinyproxy", "microsocks"].allSatisfy { Installed.program($0) != nil }

    /// Runs an HTTP proxy with these lines in its configuration.
    static func tinyproxy(_ lines: [String], _ body: (UInt16) async throws -> Void) async throws {
        let folder = try ScratchTree()
        let port = try freePort()
        let all = ["Listen 127.0.0.1", "Port \(port)", "Timeout 600"] + lines
        try folder.write("tinyproxy.conf", all.joined(separator: "\n") + "\n")
        try await serve(["tinyproxy", "-d", "-c", "\(folder.path)/tinyproxy.conf"], at: port, body)
    }

    /// Runs a SOCKS5 proxy that wants a user and a password.
    static func microsocks(user: String, password: String, _ body: (UInt16) async throws -> Void) async throws {
        let port = try freePort()
        try await serve(
            ["microsocks", "-i", "127.0.0.1", "-p", "\(port)", "-u", user, "-P", password], at: port, body)
    }

    private static func serve(
        _ arguments: [String], at port: UInt16, _ body: (UInt16) async throws -> Void
    ) async throws {
        // The leash ends it when this process ends, whatever of.
        var launch = Launch([Built.leash, "--grace-ms", "1000", "--"] + arguments)
        launch.standardInput = .pipe
        launch.standardOutput = .null
        launch.standardError = .null
        let child = try await Child.spawn(launch)
        func stop() async {
            child.standardInput?.close()
            _ = await child.wait()
        }
        do {
            try await within(.seconds(60), "\(arguments[0]) listens") {
                while true {
                    if let stream = try? await Reactor.Stream.connect(to: .tcp(host: "127.0.0.1", port: port)) {
                        return stream.close()
                    }
                    // Neither program says in a way that both have when it listens.
                    try await Task.sleep(for: .milliseconds(10))
                }
            }
            try await body(port)
        } catch {
            await stop()
            throw error
        }
        await stop()
    }
}
