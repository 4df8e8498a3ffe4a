internal import Glibc

/// The programs that the build made.
package enum Built {
    /// `LOOPD_E2E_LOOPD`, else the one beside the test bundle or the running program.
    package static let loopd = variable("LOOPD_E2E_LOOPD") ?? "\(folder)/loopd"
    /// What loopd brings into containers.
    package static let helper = "\(folder)/LoopAgent"
    /// What ends programs with their parent.
    package static let leash = "\(folder)/Leash"
    /// What runs in test containers.
    package static let probe = "\(folder)/Probe"

    private static let folder: String = {
        let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") }
        let program = bundle ?? realpath("/proc/self/exe", nil).map { String(cString: $0) } ?? "./."
        return String(program[..<(program.lastIndex(of: "/") ?? program.startIndex)])
    }()
}

/// An environment variable that is not empty.
package func variable(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
}
