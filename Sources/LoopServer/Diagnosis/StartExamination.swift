internal import JSON

/// Containers that cannot be made or started.
extension PodExamination {
    /// A container whose configuration cannot be put together.
    mutating func cannotBeConfigured(_ container: ContainerState, _ message: String) {
        let missing = MissingReference(message)
        let advice: String
        if let missing {
            advice = missing.advice(in: picture.namespace)
        } else if message.contains("runAsNonRoot") {
            advice =
                message.contains("non-numeric")
                ? "give the user as a number: USER 1000 in the image, or runAsUser in the pod"
                : "set a user: USER 1000 in the image, or securityContext.runAsUser in the pod"
        } else {
            advice = describe("pod", pod.name)
        }
        add(
            ["config", container.name, message],
            "\(title(container)) cannot be created: \(missing?.words ?? message)",
            missing == nil ? [] : [message], next: advice)
    }

    /// A container that the runtime cannot make or start.
    mutating func cannotStart(_ container: ContainerState, _ message: String) {
        let failure = StartFailure(
            message: message,
            command: ((container.spec["command"]?.array ?? []) + (container.spec["args"]?.array ?? [])).compactMap(
                \.string))
        let (cause, advice) = failure.explain()
        add(
            ["start", container.name, material(failure.words)], "\(title(container)) cannot start: \(cause)",
            cause == failure.words ? [] : [failure.words], next: advice ?? describe("pod", pod.name))
    }
}

/// A ConfigMap, Secret or key that a container needs and that is not there.
struct MissingReference: Equatable {
    let kind: String
    let name: String
    var key: String?

    /// From the kubelet's words: `configmap "x" not found`, `couldn't find key K in Secret ns/x`,
    /// `references non-existent secret key: K`.
    init?(_ message: String) {
        if let found = message.firstRange(of: "couldn't find key ") {
            let words = message[found.upperBound...].split(separator: " ")
            guard words.count >= 4, words[1] == "in" else { return nil }
            kind = String(words[2])
            key = String(words[0])
            name = words[3].split(separator: "/").last.map { String($0.trimmingSuffix(",")) } ?? ""
            return
        }
        for (word, kind) in [("configmap ", "ConfigMap"), ("secret ", "Secret")] {
            guard let found = message.lowercased().firstRange(of: "\(word)\"") else { continue }
            let offset = message.lowercased().distance(
                from: message.lowercased().startIndex, to: found.upperBound)
            let rest = message.dropFirst(offset)
            guard rest.contains("not found") else { continue }
            self.kind = kind
            name = String(rest.prefix { $0 != "\"" })
            return
        }
        return nil
    }

    var words: String {
        key.map { "\(kind) \"\(name)\" has no key \"\($0)\"" } ?? "there is no \(kind) \"\(name)\""
    }

    func advice(in namespace: String) -> String {
        let object = "\(kind.lowercased()) \(name) -n \(namespace)"
        return key.map {
            "add \"\($0)\" to it, or correct the key in the pod; `kubectl describe \(object)` lists the keys"
        } ?? "create it in namespace \(namespace), correct its name, or mark the reference as optional"
    }
}

extension Substring {
    fileprivate func trimmingSuffix(_ suffix: String) -> Substring {
        hasSuffix(suffix) ? dropLast(suffix.count) : self
    }
}

/// Why a runtime could not start a container: a pure function of its words.
struct StartFailure {
    let message: String
    /// The command and arguments of the spec; only the first word is ever shown.
    var command: [String] = []

    /// The words of the innermost layer.
    var words: String {
        for marker in ["unable to start container process: ", "OCI runtime create failed: ", "desc = "] {
            if let found = message.firstRange(of: marker) { return String(message[found.upperBound...]) }
        }
        return message
    }

    /// The cause in a few words, and what to do.
    func explain() -> (cause: String, advice: String?) {
        let text = message.lowercased()
        let program = program
        let named = "\"\(program)\""
        if text.contains("executable file not found") {
            return ("there is no program \(named) in the image's PATH", wrapped(program) ?? absent(program))
        }
        if text.contains("exec format error") {
            return (
                "\(named) is no program for the node's architecture",
                "build the image for the node (`kubectl get nodes -L kubernetes.io/arch`); a script needs \"#!\" in its "
                    + "first line"
            )
        }
        if text.contains("chdir to cwd") {
            return ("its working folder is not there or may not be entered", "correct workingDir, or make the folder")
        }
        if text.contains("are you trying to mount a directory onto a file") {
            return (
                "a volume's folder is mounted over a file, or the other way round",
                "mount single files with subPath, and folders onto folders"
            )
        }
        if text.contains("error mounting") || text.contains("failed to create subpath") {
            return ("a volume cannot be mounted into it", "look at its volumeMounts, and at what they mount over")
        }
        if text.contains("permission denied"), text.contains("exec") {
            return (
                "\(named) may not be executed",
                "`chmod +x` it in the image (COPY --chmod=755), or name a program instead of a folder"
            )
        }
        if text.contains("is a directory") { return ("\(named) is a folder", "name the program in it") }
        if text.contains("no such file or directory"), text.contains("exec") {
            // With `stat`, the file itself is missing; without, what the kernel needs to run it.
            if text.contains("stat ") {
                return ("there is no \(named) in the image", wrapped(program) ?? absent(program))
            }
            return (
                "\(named) is there, but not what runs it",
                "the interpreter of its \"#!\" line (with the line ends of Windows?), or the loader of its C library: a "
                    + "program for glibc does not run in an image with musl"
            )
        }
        if text.contains("unable to find user") || text.contains("no matching entries in passwd") {
            return ("the image does not know its user", "give the user as a number, or make it in the image")
        }
        if text.contains("no command specified") {
            return ("neither the image nor the pod names a program", "set command, or CMD in the image")
        }
        if text.contains("oom-killed") || text.contains("memory limit too low") {
            return ("its memory limit is too low to start at all", "raise resources.limits.memory")
        }
        return (words, nil)
    }

    /// The program that could not be started, by the runtime's words, else by the spec.
    var program: String {
        if let found = message.firstRange(of: "exec: \"") {
            return String(message[found.upperBound...].prefix { $0 != "\"" })
        }
        // `exec /srv/web: no such file or directory`
        if let found = message.firstRange(of: "exec /") {
            return "/" + message[found.upperBound...].prefix { !": ".contains($0) }
        }
        return command.first ?? "the image's own program"
    }

    /// A line for a shell, where a program's name belongs.
    private func wrapped(_ program: String) -> String? {
        let builtins: Set = ["cd", "export", "source", ".", "set", "exec", "ulimit", "if", "while", "for"]
        guard builtins.contains(program) || program.contains(where: { " $&|;><".contains($0) }) else { return nil }
        return "a command is a list of words and no line for a shell: "
            + "[\"sh\", \"-c\", …], or each word as an item of its own"
    }

    private func absent(_ program: String) -> String {
        ["sh", "bash", "/bin/sh", "/bin/bash"].contains(program)
            ? "the image has no shell: call the program directly, without a shell around it"
            : "correct the command, or copy the program into the image"
    }
}
