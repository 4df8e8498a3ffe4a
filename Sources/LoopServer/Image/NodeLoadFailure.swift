internal import Reactor

/// Why an image does not come onto the nodes, from what the program says.
enum NodeLoadFailure {
    /// What is told; `nil` where it has worked.
    ///
    /// - Parameter loader: `nil` where the image was to come out of the engine first.
    static func explain(
        _ command: [String], _ output: Output, _ reference: String, _ loader: NodeLoader?
    ) -> LoopEvent.Failure? {
        let lines = (output.errorText + "\n" + output.text).split(whereSeparator: \.isNewline).map { plain(String($0)) }
            .filter { !$0.isEmpty }
        // k3d says in its log that it did not work, and ends with 0.
        let isLogged = command.first == "k3d" && lines.contains(where: isError)
        guard !output.status.isSuccess || isLogged else { return nil }
        let said = (lines.filter(isError) + lines.reversed()).first ?? "\(output.status)"
        let what =
            loader.map { "\(reference) does not come onto the nodes by \($0.title)" }
            ?? "\(reference) does not come out of \(command[0])"
        return LoopEvent.Failure(
            what, details: [message(said)], nextStep: nextStep(command, said.lowercased(), output.status, loader))
    }

    private static func nextStep(
        _ command: [String], _ said: String, _ status: ExitStatus, _ loader: NodeLoader?
    ) -> String? {
        let program = command[0]
        if status == .exited(127) { return "install \(program), or name a registry in loop.json: \"registry\"" }
        let isDenied = said.contains("permission denied")
        switch loader {
        case .k3d(let name), .kind(let name):
            if isDenied { return "\(program) needs the engine: join the group docker, or run loopd as its owner" }
            if said.contains("no nodes found") || said.contains("failed to get cluster") {
                return
                    "there is no cluster \"\(name)\" here: `\(program) \(program == "kind" ? "get clusters" : "cluster list")`"
            }
        case .minikube(let profile):
            if said.contains("not found") || said.contains("not running") {
                return "`minikube start --profile \(profile)`"
            }
        case .k3s, .k3sSocket:
            if isDenied { return "k3s' images are root's: run loopd as root, or name a registry in loop.json" }
            if said.contains("connection refused") || said.contains("no such file") { return "start k3s" }
        case .shared:
            if said.contains("daemon") { return "start the engine of the cluster" }
        case nil: break
        }
        if said.contains("no space left") { return "make room on the disk of the nodes: `docker system prune` may do" }
        return nil
    }

    private static func isError(_ line: String) -> Bool {
        ["FATA[", "ERRO[", "ERROR: ", "ctr: ", "Error: ", "X Exiting due to", "❌"].contains { line.hasPrefix($0) }
            || line.contains("level=error") || line.contains("level=fatal")
    }

    /// A line without what programs put before it.
    private static func message(_ line: String) -> String {
        var line = line
        if line.hasPrefix("FATA[") || line.hasPrefix("ERRO["), let end = line.firstIndex(of: "]") {
            line = String(line[line.index(after: end)...].drop { $0 == " " })
        }
        for prefix in ["ERROR: ", "Error: ", "ctr: "] { line = line.droppingPrefix(prefix) }
        return line
    }

    /// A line without colours.
    private static func plain(_ line: String) -> String {
        var text = ""
        var isInSequence = false
        for character in line {
            if character == "\u{1B}" {
                isInSequence = true
            } else if isInSequence {
                if character.isLetter { isInSequence = false }
            } else {
                text.append(character)
            }
        }
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text.drop { $0.isWhitespace })
    }
}
