/// A login to a registry; it never shows itself.
public enum Credentials: Equatable, Sendable, CustomStringConvertible, CustomDebugStringConvertible {
    case basic(user: String, password: String)
    /// A refresh token, which a token server makes access tokens of.
    case identityToken(String)

    /// Whose login it is, without the secret.
    public var description: String {
        switch self {
        case .basic(let user, _): "the login of \(user)"
        case .identityToken: "an identity token"
        }
    }

    /// The same as `description`.
    public var debugDescription: String { description }
}
