internal import HTTP
internal import JSON

/// What the node serves of a pod: the API hands the whole exchange over, after it found the pod.
protocol PodStreams: Sendable {
    /// Answers `exec`, `attach`, `log` or `portforward`. The query is decoded and in its order: `command` comes often.
    ///
    /// A refusal before anything is sent may be thrown as `StatusError`: the API answers with it.
    func serve(
        _ exchange: HTTPExchange, pod: JSON, subresource: String, query: [(name: String, value: String)]
    ) async throws
}
