internal import Glibc
internal import Reactor
internal import Watcher

/// What a service's lane has to remember between runs, as an append-only file: which places it has seen here and which are
/// gone, which of them it wrote, which containers have been told of deletions, and which have steps to come.
///
/// Without it, a file removed while loopd was not running would stay in the containers for ever; with it, nothing is deleted
/// that was not seen here first. A file that cannot be written costs only that memory, never the loop.
struct Journal: ~Copyable {
    /// Places that were here and are gone, with the serial number of their going.
    private(set) var gone: [Place: UInt64] = [:]
    /// The latest serial number.
    private(set) var serial: UInt64 = 0
    private var known: Set<Place> = []
    private var written: Set<Place> = []
    private var told: [String: UInt64] = [:]
    private var owed: [String: Set<Int>] = [:]
    private let destinations: [String]
    private var descriptor: Int32 = -1
    private var lock: Int32 = -1
    private var buffer: [UInt8] = []

    /// Containers remembered: the oldest are forgotten, and hear of old deletions once more.
    private static let toldLimit = 256

    /// Reads the journal at `path`, rewrites it without what has become obsolete, and goes on there.
    ///
    /// A part that makes no sense (a torn last record) is left out. `nil` remembers nothing. A journal that another loopd
    /// writes is read, and left to that one.
    init(path: String?, destinations: [Destination]) {
        self.destinations = destinations.map(\.path)
        guard let path else { return }
        // A second loopd learns only later that the first one holds the workload: it must not take its journal away.
        lock = open(path + ".lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        let isOurs = lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0
        let isRead = read(path)
        forgetOldest()
        if isOurs, isRead { rewrite(path) }
    }

    deinit {
        if descriptor >= 0 { _ = Glibc.close(descriptor) }
        if lock >= 0 { _ = Glibc.close(lock) }
    }

    /// Places that were seen here by this run or an earlier one, and have not gone since.
    var seen: Set<Place> { known }

    /// Whether loopd wrote a place, in any container.
    func hasWritten(_ place: Place) -> Bool { written.contains(place) }

    /// Up to which serial number a container has been told of deletions.
    func toldSerial(_ id: ContainerInstance.ID) -> UInt64 { told[id.description] ?? 0 }

    /// Whether a container has had everything before, in this run or an earlier one.
    func knows(_ id: ContainerInstance.ID) -> Bool { told[id.description] != nil }

    /// The rules whose files may have landed in a container, and whose steps have not ended since.
    func owedSteps(_ id: ContainerInstance.ID) -> Set<Int> { owed[id.description] ?? [] }

    /// Notes what a look at the disk changed.
    mutating func note(_ places: some Sequence<Place>, in index: borrowing SourceIndex) {
        for place in places {
            if index.items[place] != nil {
                gone[place] = nil
                if known.insert(place).inserted { record("K", fields(place)) }
            } else if let number = index.gone[place], gone[place] != number {
                known.remove(place)
                gone[place] = number
                serial = max(serial, number)
                record("G", fields(place) + [String(number).utf8.map { $0 }])
            }
        }
        forgetOldest()
        flush()
    }

    private mutating func forgetOldest() {
        let before = gone.count
        gone.forgetOldest(past: SourceIndex.goneLimit)
        if gone.count < before { written = written.filter { known.contains($0) || gone[$0] != nil } }
    }

    /// Notes what was written into a container.
    mutating func wrote(_ places: some Sequence<Place>) {
        for place in places where written.insert(place).inserted { record("W", fields(place)) }
        flush()
    }

    /// Notes that a container holds nothing any more of what went up to `serial`.
    mutating func tell(_ id: ContainerInstance.ID, _ serial: UInt64) {
        guard told[id.description] != serial else { return }
        told[id.description] = serial
        record("T", [Array(id.description.utf8), Array(String(serial).utf8)])
        flush()
    }

    /// Notes which rules' steps a container is owed, so that a killed loopd's are made up for: its files will be equal then.
    mutating func owe(_ id: ContainerInstance.ID, _ rules: Set<Int>) {
        guard owedSteps(id) != rules else { return }
        owed[id.description] = rules.isEmpty ? nil : rules
        recordOwed(id.description)
        flush()
    }

    private mutating func recordOwed(_ id: String) {
        let rules = (owed[id] ?? []).sorted().map(String.init).joined(separator: ",")
        record("S", [Array(id.utf8), Array(rules.utf8)])
    }

    private func fields(_ place: Place) -> [[UInt8]] {
        [Array(destinations[place.destination].utf8), place.path.bytes]
    }

    /// A record is a letter and its fields, each ended by a zero byte: paths can hold everything else.
    private mutating func record(_ letter: Unicode.Scalar, _ fields: [[UInt8]]) {
        buffer.append(UInt8(truncatingIfNeeded: letter.value))
        for field in fields {
            buffer += field
            buffer.append(0)
        }
    }

    private mutating func flush() {
        defer { buffer.removeAll(keepingCapacity: true) }
        guard descriptor >= 0, !buffer.isEmpty else { return }
        let end = lseek(descriptor, 0, SEEK_END)
        guard write(descriptor, buffer, buffer.count) != buffer.count else { return }
        // A full disk: half a record must not swallow the next one, and what comes after a gap is no memory to trust.
        _ = ftruncate(descriptor, end)
        _ = Glibc.close(descriptor)
        descriptor = -1
    }

    /// Returns false when there is a journal that cannot be read.
    private mutating func read(_ path: String) -> Bool {
        guard let bytes = Journal.contents(path) else { return Glibc.access(path, F_OK) != 0 }
        parse(bytes)
        return true
    }

    private mutating func parse(_ bytes: [UInt8]) {
        var rest = bytes[...]
        func field() -> ArraySlice<UInt8>? {
            guard let end = rest.firstIndex(of: 0) else { return nil }
            defer { rest = rest[(end + 1)...] }
            return rest[..<end]
        }
        while let letter = rest.popFirst() {
            guard let first = field(), let second = field() else { return }
            let text = String(decoding: first, as: UTF8.self)
            let place = destinations.firstIndex(of: text).map {
                Place(destination: $0, path: RelativePath(bytes: Array(second)))
            }
            switch letter {
            case UInt8(ascii: "K"):
                guard let place else { continue }
                known.insert(place)
                gone[place] = nil
            case UInt8(ascii: "W"):
                if let place { written.insert(place) }
            case UInt8(ascii: "G"):
                guard let third = field(), let number = UInt64(String(decoding: third, as: UTF8.self)) else { return }
                serial = max(serial, number)
                guard let place else { continue }
                known.remove(place)
                gone[place] = number
            case UInt8(ascii: "T"):
                guard let number = UInt64(String(decoding: second, as: UTF8.self)) else { return }
                told[text] = number
            case UInt8(ascii: "S"):
                let rules = Set(String(decoding: second, as: UTF8.self).split(separator: ",").compactMap { Int($0) })
                owed[text] = rules.isEmpty ? nil : rules
            default: return
            }
        }
    }

    private static func contents(_ path: String) -> [UInt8]? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { _ = Glibc.close(file) }
        var status = stat()
        guard fstat(file, &status) == 0 else { return nil }
        let bytes = [UInt8](unsafeUninitializedCapacity: Int(status.st_size)) { buffer, count in
            count = max(0, Glibc.read(file, buffer.baseAddress, buffer.count))
        }
        return bytes.count == Int(status.st_size) ? bytes : nil
    }

    private mutating func rewrite(_ path: String) {
        for place in known { record("K", fields(place)) }
        for place in written where known.contains(place) || gone[place] != nil { record("W", fields(place)) }
        for (place, number) in gone { record("G", fields(place) + [Array(String(number).utf8)]) }
        for (id, number) in told.sorted(by: { $0.value > $1.value }).prefix(Journal.toldLimit) {
            record("T", [Array(id.utf8), Array(String(number).utf8)])
        }
        // Of a container that is not remembered nobody will ask.
        for id in owed.keys.sorted() where told[id] != nil { recordOwed(id) }
        let draft = path + ".new"
        descriptor = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0o600)
        flush()
        buffer = []
        // Not written whole: the old one stays.
        if descriptor < 0 || rename(draft, path) != 0 { _ = unlink(draft) }
    }
}
