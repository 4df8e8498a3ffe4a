internal import Glibc
internal import JSON

/// The files that every container of a pod gets: `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`.
struct PodFiles {
    let layout: NodeLayout
    let pod: JSON
    let hostname: String

    func write() throws -> [(source: String, target: String)] {
        let folder = layout.pod(pod.at("metadata", "uid")?.string ?? "")
        try Disk.makeDirectory(folder)
        return try [("hosts", hosts), ("hostname", hostname + "\n"), ("resolv.conf", resolver)].map { name, text in
            let path = "\(folder)/\(name)"
            // A container that is there already has this very file mounted: it is kept.
            if !Disk.exists(path) { try Disk.write(Array(text.utf8), to: path) }
            return (path, "/etc/\(name)")
        }
    }

    private var hosts: String {
        var text = Disk.text("/etc/hosts") ?? "127.0.0.1\tlocalhost\n"
        if !text.hasSuffix("\n") { text += "\n" }
        if pod.at("spec", "hostNetwork")?.bool != true { text += "\(PodStatus.address)\t\(hostname)\n" }
        for alias in pod.at("spec", "hostAliases")?.array ?? [] {
            let names = (alias["hostnames"]?.array ?? []).compactMap(\.string)
            text += "\(alias["ip"]?.string ?? "")\t\(names.joined(separator: "\t"))\n"
        }
        return text
    }

    private var resolver: String {
        let settings = pod.at("spec", "dnsConfig") ?? [:]
        var text = pod.at("spec", "dnsPolicy")?.string == "None" ? "" : Disk.text("/etc/resolv.conf") ?? ""
        if !text.isEmpty, !text.hasSuffix("\n") { text += "\n" }
        for server in settings["nameservers"]?.array ?? [] { text += "nameserver \(server.string ?? "")\n" }
        let searches = (settings["searches"]?.array ?? []).compactMap(\.string)
        if !searches.isEmpty { text += "search \(searches.joined(separator: " "))\n" }
        let options = (settings["options"]?.array ?? []).map { option in
            let name = option["name"]?.string ?? ""
            return option["value"]?.string.map { "\(name):\($0)" } ?? name
        }
        if !options.isEmpty { text += "options \(options.joined(separator: " "))\n" }
        return text
    }
}
