import Synchronization

/// What concurrent parts of a test saw, in order.
final class Collected: Sendable {
    private let values = Mutex<[String]>([])

    func add(_ value: String) { values.withLock { $0.append(value) } }

    var all: [String] { values.withLock { $0 } }
}
