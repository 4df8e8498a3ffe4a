internal import JSON
internal import Watcher

/// `rules`: what is watched, where it goes, and what runs then.
extension ConfigurationReader {
    /// A rule; `name` is what a build that stands in it is called.
    mutating func rule(_ node: Node, root: String, name: String) -> Rule? {
        guard let keys = section(node, .rule) else { return nil }
        let watch = patterns(keys["watch"])
        let then = (elements(keys["then"]) ?? []).compactMap { step($0) }
        if let image = keys["image"] {
            return imageRule(image, in: node, keys, watch: watch, root: root, name: name)
        }
        if let deploy = keys["deploy"] {
            return deployRule(deploy, in: node, keys, watch: watch, root: root, name: name)
        }
        if let sideload = keys["sideload"] {
            if let sync = keys["sync"] {
                error(sync, "a rule has \"sync\" or \"sideload\", not both", hint: "make two rules of it")
            }
            if sideload.value.memberKeys.contains("nix") {
                if let build = keys["build"] {
                    error(build, "\"build\" beside a sideload of \"nix\"", hint: "Nix builds it")
                }
                if keys["watch"] == nil {
                    error(
                        node, "\"watch\" is missing",
                        hint: "what it is built from: \"watch\": [\"**/*.nix\", \"flake.lock\", \"src/**\"]")
                }
                if let then = keys["then"], sideload.value.memberKeys.contains("copyTo") {
                    error(then, "\"then\" beside \"copyTo\"", hint: "a volume that changes makes new pods")
                }
                return section(sideload, .sideload).flatMap { closure($0, root: root) }
                    .map { Rule(watch: watch, action: .closure($0), then: then) }
            }
            let build = keys["build"].flatMap { self.build(of: $0, root: root, name: name) }
            // A build that there is not was reported; what it would have watched is no second problem.
            let isUnknown = keys["build"] != nil && build == nil
            if keys["watch"] == nil, !isUnknown, build.map({ watches(build: $0) }) != true {
                error(
                    node, "\"watch\" is missing",
                    hint: "what the build is made from: \"watch\": [\"src/**\"], here or at the build")
            }
            let rule = Rule(watch: watch, build: build, sideload: self.sideload(sideload, root: root), then: then)
            checkNodes(rule, of: name, sideload: sideload, then: keys["then"])
            return rule
        }
        if let build = keys["build"] {
            error(
                build, "\"build\" without \"sideload\"",
                hint: "\"sideload\" says which of the files that it makes go where")
        }
        if keys["watch"] == nil {
            error(node, "\"watch\" is missing", hint: "the files of the rule: \"watch\": [\"app/**\"]")
        }
        let sync = keys["sync"].flatMap { self.sync($0) }
        if keys["sync"] == nil {
            error(
                node, "\"sync\" is missing",
                hint: "where the files go: \"sync\": {\"to\": \"/srv/app\"}; or \"sideload\" for what a build makes")
        }
        guard let sync else { return nil }
        return Rule(watch: watch, sync: sync, then: then)
    }

    mutating func patterns(_ node: Node?) -> [Glob] {
        guard let node, let patterns = elements(node) else { return [] }
        if patterns.isEmpty { error(node, "no pattern: the rule would never match") }
        return patterns.compactMap { pattern in
            note(pattern)
            return glob(pattern)
        }
    }

    private mutating func glob(_ node: Node) -> Glob? {
        guard let text = string(node) else { return nil }
        if text.hasPrefix("!") {
            error(node, "\"\(text)\" excludes", hint: "what is not to be synced belongs in watch.ignore or .loopignore")
            return nil
        }
        guard let path = relative(node, text, hint: "patterns are relative to the service's root") else { return nil }
        guard !path.isEmpty else {
            error(node, "\"\(text)\" matches no file", hint: "\"**\" takes everything")
            return nil
        }
        do {
            return try Glob(text)
        } catch let failure {
            error(node, "\"\(text)\" is no pattern: \(failure.reason)")
            return nil
        }
    }

    // MARK: sync

    private mutating func sync(_ node: Node) -> Sync? {
        guard let keys = section(node, .sync) else { return nil }
        if keys["to"] == nil {
            error(node, "\"to\" is missing", hint: "the folder in the container: \"to\": \"/srv/app\"")
        }
        let to = keys["to"].flatMap { destination($0) }
        let mirror = bool(keys["mirror"]) ?? false
        if mirror, to == "/", let node = keys["mirror"] {
            error(node, "\"mirror\" on / would delete the container's own files")
        }
        let via = choice(keys["via"], ["exec", "cp"])
        let from = keys["from"].flatMap { base($0) }
        guard let to else { return nil }
        return Sync(to: to, from: from, mirror: mirror, via: via == "cp" ? .cp : via == "exec" ? .exec : .automatic)
    }

    mutating func destination(_ node: Node) -> String? {
        guard let text = string(node) else { return nil }
        guard text.hasPrefix("/") else {
            error(node, "\"\(text)\" is not absolute", hint: "\"to\" is a folder in the container: \"/\(text)\"?")
            return nil
        }
        guard let path = ProjectPath.absolute(text) else {
            error(node, "\"\(text)\" has a ..", hint: "write the path that is meant")
            return nil
        }
        let first = path.split(separator: "/").first ?? ""
        guard !["proc", "sys"].contains(first) else {
            error(node, "\"\(text)\" belongs to the kernel")
            return nil
        }
        return path
    }

    private mutating func base(_ node: Node) -> String? {
        guard let text = string(node) else { return nil }
        return relative(node, text, hint: "\"from\" is relative to the service's root")
    }

    // MARK: then

    private mutating func step(_ node: Node) -> Step? {
        guard let keys = section(node, .step) else { return nil }
        if let restart = keys["restart"] {
            if let exec = keys["exec"] { error(exec, "one step does one thing", hint: "make two steps of it") }
            return self.restart(restart).map(Step.restart)
        }
        guard let exec = keys["exec"] else {
            error(
                node, "\"exec\" is missing",
                hint: "{\"exec\": [\"program\", \"argument\"]}, or {\"restart\": \"process\"}")
            return nil
        }
        return arguments(exec).map(Step.exec)
    }

    /// A program and its arguments; `nil` when there is none.
    mutating func arguments(_ node: Node) -> [String]? {
        if case .string = node.value.kind {
            error(node, "an array should be here, not a string", hint: "there is no shell: [\"program\", \"argument\"]")
            return nil
        }
        guard let elements = elements(node) else { return nil }
        let arguments = elements.enumerated().compactMap { argument($0.element, isProgram: $0.offset == 0) }
        if elements.isEmpty { error(node, "no program is named") }
        return arguments.isEmpty ? nil : arguments
    }

    /// An argument may be empty, the program's name may not.
    private mutating func argument(_ node: Node, isProgram: Bool) -> String? {
        if !isProgram, case .string("") = node.value.kind { return "" }
        return string(node)
    }
}

extension LocatedJSON {
    /// The keys of an object, as they stand.
    var memberKeys: [String] {
        if case .object(let members) = kind { members.map(\.key) } else { [] }
    }
}
