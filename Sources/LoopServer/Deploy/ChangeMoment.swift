internal import JSON

/// When something of a service was changed, as far as the cluster tells: of two changes the later one is undone first.
struct ChangeMoment: Comparable, Sendable {
    private let time: Timestamp
    /// Whether it is known to have come after what was applied at that time.
    private let isAfter: Bool

    /// What has no time is older than anything.
    init(_ time: Timestamp?, isAfter: Bool = false) {
        self.time = time ?? Timestamp(seconds: 0)
        self.isAfter = isAfter
    }

    static func < (left: ChangeMoment, right: ChangeMoment) -> Bool {
        (left.time.seconds, left.time.nanoseconds, left.isAfter ? 1 : 0)
            < (right.time.seconds, right.time.nanoseconds, right.isAfter ? 1 : 0)
    }

    /// When the images of a workload were changed last: a pure function.
    ///
    /// `present` and `earlier` are when its pod template came up, and the newest one that has another image. A template that comes
    /// back keeps the time of its first appearance; but where the workload runs another image than was `applied`, or had
    /// another one that came up afterwards, its images were changed since.
    static func ofImages(
        _ images: [RolledImage], of workload: JSON, present: Timestamp?, earlier: Timestamp?, applied: AppliedObjects?
    ) -> ChangeMoment {
        guard let applied, let object = applied.object(like: workload) else {
            return [ChangeMoment(present), ChangeMoment(earlier)].max() ?? ChangeMoment(nil)
        }
        let isAfter = images.contains { image in
            (try? image.place(in: workload))?.reference != (try? image.place(in: object))?.reference
        }
        // What is applied brings no other image than it has: in the same second, that one came after it.
        guard isAfter else { return ChangeMoment(earlier, isAfter: true) }
        return [applied.time, present, earlier].map { ChangeMoment($0, isAfter: true) }.max() ?? ChangeMoment(nil)
    }
}

/// What was applied at some time.
struct AppliedObjects: Sendable {
    let objects: [JSON]
    let time: Timestamp?

    /// The object of the same kind and name.
    func object(like workload: JSON) -> JSON? {
        objects.first { object in
            object["kind"] == workload["kind"]
                && object.at("metadata", "name") == workload.at("metadata", "name")
        }
    }
}
