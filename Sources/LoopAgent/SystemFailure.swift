import CAgent

/// A call that the kernel refused, or a request that makes no sense, with the reason in words where errno says too little.
struct SystemFailure: Error {
    let code: Int32
    var reason: Bytes = []

    /// What errno says about the call just made.
    static func last() -> SystemFailure { SystemFailure(code: cagent_errno()) }

    init(code: Int32, reason: Bytes = []) {
        self.code = code
        self.reason = reason
    }

    init(_ code: Int32, _ reason: StaticString) {
        self.init(code: code, reason: Bytes(reason))
    }

    /// What errno says, as a part of a sentence.
    var clause: Bytes {
        var words = Bytes(cString: strerror(code))
        if let first = words.first, first >= 65, first <= 90 { words[0] = first + 32 }
        return words
    }

    /// One line for people.
    var text: Bytes {
        let system = Bytes(cString: strerror(code))
        return reason.isEmpty ? system : reason + Bytes(" (") + system + Bytes(")")
    }
}

/// Turns a call's -1 into an error.
@discardableResult
func checked(_ result: Int32) throws(SystemFailure) -> Int32 {
    guard result >= 0 else { throw .last() }
    return result
}
