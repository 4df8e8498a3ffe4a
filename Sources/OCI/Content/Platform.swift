internal import JSON

/// What an image runs on, in Go's names: `linux/arm64`, `linux/arm/v7`.
public struct Platform: Hashable, Sendable, CustomStringConvertible {
    /// `linux`.
    public var system: String
    /// `amd64`, `arm64`.
    public var architecture: String
    /// `v7`; `nil` where the architecture says it all.
    public var variant: String?

    /// A platform by its parts.
    public init(system: String = "linux", architecture: String, variant: String? = nil) {
        self.system = system
        self.architecture = architecture
        self.variant = variant
    }

    /// Reads `linux/arm64` or `linux/arm/v7`; `nil` for anything else.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { String($0) }
        guard (2...3).contains(parts.count), parts.allSatisfy({ !$0.isEmpty }) else { return nil }
        self.init(system: parts[0], architecture: parts[1], variant: parts.count == 3 ? parts[2] : nil)
    }

    /// Reads the `platform` of a descriptor.
    init?(_ json: JSON) {
        guard let system = json["os"]?.string, let architecture = json["architecture"]?.string else { return nil }
        self.init(system: system, architecture: architecture, variant: json["variant"]?.string)
    }

    /// The platform of this machine's programs.
    public static var host: Platform {
        #if arch(arm64)
            Platform(architecture: "arm64")
        #else
            Platform(architecture: "amd64")
        #endif
    }

    /// As it is written on command lines.
    public var description: String { ([system, architecture] + [variant].compactMap(\.self)).joined(separator: "/") }

    /// How well something made for `other` runs here; `nil` for not at all, more is better.
    func fit(_ other: Platform) -> Int? {
        guard system == other.system, architecture == other.architecture else { return nil }
        let (mine, its) = (usualVariant, other.usualVariant)
        if mine == its { return 2 }
        // A 32-bit arm runs what is made for older ones.
        if architecture == "arm", let mine, let its { return its < mine ? 1 : nil }
        return its == nil ? 1 : (mine == nil ? 0 : nil)
    }

    private var usualVariant: String? {
        switch (architecture, variant) {
        case ("arm64", "v8"), ("amd64", "v1"): nil
        case ("arm", nil): "v7"
        default: variant
        }
    }
}
