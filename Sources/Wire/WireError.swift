/// Why bytes are not a valid part of the protocol.
///
/// After one of these the connection cannot be trusted and must end.
public enum WireError: Error, Equatable, Sendable {
    /// A frame announces more payload than allowed.
    case frameTooLong(UInt32)
    /// A frame of a type that this version does not know.
    case unknownType(UInt8)
    /// A payload ends before its fields do, or announces more elements than it has bytes for.
    case truncated
    /// A payload goes on after its last field.
    case trailingBytes
    /// A field has a value that does not exist.
    case invalidValue
    /// The peer sent more than its window allowed, or was granted more than can be counted.
    case windowExceeded
}
