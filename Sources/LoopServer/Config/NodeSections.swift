/// `sideload` onto nodes.
extension ConfigurationReader {
    /// What a rule that brings files onto nodes cannot do.
    mutating func checkNodes(_ rule: Rule, sideload: Node, then: Node?) {
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
    }
}
