internal import Glibc

/// A failed system call: what was tried, on what, and what the kernel answered.
public struct SystemError: Error, Equatable, CustomStringConvertible {
    /// The `errno` value.
    public let code: Int32
    /// What was tried, with its object: `connect /run/kube.sock`.
    public let attempt: String

    /// Names a failure; `code` is an `errno` value.
    public init(code: Int32, attempt: String) {
        self.code = code
        self.attempt = attempt
    }

    /// The calling thread's `errno` as an error.
    ///
    /// Read it right after the call, before anything else can change it.
    public static func last(_ attempt: String) -> SystemError {
        SystemError(code: errno, attempt: attempt)
    }

    /// What was tried and the system's words for why it failed.
    public var description: String { "\(attempt): \(String(cString: strerror(code)))" }
}
