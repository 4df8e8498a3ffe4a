/// `sideload` onto nodes.
extension ConfigurationReader {
    /// What a rule that brings files onto nodes cannot do; `name` is what a build that stands in it is called.
    mutating func checkNodes(_ rule: Rule, of name: String, sideload: Node, then: Node?) {
        guard rule.isOnNodes, case .sideload(let items) = rule.action else { return }
        if !items.allSatisfy(\.isOnNode) {
            error(
                sideload, "a rule sideloads onto nodes or into containers, not both", hint: "make two rules of it")
        }
        if let then, rule.then.contains(where: { $0 != .restart(.pod) }) {
            error(
                then, "\"then\" of a sideload onto nodes",
                hint: "the pods of a node restart when something lands there; nothing else runs")
        }
        let service = String(name.prefix { $0 != "/" })
        for folder in Set(items.filter(\.isOnNode).map(\.folder)).sorted() {
            // A folder has one writer, and nodes are the same for every service.
            let owner = nodeFolders[folder] ?? service
            nodeFolders[folder] = owner
            guard owner != service else { continue }
            error(
                sideload, "services \"\(owner)\" and \"\(service)\" both sideload onto nodes, to \(folder)",
                hint: "make them rules of one service, or give each its own folder")
        }
    }
}

extension Sideload {
    /// The folder that `to` lies in.
    fileprivate var folder: String { to.lastIndex(of: "/").map { String(to[..<$0]) } ?? to }
}
