/// One thing to do for the `then` steps of rules whose files have landed.
struct DueStep: Equatable, Sendable {
    let step: Step
    /// The rules that it is done for: programs run for each rule, one restart serves several.
    let rules: Set<Int>

    /// Everything that is owed to rules, in an order that agrees with each of them.
    ///
    /// Restarts of one kind become a single one, which comes after all that any of its rules wants done first.
    static func plan(_ owed: [(rule: Int, steps: [Step])]) -> [DueStep] {
        var rest = owed.map { (rule: $0.rule, steps: $0.steps[...]) }
        var due: [DueStep] = []
        while true {
            for number in rest.indices {
                while let step = rest[number].steps.first, case .exec = step {
                    due.append(DueStep(step: step, rules: [rest[number].rule]))
                    rest[number].steps.removeFirst()
                }
            }
            // Every rule that is left waits at a restart. One that another rule comes to only later can wait for that.
            let next = rest.lazy.compactMap(\.steps.first)
            guard let first = next.first else { return due }
            let step = next.first { step in !rest.contains { $0.steps.dropFirst().contains(step) } } ?? first
            due.append(DueStep(step: step, rules: Set(rest.filter { $0.steps.first == step }.map(\.rule))))
            for number in rest.indices where rest[number].steps.first == step { rest[number].steps.removeFirst() }
        }
    }
}

/// Why a rule's steps are due.
enum Occasion: Sendable {
    /// The first comparison of a container found its files different, as those of every new container are.
    case firstComparison
    /// Its files have changed.
    case change

    /// What of a rule's steps is due: a pod that comes up new has been made anew already.
    func due(of steps: [Step]) -> [Step] {
        switch self {
        case .firstComparison: steps.filter { $0 != .restart(.pod) }
        case .change: steps
        }
    }
}
