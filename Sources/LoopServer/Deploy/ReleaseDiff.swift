internal import JSON

/// What differs between two sets that helm has rendered, dev mode aside: a pure function.
struct ReleaseDiff: Equatable, Sendable {
    /// One line for each difference.
    private(set) var lines: [String] = []
    /// What is new or changes.
    private(set) var changed: [ObjectReference] = []

    /// Objects without a namespace are in `namespace`, or the whole cluster's.
    init(from old: [JSON], to new: [JSON], namespace: String) {
        func placed(_ object: JSON) -> (ObjectReference, JSON)? {
            guard let reference = ObjectReference(object) else { return nil }
            let place = ObjectReference(
                apiVersion: reference.apiVersion, kind: reference.kind, namespace: reference.namespace ?? namespace,
                name: reference.name)
            return (place, DevRecord(of: object).map { DevWorkload.undone(object, $0) } ?? object)
        }
        let (before, after) = (old.compactMap(placed), new.compactMap(placed))
        for (reference, object) in after.sorted(by: { $0.0 < $1.0 }) {
            let known = before.first { $0.0.isSame(as: reference) }?.1
            let changes = ManifestDiff.lines(reference, from: known, to: object)
            lines += changes
            if !changes.isEmpty { changed.append(reference) }
        }
        for (reference, object) in before where !after.contains(where: { $0.0.isSame(as: reference) }) {
            lines += ManifestDiff.lines(reference, from: object, to: nil)
        }
    }
}
