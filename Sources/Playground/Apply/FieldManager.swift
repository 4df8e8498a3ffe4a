internal import HTTP
internal import JSON

/// Who writes fields, as `managedFields` tells its entries apart.
struct FieldManager: Hashable, Sendable {
    enum Operation: String, Sendable {
        case apply = "Apply"
        case update = "Update"
    }

    let name: String
    var operation = Operation.update
    /// `status` or `scale`, where the fields were written through that view of the object.
    var subresource: String?

    static let controllers = FieldManager(name: "kube-controller-manager")
    static let scheduler = FieldManager(name: "kube-scheduler")
    static let kubelet = FieldManager(name: "kubelet")

    /// Who sends a request: whom it names, else the program that its `User-Agent` begins with.
    init(_ request: APIRequest) {
        let program = (request.headers["User-Agent"] ?? "").prefix { $0 != "/" }
        let name = request["fieldManager"].flatMap { $0.isEmpty ? nil : $0 } ?? String(program.prefix(128))
        self.init(name: name.isEmpty ? "unknown" : name, subresource: request.subresource)
    }

    init(name: String, operation: Operation = .update, subresource: String? = nil) {
        self.name = name
        self.operation = operation
        self.subresource = subresource
    }
}
