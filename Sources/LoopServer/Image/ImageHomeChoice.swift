/// Decides once where a session's images go.
actor ImageHomeChoice {
    private let choose: @Sendable () async throws -> ImageHome
    private var chosen: ImageHome?

    /// `choose` is asked until it has an answer; it throws `LoopFailure` where there is none.
    init(_ choose: @escaping @Sendable () async throws -> ImageHome) { self.choose = choose }

    /// Where images go.
    func find() async throws -> ImageHome {
        if let chosen { return chosen }
        let found = try await choose()
        chosen = found
        return found
    }
}
