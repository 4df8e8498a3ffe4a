extension SessionRun {
    /// What an error that ends a session, or one of its services, means for it; says it where nobody has yet.
    func outcome(of error: any Error, service: String? = nil) -> Outcome {
        switch error {
        case is CancellationError: return .interrupted
        case let error as ClusterError:
            emit(LoopEvent(.failed(error.failure)))
            return .cluster
        case let held as LeaseHeld:
            emit(LoopEvent(.failed(held.failure), service: service))
            return .failed
        case let failure as LoopFailure:
            emit(LoopEvent(.failed(failure.failure), service: service))
            return .failed
        default:
            if Task.isCancelled { return .interrupted }
            emit(LoopEvent(.failed(LoopEvent.Failure("\(error)")), service: service))
            return .failed
        }
    }
}
