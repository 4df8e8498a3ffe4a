import Glibc
import JSON
@testable import LoopServer
import Reactor
import Synchronization
import enum TestCluster.Disk
import Testing

/// A folder for one test's files.
final class Scratch {
    let path: String

    init() throws {
        var template = Array("/tmp/loopd-test-XXXXXX".utf8CString)
        let made = template.withUnsafeMutableBufferPointer { $0.baseAddress.map { mkdtemp($0) != nil } }
        try #require(made == true)
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        // Only files in it, no folders.
        guard let folder = opendir(path) else { return }
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            unlink("\(path)/\(name)")
        }
        closedir(folder)
        rmdir(path)
    }

    @discardableResult
    func write(_ name: String, _ text: String, mode: mode_t = 0o600) throws -> String {
        let file = "\(path)/\(name)"
        try Disk.write(Array(file.utf8), Array(text.utf8), mode: mode)
        return file
    }

    /// A kubeconfig with one cluster for several contexts; the first is the current one.
    func kubeconfig(server: String, contexts: [String]) throws -> String {
        let entries: [JSON] = contexts.map { ["name": .string($0), "context": ["cluster": "c", "user": "u"]] }
        let config: JSON = [
            "apiVersion": "v1", "kind": "Config", "current-context": .string(contexts.first ?? ""),
            "clusters": [["name": "c", "cluster": ["server": .string(server)]]],
            "users": [["name": "u", "user": [:]]], "contexts": .array(entries),
        ]
        return try write("kubeconfig", config.text)
    }
}

@Suite("Choosing the context", .turn)
struct KubeContextTests {
    private func cluster(_ kubeconfig: String, context: String? = nil) -> Cluster {
        var cluster = Cluster()
        cluster.kubeconfig = kubeconfig
        cluster.context = context
        return cluster
    }

    @Test("the current context is taken where none is named, and the named one where one is")
    func resolution() async throws {
        let scratch = try Scratch()
        let config = try scratch.kubeconfig(server: "https://127.0.0.1:1/p", contexts: ["kind-a", "k3d-b"])
        let kubectl = try Kubectl.find()
        let current = try await KubeContext.resolve(cluster(config), kubectl: kubectl)
        #expect(current.name == "kind-a")
        #expect(current.server == "https://127.0.0.1:1/p")
        #expect(
            current.kubectl.command(["proxy"]) == [
                kubectl.program, "--kubeconfig", config, "--context", "kind-a", "proxy",
            ])
        let named = try await KubeContext.resolve(cluster(config, context: "k3d-b"), kubectl: kubectl)
        #expect(named.name == "k3d-b")
    }

    @Test("a context that no pattern allows is refused, with what to do")
    func refused() async throws {
        let scratch = try Scratch()
        let config = try scratch.kubeconfig(server: "https://127.0.0.1:1", contexts: ["production"])
        let error = await #expect(throws: ClusterError.self) {
            try await KubeContext.resolve(cluster(config), kubectl: try Kubectl.find())
        }
        #expect(error?.kind == .contextNotAllowed)
        #expect(error?.summary.contains("\"production\"") == true)
        #expect(error?.nextStep.contains("cluster.allowContexts") == true)
        var allowed = cluster(config)
        allowed.allowContexts = ["prod*"]
        #expect(try await KubeContext.resolve(allowed, kubectl: try Kubectl.find()).name == "production")
    }

    @Test("a kubeconfig or context that is not there is one clear line", arguments: [true, false])
    func missing(hasFile: Bool) async throws {
        let scratch = try Scratch()
        let config =
            hasFile
            ? try scratch.kubeconfig(server: "https://127.0.0.1:1", contexts: ["kind-a"]) : "\(scratch.path)/none"
        let wanted = hasFile ? "kind-z" : nil
        let error = await #expect(throws: ClusterError.self) {
            try await KubeContext.resolve(cluster(config, context: wanted), kubectl: try Kubectl.find())
        }
        #expect(error?.kind == .badKubeconfig)
        #expect(error?.summary.contains(config) == true)
        #expect(error?.summary.contains("\n") == false)
    }

    @Test("no kubectl is one clear line")
    func noKubectl() throws {
        let scratch = try Scratch()
        let error = #expect(throws: ClusterError.self) { try Kubectl.find(path: scratch.path) }
        #expect(error?.kind == .kubectlMissing)
        try scratch.write("kubectl", "#!/bin/sh\n", mode: 0o755)
        #expect(try Kubectl.find(path: "/nowhere:\(scratch.path)").program == "\(scratch.path)/kubectl")
    }

    @Test(
        "a kubectl before 1.31 is refused, a vendor's 1.32+ is not",
        arguments: [
            ("1", "30", false), ("1", "9", false), ("1", "31", true), ("1", "32+", true), ("2", "0", true),
            ("", "", false),
        ])
    func versions(major: String, minor: String, isAccepted: Bool) async throws {
        let scratch = try Scratch()
        let version: JSON = [
            "clientVersion": [
                "major": .string(major), "minor": .string(minor), "gitVersion": .string("v\(major).\(minor).4"),
            ]
        ]
        try scratch.write("kubectl", "#!/bin/sh\necho '\(version.text)'\n", mode: 0o755)
        let kubectl = try Kubectl.find(path: scratch.path)
        if isAccepted {
            try await kubectl.checkVersion()
        } else {
            let error = await #expect(throws: ClusterError.self) { try await kubectl.checkVersion() }
            #expect(error?.kind == .kubectlTooOld)
            #expect(error?.summary.contains("v\(major).\(minor).4") == true)
        }
    }
}

extension KubeContextTests {
    @Test("a socket's folder is the owner's alone, and in a place whose path is short enough")
    func directory() throws {
        let long = "/tmp/" + String(repeating: "x", count: 100)
        let directory = try SocketDirectory.create(in: [long, "/nowhere", "/tmp"])
        #expect(directory.path.hasPrefix("/tmp/loopd-"))
        var about = stat()
        #expect(stat(directory.path, &about) == 0 && about.st_mode & 0o777 == 0o700)
        directory.remove()
        #expect(access(directory.path, F_OK) != 0)
        #expect(throws: SystemError.self) { try SocketDirectory.create(in: [long]) }
    }

    @Test("folders that are made at the same moment are not taken for a killed process's")
    func together() async throws {
        let scratch = try Scratch()
        let path = scratch.path
        let made = await withTaskGroup { group in
            for _ in 0..<8 {
                group.addTask {
                    (0..<40).map { _ in Result { try SocketDirectory.create(in: [path]) } }
                }
            }
            return await group.reduce(into: []) { $0 += $1 }
        }
        for result in made {
            let directory = try result.get()
            #expect(access(directory.path + "/lock", F_OK) == 0)
            directory.remove()
        }
        #expect(Set(made.compactMap { try? $0.get().path }).count == 320)
    }

    @Test("what a killed process has left behind goes, what a living one has stays")
    func sweep() throws {
        let scratch = try Scratch()
        let living = try SocketDirectory.create(in: [scratch.path])
        // As after a kill: the files are there, and nobody holds the lock.
        let dead = "\(scratch.path)/loopd-abcdef"
        mkdir(dead, 0o700)
        for name in ["lock", "kube.sock"] { close(open("\(dead)/\(name)", O_CREAT | O_WRONLY, 0o600)) }
        // Without a lock it is no such folder, or one that is being made.
        let other = "\(scratch.path)/loopd-ghijkl"
        mkdir(other, 0o700)
        let next = try SocketDirectory.create(in: [scratch.path])
        #expect(access(dead, F_OK) != 0)
        #expect(access(living.path, F_OK) == 0)
        #expect(rmdir(other) == 0)
        next.remove()
        living.remove()
    }

    @Test("a folder that somebody writes to while it is removed keeps its lock, by which the next one finds it")
    func leftovers() async throws {
        let scratch = try Scratch()
        // Whether something comes in between is a matter of microseconds: until it does.
        for _ in 0..<2000 {
            let folder = try SocketDirectory.create(in: [scratch.path])
            let path = folder.path
            mkdir("\(path)/volume", 0o700)
            let isOver = Atomic(false)
            // As a program that nothing could end.
            let writer = Task.detached {
                while !isOver.load(ordering: .relaxed) { mkdir("\(path)/volume", 0o700) }
            }
            folder.remove()
            isOver.store(true, ordering: .relaxed)
            await writer.value
            guard access("\(path)/volume", F_OK) == 0 else { continue }
            #expect(access("\(path)/lock", F_OK) == 0)
            try SocketDirectory.create(in: [scratch.path]).remove()
            // This process holds the lock of before, which is none any more.
            #expect(access(path, F_OK) != 0)
            return
        }
        Issue.record("nothing was written while a folder was removed")
    }
}
