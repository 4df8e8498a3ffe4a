internal import Reactor

/// The first of several ways that leads to its end.
///
/// They are tried in their order, each as soon as the one before has failed, or its own time has come: a slow one is not given
/// up for one that may lead nowhere, and keeps nobody waiting where that leads there.
enum FirstWay {
    /// A connection, and the proxy that gets the client's request itself, where it leads only to that.
    typealias Found = (remote: any RelayEnd, proxy: OutsideProxy?)

    /// Why none of them leads there, in their order.
    struct None: Error {
        let failures: [DialFailure]
    }

    /// Tries `count` ways, at least one, `pace` apart at most; what connects when another one has won is reset.
    ///
    /// Throws what `connect` throws beside `DialFailure`, and `CancellationError` where the task is cancelled.
    static func find(
        among count: Int, pace: Duration, _ connect: @escaping @Sendable (_ number: Int) async throws -> Found
    ) async throws -> Result<Found, None> {
        let turns = (0..<count).map { _ in Gate() }
        return try await withThrowingTaskGroup(of: (number: Int, result: Result<Found, DialFailure>).self) { group in
            for number in 0..<count {
                group.addTask {
                    if number > 0 { _ = await atMost(pace * number) { await turns[number].pass() } }
                    try Task.checkCancellation()
                    do {
                        return (number, .success(try await connect(number)))
                    } catch let failure as DialFailure {
                        if number + 1 < count { turns[number + 1].close() }
                        return (number, .failure(failure))
                    }
                }
            }
            var failures: [Int: DialFailure] = [:]
            while let (number, result) = try await group.next() {
                switch result {
                case .failure(let failure): failures[number] = failure
                case .success(let found):
                    group.cancelAll()
                    while let late = await group.nextResult() {
                        if case .success((_, .success(let connection))) = late { connection.remote.reset() }
                    }
                    return .success(found)
                }
            }
            return .failure(None(failures: (0..<count).compactMap { failures[$0] }))
        }
    }
}
