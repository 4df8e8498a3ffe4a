internal import JSON

/// Which objects a list or watch is about: by label, and by field.
struct ObjectSelector: Sendable, Equatable {
    var labels: LabelSelector
    var fields: FieldSelector

    /// Labels and fields that must both match.
    init(labels: LabelSelector = .everything, fields: FieldSelector = .everything) {
        self.labels = labels
        self.fields = fields
    }

    /// Every object.
    static let everything = ObjectSelector()

    /// Whether the object is one of them.
    func matches(_ object: JSON) -> Bool {
        labels.matches(object.at("metadata", "labels")) && fields.matches(object)
    }
}
