internal import Glibc
internal import Reactor

/// What went wrong in a `nix build`, from what it printed: a pure function, but for a look at whether a file is there that the
/// flake does not see.
struct NixFailure {
    let installable: Installable
    /// The system that was built for.
    var system = NixSystem.native
    /// Whether there is something at an absolute path.
    var isThere: (String) -> Bool = { access($0, F_OK) == 0 }

    /// One line with the cause, and what to do.
    func explain(_ status: ExitStatus, _ printed: [String]) -> LoopEvent.Failure {
        let lines = printed.map(ProgramText.plain)
        if status == .exited(127) {
            return LoopEvent.Failure(
                "there is no nix in PATH to build \(installable.words) with",
                nextStep: "install it: `apt-get install nix-bin`, or https://nixos.org/download")
        }
        for cause in [untracked, attribute, flake, argument, builder, offline, disk, program] {
            if let failure = cause(lines) { return failure }
        }
        return evaluation(lines) ?? LoopEvent.Failure(title("\(status)"), details: lines.suffix(20))
    }

    /// Whether several builds have met at the store's database, as they do at one that is being made.
    static func isHiccup(_ printed: [String]) -> Bool {
        printed.map(ProgramText.plain).contains {
            $0.hasPrefix("error: SQLite database ") && $0.hasSuffix(" is busy")
        }
    }

    private func title(_ cause: String) -> String { "nix build \(installable.words): \(cause)" }

    // MARK: Causes

    /// A flake in a git repository consists of the files that git knows.
    private func untracked(_ lines: [String]) -> LoopEvent.Failure? {
        for line in lines {
            let path: String
            if line.contains("is not tracked by Git"), let name = line.between("ath '", "'") {
                path = name
            } else if line.contains("No such file or directory") || line.contains("does not exist"),
                let name = line.between("-source/", "'")
            {
                path = name
            } else {
                continue
            }
            guard let file = local(path) else {
                return LoopEvent.Failure(title("the flake has no file \(path)"))
            }
            return LoopEvent.Failure(
                title("git does not track \(path), so that the flake does not see it"),
                nextStep: "git add \(file.hasPrefix(installable.directory + "/") ? relative(file) : file)")
        }
        return nil
    }

    private func attribute(_ lines: [String]) -> LoopEvent.Failure? {
        guard
            let (number, line) = lines.enumerated().first(where: {
                $1.contains("does not provide attribute") || $1.contains("in selection path")
            }), let name = line.contains("selection path") ? line.between("attribute '", "'") : line.lastQuoted
        else { return nil }
        let near = lines[number...].first { $0.hasPrefix("Did you mean ") }?.dropFirst("Did you mean ".count)
        let whose = if case .file(let file, _) = installable.source { relative(file) } else { "the flake" }
        return LoopEvent.Failure(
            title("\(whose) has no attribute \"\(name)\""),
            nextStep: near.map { "did you mean \($0)" }
                ?? (whose == "the flake" ? "`nix flake show` lists what it has" : nil))
    }

    private func flake(_ lines: [String]) -> LoopEvent.Failure? {
        guard
            lines.contains(where: {
                $0.contains("could not find a flake.nix file") || $0.contains("does not contain a '/flake.nix'")
            })
        else { return nil }
        return LoopEvent.Failure(
            title("there is no flake.nix in \(installable.flakeFolder ?? installable.directory)"),
            nextStep: "the rule's flake is relative to its service's \"root\"")
    }

    private func argument(_ lines: [String]) -> LoopEvent.Failure? {
        guard let line = lines.first(where: { $0.contains("an argument without a value") }),
            let name = line.between("('", "')")
        else { return nil }
        return LoopEvent.Failure(
            title("its function wants the argument \"\(name)\""),
            nextStep: "\"args\": {\"\(name)\": \"…\"} in loop.json")
    }

    private func builder(_ lines: [String]) -> LoopEvent.Failure? {
        var wanted = lines.first { $0.contains("is required to build") }?.between("a '", "'")
        if lines.contains(where: { $0.contains("unable to start any build") }) { wanted = wanted ?? system }
        guard let wanted else { return nil }
        return LoopEvent.Failure(
            title("no builder for \(wanted): this machine is \(NixSystem.native)"),
            nextStep: "name one in Nix's `builders`, or let binfmt run its programs here")
    }

    private func offline(_ lines: [String]) -> LoopEvent.Failure? {
        let failures = lines.filter { $0.hasPrefix("error: ") }
        let missing = failures.first { $0.contains("no substituter that can build it") }
        guard let line = failures.first(where: { $0.contains("unable to download") }) ?? missing else { return nil }
        let download = lines.first { $0.contains("unable to download") } ?? line
        let what = download.between("unable to download '", "'") ?? line.between("path '", "'") ?? "what it needs"
        let reason = download.after("': ").map { ": \($0)" } ?? ""
        return LoopEvent.Failure(
            title("Nix could not download \(what)\(reason)"),
            nextStep: "go online, or build from what is in the store: NIX_CONFIG='substitute = false'")
    }

    private func disk(_ lines: [String]) -> LoopEvent.Failure? {
        guard let line = lines.last(where: { $0.contains("No space left on device") }) else { return nil }
        return LoopEvent.Failure(
            title(line.after("error: ") ?? line), nextStep: "make room, for example with `nix-collect-garbage`")
    }

    /// A program that the build runs has failed: what it printed says why.
    private func program(_ lines: [String]) -> LoopEvent.Failure? {
        var name: String?
        var code = ""
        for (number, line) in lines.enumerated() where name == nil {
            if line.contains("builder for '"), line.contains("failed") {
                name = line.between("builder for '", "'")
                code = line.after("failed ").map { " failed \($0)" } ?? " failed"
            } else if line.contains("Cannot build '"),
                lines[number...].contains(where: { $0.contains("builder failed") })
            {
                name = line.between("Cannot build '", "'")
                code =
                    lines[number...].first { $0.contains("builder failed") }?.after("builder ").map { " \($0)" } ?? ""
            }
        }
        guard let name, let derivation = NixStore.name(of: name) else { return nil }
        let words = code.last == ";" || code.last == "." ? String(code.dropLast()) : code
        // Without the hash: people know it by its name.
        let title = title("the build of \(derivation.dropFirst(33).droppingSuffix(".drv"))\(words)")
        let said = lines.filter { !$0.isEmpty && !$0.hasPrefix("error: ") && !$0.hasPrefix("building '") }
        return LoopEvent.Failure(title, details: said.suffix(12), nextStep: "what runs in the cluster stays")
    }

    /// The last error is the cause, and the place that follows it is where.
    private func evaluation(_ lines: [String]) -> LoopEvent.Failure? {
        guard let number = lines.lastIndex(where: { $0.hasPrefix("error: ") && $0.count > "error: ".count }) else {
            return nil
        }
        let message = lines[number].dropFirst("error: ".count)
        let place = lines[number...].first { $0.hasPrefix("at ") && $0.hasSuffix(":") }
        let near = lines[number...].first { $0.hasPrefix("Did you mean ") }
        let shown = place.map { ", at \(shownPlace($0.dropFirst(3).dropLast()))" } ?? ""
        return LoopEvent.Failure(title("\(message)\(shown)"), nextStep: near)
    }

    // MARK: Files

    /// `/nix/store/…-source/flake.nix:8:12` as the file of the flake that was copied there.
    private func shownPlace(_ place: Substring) -> String {
        let text = String(place)
        return text.after("-source/") ?? relative(text)
    }

    private func relative(_ path: String) -> String {
        let prefix = installable.directory + "/"
        return path.hasPrefix(prefix) ? String(path.dropFirst(prefix.count)) : path
    }

    /// A file of the flake's source here: the source begins at the flake, or at the repository's root above it.
    private func local(_ path: String) -> String? {
        var folder = installable.flakeFolder ?? installable.directory
        while !folder.isEmpty {
            if isThere("\(folder)/\(path)") { return "\(folder)/\(path)" }
            folder = folder.lastIndex(of: "/").map { String(folder[..<$0]) } ?? ""
        }
        return nil
    }
}

extension String {
    /// The last of the quoted words.
    fileprivate var lastQuoted: String? {
        let parts = split(separator: "'", omittingEmptySubsequences: false)
        return parts.count >= 3 ? String(parts[parts.count - 2]) : nil
    }
}

extension Substring {
    fileprivate func droppingSuffix(_ suffix: String) -> Substring { hasSuffix(suffix) ? dropLast(suffix.count) : self }
}
