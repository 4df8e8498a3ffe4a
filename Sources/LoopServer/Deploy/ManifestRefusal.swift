internal import JSON

/// What is said of objects that cannot be applied.
extension ManifestApply {
    func unknown(_ reference: ObjectReference) -> LoopFailure {
        LoopFailure(
            failure: LoopEvent.Failure(
                "\(reference)\(file(reference)): the cluster does not know the kind \(reference.kind) of "
                    + reference.apiVersion,
                nextStep: "install its definition first"))
    }

    func refused(_ reference: ObjectReference, _ error: KubeError) -> LoopFailure {
        let words = ManifestApply.words(error.message, about: reference)
        return LoopFailure(
            failure: LoopEvent.Failure(
                "\(reference)\(file(reference)) is refused: \(words)", nextStep: "mend what is built"))
    }

    func file(_ reference: ObjectReference) -> String { origin(reference).map { " of \($0)" } ?? "" }

    /// What the server says of an object; of a Secret only up to the first value that it repeats.
    static func words(_ message: String, about reference: ObjectReference) -> String {
        reference.hasSecrets ? withoutValues(message) : message
    }

    /// A server's words up to the first value that they repeat.
    static func withoutValues(_ message: String) -> String {
        let ends = [", got ", "Invalid value:"].compactMap { message.firstRange(of: $0)?.lowerBound }
        guard let end = ends.min() else { return message }
        var words = message[..<end]
        while let last = words.last, last.isWhitespace || last == ":" { words.removeLast() }
        return String(words)
    }
}
