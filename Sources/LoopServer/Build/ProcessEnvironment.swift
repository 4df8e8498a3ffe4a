internal import Glibc

/// The environment that loopd itself was started with.
enum ProcessEnvironment {
    /// Every variable; of a name that is there twice, the first.
    static var inherited: [String: String] {
        var variables: [String: String] = [:]
        var next = environ
        while let pointer = next.pointee {
            let entry = String(cString: pointer)
            if let cut = entry.firstIndex(of: "=") {
                let name = String(entry[..<cut])
                if variables[name] == nil { variables[name] = String(entry[entry.index(after: cut)...]) }
            }
            next += 1
        }
        return variables
    }
}
