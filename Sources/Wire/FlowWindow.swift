/// The credit account of one stream's bytes, counted on both ends: what a sender may still send, and what a receiver
/// must be ready to take.
///
/// Only the bytes of `data` and `output` count.
public enum FlowWindow {
    /// The sending end: spends credit, and stops at zero until a `window` message grants more.
    public struct Sender: Equatable, Sendable {
        /// Bytes that may be sent now.
        public private(set) var credit: Int

        /// A fresh stream's account.
        public init(_ credit: Int = WireProtocol.initialWindow) {
            self.credit = credit
        }

        /// Takes as much credit as there is, at most `wanted` bytes, and returns how many bytes may be sent for it.
        public mutating func take(_ wanted: Int) -> Int {
            let taken = max(0, min(wanted, credit))
            credit -= taken
            return taken
        }

        /// Returns credit that was taken and not used.
        public mutating func giveBack(_ bytes: Int) { credit += bytes }

        /// Adds what the receiver granted; more than 2 GB of open credit is an error.
        public mutating func grant(_ bytes: UInt32) throws(WireError) {
            guard credit + Int(bytes) <= Int(Int32.max) else { throw .windowExceeded }
            credit += Int(bytes)
        }
    }

    /// The receiving end: checks that the sender keeps to its credit, and says when to grant more.
    public struct Receiver: Equatable, Sendable {
        private let first: Int
        private var size: Int
        private var open: Int
        private var consumed = 0
        /// Bytes that came since the window got this size.
        private var carried = 0

        /// A fresh stream's account.
        public init(_ size: Int = WireProtocol.initialWindow) {
            (first, self.size, open) = (size, size, size)
        }

        /// What `widen` has added by now.
        public var widened: Int { size - first }

        /// Notes that bytes arrived; more than were granted is an error.
        public mutating func receive(_ bytes: Int) throws(WireError) {
            guard bytes <= open else { throw .windowExceeded }
            open -= bytes
            carried += bytes
        }

        /// Notes that bytes were used up.
        ///
        /// Returns what to grant now, or `nil` to wait: grants come by the half window, so that a small file costs
        /// none.
        public mutating func consume(_ bytes: Int) -> UInt32? {
            consumed += bytes
            guard consumed >= size / 2 else { return nil }
            defer { consumed = 0 }
            open += consumed
            return UInt32(consumed)
        }

        /// Doubles the window of a stream that has carried one, as TCP does, so that a long way is no brake.
        ///
        /// Returns what to grant for it; `nil` when it need not, or may not: `room` is how much there is to add for all
        /// streams, of which each one leaves three quarters to those that come later.
        public mutating func widen(room: Int) -> UInt32? {
            guard carried >= size, size <= min(room / 4, WireProtocol.widestSocketWindow / 2) else { return nil }
            defer { size *= 2 }
            carried = 0
            open += size
            return UInt32(size)
        }
    }
}
