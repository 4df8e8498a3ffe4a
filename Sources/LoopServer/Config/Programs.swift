internal import Glibc

/// The programs that belong to loopd and are files of their own.
///
/// An installed loopd finds them in `../libexec/loopd`, seen from its own folder; one that SwiftPM built finds them where
/// SwiftPM put them. `LOOPD_LIBEXEC` names another folder.
public struct Programs: Equatable, Sendable {
    /// The process that ends loopd's children when loopd is gone.
    public var leash: String?
    /// The in-pod helper by architecture, in Kubernetes' names: `amd64`, `arm64`.
    public var helpers: [String: String]

    /// Programs by their paths.
    public init(leash: String?, helpers: [String: String]) {
        self.leash = leash
        self.helpers = helpers
    }

    /// Architectures that a helper can be built for.
    public static let architectures = ["amd64", "arm64"]

    /// Looks for the programs that belong to the running loopd.
    public static func find() -> Programs {
        let folder = executable.map { path in path[..<(path.lastIndex(of: "/") ?? path.startIndex)] } ?? "."
        return find(besides: String(folder), override: getenv("LOOPD_LIBEXEC").map { String(cString: $0) })
    }

    /// The absolute path of the running program.
    public static var executable: String? {
        guard let path = realpath("/proc/self/exe", nil) else { return nil }
        defer { free(path) }
        return String(cString: path)
    }

    static func find(besides folder: String, override: String?) -> Programs {
        let folders = override.map { [$0] } ?? ["\(folder)/../libexec/loopd", folder]
        func first(_ names: [String]) -> String? {
            folders.flatMap { folder in names.map { "\(folder)/\($0)" } }.first { access($0, R_OK | X_OK) == 0 }
        }
        var helpers: [String: String] = [:]
        for architecture in architectures {
            let builtName = architecture == nativeArchitecture ? ["LoopAgent"] : []
            helpers[architecture] = first(["helper-linux-\(architecture)"] + builtName)
        }
        return Programs(leash: first(["leash", "Leash"]), helpers: helpers)
    }

    private static var nativeArchitecture: String {
        #if arch(arm64)
            "arm64"
        #else
            "amd64"
        #endif
    }
}
