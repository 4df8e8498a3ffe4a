extension ContainerEngine {
    static func find(_ pinned: EngineBuild.Program?) async throws -> ContainerEngine {
        throw LoopFailure(failure: LoopEvent.Failure("no engine"))
    }
}
