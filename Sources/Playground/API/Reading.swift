internal import HTTP
internal import JSON

/// How a client wants objects shown.
enum Presentation: Sendable, Equatable {
    case objects
    case table
    /// Only metadata.
    case partial

    init(accept: String) {
        // The first type that is understood wins; clients name their favourite first.
        self = .objects
        for type in accept.split(separator: ",") {
            if type.contains("as=Table") {
                self = .table
                return
            }
            if type.contains("as=PartialObjectMetadata") {
                self = .partial
                return
            }
            if type.contains("application/json"), !type.contains("as=") { return }
        }
    }
}

extension APIServer {
    /// One object, or a list.
    func read(_ kind: ResourceKind, _ request: APIRequest) throws -> APIResponse {
        let view = Presentation(accept: request.headers["Accept"] ?? "")
        if let name = request.name {
            guard let object = store.get(kind, request.namespace, name) else { throw StatusError.notFound(kind, name) }
            switch request.subresource {
            case nil, "status"?:
                return APIResponse(body: show(object, kind, request, view))
            case "ephemeralcontainers"? where kind == .pod:
                return APIResponse(body: show(object, kind, request, view))
            case "scale"? where kind.isScalable:
                return APIResponse(body: Scale.view(of: object))
            case let other?: throw StatusError.unserved("\(kind.plural)/\(other)")
            }
        }
        let (items, version) = store.list(kind, request.namespace, matching: try request.selector(for: kind))
        try request.requireList(at: version)
        let metadata: JSON = ["resourceVersion": .string(String(version))]
        switch view {
        case .table:
            var table = Table.of(kind, items, includeObject: request["includeObject"])
            table["metadata"] = metadata
            return APIResponse(body: table)
        case .partial:
            return APIResponse(
                body: [
                    "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                    "items": .array(items.map(Self.partial)),
                ])
        case .objects:
            let apiVersion = request.target == .newEvents ? NewEvents.apiVersion : kind.apiVersion
            return APIResponse(
                body: [
                    "kind": .string("\(kind.kind)List"), "apiVersion": .string(apiVersion), "metadata": metadata,
                    "items": .array(
                        items.map { item in
                            var item = show(item, kind, request, view)
                            item["kind"] = nil
                            item["apiVersion"] = nil
                            return item
                        }),
                ])
        }
    }

    /// An object as this request wants to see it.
    func show(_ object: JSON, _ kind: ResourceKind, _ request: APIRequest, _ view: Presentation) -> JSON {
        switch view {
        case .table: Table.of(kind, [object], includeObject: request["includeObject"])
        case .partial: Self.partial(object)
        case .objects: request.target == .newEvents ? NewEvents.view(of: object) : object
        }
    }

    static func partial(_ object: JSON) -> JSON {
        ["kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"] ?? [:]]
    }

    /// Streams changes until the client goes away or its time is over.
    func watch(_ kind: ResourceKind, _ request: APIRequest, on exchange: HTTPExchange) async throws {
        let view = Presentation(accept: request.headers["Accept"] ?? "")
        let selector = try request.selector(for: kind)
        let sendsBookmarks = ["true", "1"].contains(request["allowWatchBookmarks"] ?? "")
        let sendsInitial = request["sendInitialEvents"].map { $0 == "true" }
        var asked = try request.resourceVersion()
        if sendsInitial == true { asked = nil }
        try await exchange.startBody(HTTPResponse(200, headers: ["Content-Type": "application/json"]))
        let events: StoredEvents
        do {
            events = try store.watch(kind, request.namespace, from: asked)
        } catch let error as StatusError {
            // A watch that began cannot fail by its status line: the error is its only event.
            try await exchange.write(Self.line("ERROR", error.status))
            try await exchange.finish()
            return
        }
        let timer = Task {
            let seconds = min(max(1, request["timeoutSeconds"].flatMap { Int($0) } ?? 3600), 86400)
            let deadline = ContinuousClock.now + .seconds(seconds)
            while ContinuousClock.now + .seconds(60) < deadline {
                try await Task.sleep(for: .seconds(60))
                events.tick()
            }
            try await Task.sleep(until: deadline)
            events.stop()
        }
        defer { timer.cancel() }
        try await pump(
            events, to: exchange, selector: selector, view: view, request, kind: kind, sendsBookmarks: sendsBookmarks,
            marksInitialEnd: sendsInitial == true)
        try await exchange.finish()
    }

    private func pump(
        _ events: StoredEvents, to exchange: HTTPExchange, selector: ObjectSelector, view: Presentation,
        _ request: APIRequest, kind: ResourceKind, sendsBookmarks: Bool, marksInitialEnd: Bool
    ) async throws {
        var iterator = events.makeAsyncIterator()
        var initialLeft = events.initialCount
        if marksInitialEnd, initialLeft == 0 {
            try await exchange.write(Self.bookmark(kind, events.resourceVersion, endsInitial: true))
        }
        while true {
            let step: StoredEvents.Step
            do {
                step = try await iterator.step()
            } catch let error as StatusError {
                try await exchange.write(Self.line("ERROR", error.status))
                return
            }
            switch step {
            case .end: return
            case .tick(let version):
                if sendsBookmarks { try await exchange.write(Self.bookmark(kind, version, endsInitial: false)) }
            case .change(let event):
                if let type = Self.type(of: event, for: selector) {
                    try await exchange.write(Self.line(type.rawValue, show(event.object, kind, request, view)))
                }
                if initialLeft > 0 {
                    initialLeft -= 1
                    if initialLeft == 0, marksInitialEnd {
                        try await exchange.write(Self.bookmark(kind, events.resourceVersion, endsInitial: true))
                    }
                }
            }
        }
    }

    /// What a change means to a watch with a selector: an object may enter or leave it by changing.
    static func type(of event: StoredEvent, for selector: ObjectSelector) -> StoredEvent.Kind? {
        let isIn = selector.matches(event.object)
        let wasIn = event.previous.map(selector.matches) ?? false
        switch event.type {
        case .added: return isIn ? .added : nil
        case .deleted: return isIn || wasIn ? .deleted : nil
        case .modified:
            switch (wasIn, isIn) {
            case (true, true): return .modified
            case (false, true): return .added
            case (true, false): return .deleted
            case (false, false): return nil
            }
        }
    }

    private static func line(_ type: String, _ object: JSON) -> [UInt8] {
        (["type": .string(type), "object": object] as JSON).bytes + [UInt8(ascii: "\n")]
    }

    private static func bookmark(_ kind: ResourceKind, _ version: UInt64, endsInitial: Bool) -> [UInt8] {
        var metadata: JSON = ["resourceVersion": .string(String(version)), "creationTimestamp": nil]
        if endsInitial { metadata["annotations"] = ["k8s.io/initial-events-end": "true"] }
        return line(
            "BOOKMARK",
            ["kind": .string(kind.kind), "apiVersion": .string(kind.apiVersion), "metadata": metadata])
    }
}
