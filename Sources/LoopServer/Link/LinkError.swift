internal import Glibc
internal import Wire

/// Why a helper could not be talked to, or what it refused.
enum LinkError: Error, Equatable, CustomStringConvertible {
    /// The connection is over; everything that was not acknowledged counts as not done.
    case disconnected(String)
    /// The helper answered something that does not belong there: the connection is not usable any more.
    case protocolViolation(String)
    /// The helper speaks another version.
    case versionMismatch(theirs: UInt16)
    /// The helper says that this did not work.
    case refused(Failure)
    /// A connection in the cluster was reset, with the kernel's reason there, or 0; or here.
    case reset(code: Int32)

    var description: String {
        switch self {
        case .disconnected(let reason): "the connection to the helper ended: \(reason)"
        case .protocolViolation(let what): "the helper's answer makes no sense: \(what)"
        case .versionMismatch(let theirs): "the helper speaks protocol \(theirs), not \(WireProtocol.version)"
        case .refused(let failure): String(decoding: failure.text, as: UTF8.self)
        case .reset(let code): code == 0 ? "the connection was reset" : String(cString: strerror(code))
        }
    }
}
