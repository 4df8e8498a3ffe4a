internal import JSON

/// Since when a StatefulSet or DaemonSet has its present pod template: a pure function of its ControllerRevisions.
enum TemplateTime {
    /// In the API's form, by the server's clock; the time of the workload itself where no revision tells.
    static func of(_ workload: JSON, _ revisions: [JSON]) -> String {
        let created = workload.at("metadata", "creationTimestamp")?.string ?? ""
        guard let revision = WorkloadPods.newestRevision(workload, revisions) else { return created }
        // A template that was there before gets its revision back, with a new number: then that is when it was written.
        let writes = (revision.at("metadata", "managedFields")?.array ?? []).compactMap { $0["time"]?.string }
        return (writes + [revision.at("metadata", "creationTimestamp")?.string ?? created]).max() ?? created
    }
}

extension KubeClient {
    /// Since when a StatefulSet or DaemonSet has its present pod template, in the API's form.
    func templateTime(of workload: JSON) async throws -> String {
        let namespace = workload.at("metadata", "namespace")?.string
        let scope = Scope(.controllerRevisions, namespace: namespace, labels: workload.selectorText)
        return TemplateTime.of(workload, try await list(scope).items)
    }
}
