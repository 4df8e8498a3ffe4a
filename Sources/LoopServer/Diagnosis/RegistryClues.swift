/// What image names mean to a cluster, as far as it is known: by this a wrong one is recognised in a pod.
struct RegistryClues: Equatable, Sendable {
    /// Tells what is known now: a registry may be found only when the first image goes there.
    typealias Source = @Sendable () async -> RegistryClues

    /// How loopd's registry is called.
    var names: RegistryNames?
    /// The playground's registry, which a name without one means there; `nil` on another cluster.
    var playground: String?
}
