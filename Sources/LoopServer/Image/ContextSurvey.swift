internal import Reactor

/// Looks once in a session at how large the contexts of builds are.
actor ContextSurvey {
    private let emit: @Sendable (LoopEvent.Kind) -> Void
    private let limit: ContextSize.Limit
    private var seen: Set<String> = []

    /// A survey that says what it finds as a notice.
    init(limit: ContextSize.Limit = ContextSize.Limit(), emit: @escaping @Sendable (LoopEvent.Kind) -> Void) {
        self.limit = limit
        self.emit = emit
    }

    /// Says when a context is so large that sending it takes longer than building.
    ///
    /// Returns at once when the context was looked at before, and takes no longer than its limit else.
    func look(at context: String, dockerfile: String) async {
        guard seen.insert("\(context)\u{0}\(dockerfile)").inserted else { return }
        let limit = limit
        let size = try? await offPool { ContextSize.measure(context, dockerfile: dockerfile, limit: limit) }
        if let warning = size?.warning(of: context, limit: limit) { emit(.notice(warning)) }
    }
}
