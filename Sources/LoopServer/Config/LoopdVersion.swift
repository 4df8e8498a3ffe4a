/// The version of loopd.
public enum LoopdVersion {
    /// As `loopd version` shows it.
    public static let current = "0.1.0"
}
