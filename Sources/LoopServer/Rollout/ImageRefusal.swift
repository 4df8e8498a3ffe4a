internal import JSON

extension ImageRollout {
    /// Why the cluster does not let an image into its workload.
    nonisolated func refusal(_ error: KubeError) async -> LoopEvent.Failure {
        guard error.isNotFound else {
            return LoopEvent.Failure(
                "\(image.workload) cannot get its image: \(error.message)",
                nextStep: error.isForbidden
                    ? "loopd needs the permission to patch it in namespace \(namespace)" : nil)
        }
        let names = (try? await client.workloadNames(namespace: namespace)) ?? []
        let near = NearestName.of(image.workload, among: names).map { "did you mean \"workload\": \"\($0)\"?" }
        return LoopEvent.Failure(
            "\(image.workload) is not in namespace \(namespace): nothing runs \(image.image) yet",
            nextStep: near ?? "deploy it: it gets the image as soon as it is there")
    }
}
