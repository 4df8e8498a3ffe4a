/// Which fields differ between two states of an object.
struct FieldChanges: Equatable, Sendable {
    /// Fields that are new or have another value.
    private(set) var written = FieldSet()
    private(set) var removed = FieldSet()

    init(from old: TypedValue?, to new: TypedValue?) {
        guard let old else {
            written = new?.allFields ?? FieldSet()
            return
        }
        guard let new else {
            removed = old.allFields
            return
        }
        guard let before = old.parts, let after = new.parts else {
            written.isMember = old.value != new.value
            return
        }
        let olds = Dictionary(before.map { ($0.name, $0.value) }) { first, _ in first }
        let news = Dictionary(after.map { ($0.name, $0.value) }) { first, _ in first }
        for (name, part) in news {
            let inner = FieldChanges(from: olds[name], to: part)
            written[name] = inner.written
            removed[name] = inner.removed
        }
        for (name, part) in olds where news[name] == nil { removed[name] = part.allFields }
    }
}
