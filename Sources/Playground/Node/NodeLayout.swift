/// Where the node keeps what, below its state directory.
struct NodeLayout: Sendable {
    let root: String

    /// runc's own state; on disk like everything else, so that one folder holds all that teardown must end.
    var runc: String { "\(root)/runc" }
    var pods: String { "\(root)/pods" }
    var containers: String { "\(root)/containers" }
    var logs: String { "\(root)/logs" }
    var images: String { "\(root)/images" }
    /// The read-only lower layer with the whiteouts of host folders that no pod may see.
    var mask: String { "\(root)/mask" }

    /// The node's own network: the file that its namespace is bound to.
    var network: String { "\(root)/network" }

    func pod(_ uid: String) -> String { "\(pods)/\(uid)" }
    func network(ofPod uid: String) -> String { "\(pod(uid))/network" }
    func volume(_ name: String, ofPod uid: String) -> String { "\(pod(uid))/volumes/\(name)" }
    func container(_ id: String) -> String { "\(containers)/\(id)" }
    func logs(ofContainer name: String, inPod uid: String) -> String { "\(logs)/\(uid)/\(name)" }
    func log(ofContainer name: String, inPod uid: String, attempt: Int) -> String {
        "\(logs(ofContainer: name, inPod: uid))/\(attempt).log"
    }

    /// The cgroup that all containers of this state directory are children of.
    ///
    /// Its name is derived from the directory, so that a teardown after a crash finds it, and two playgrounds on a
    /// machine do not meet.
    var cgroup: String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in root.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return "/loopd/\(String(hash, radix: 16))"
    }
}
