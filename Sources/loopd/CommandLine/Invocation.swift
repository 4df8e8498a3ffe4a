internal import LoopServer

/// A command line that makes sense.
struct Invocation: Equatable {
    var command: Command
    var arguments: [String] = []
    /// What follows `--`, where that is a program with its arguments; `nil` without.
    var program: [String]?
    var values: [Option: String] = [:]
    var flags: Set<Option> = []

    /// The services that are named; none means all of them.
    var services: [String] { command.arguments == .forwards ? Array(arguments.prefix(1)) : arguments }

    var isJSON: Bool { values[.output] == "json" }
}

/// A command line that makes no sense, with what to do about it.
struct UsageError: Error, Equatable {
    let message: String
    let hint: String
}

extension Invocation {
    /// Understands the arguments after the program's name.
    ///
    /// Options may stand before and after the command.
    init(parsing arguments: [String]) throws(UsageError) {
        var words: [String] = []
        var program: [String]?
        var given: [(option: Option, spelling: String, value: String?)] = []
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            if argument == "--" {
                if Invocation.command(in: words)?.arguments == .program { program = Array(rest) } else { words += rest }
                break
            }
            guard argument.hasPrefix("-"), argument != "-" else {
                words.append(argument)
                continue
            }
            if argument == "--version" {
                words.insert(Command.version.rawValue, at: 0)
                continue
            }
            given.append(try Invocation.option(argument, &rest, among: Invocation.command(in: words)))
        }
        try self.init(words: words, program: program, given: given)
    }

    private static func command(in words: [String]) -> Command? { words.first.flatMap(Command.init(rawValue:)) }

    private static func option(
        _ argument: String, _ rest: inout ArraySlice<String>, among command: Command?
    ) throws(UsageError) -> (Option, String, String?) {
        let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let spelling = parts[0]
        guard let option = Option.allCases.first(where: { $0.long == spelling || $0.short == spelling }) else {
            let known = (command?.options ?? Option.allCases).map(\.long)
            let near = spelling.hasPrefix("--") ? NearestName.of(spelling, among: known) : nil
            throw UsageError(
                message: "unknown option \(spelling)",
                hint: near.map { "did you mean \($0)?" } ?? Invocation.seeHelp(command))
        }
        guard let name = option.value(for: command) else {
            guard parts.count == 1 else {
                throw UsageError(message: "\(spelling) takes no value", hint: Invocation.seeHelp(command))
            }
            return (option, spelling, nil)
        }
        guard let value = parts.count == 2 ? parts[1] : rest.popFirst(), !value.isEmpty else {
            throw UsageError(message: "\(spelling) needs a value", hint: "\(spelling) \(name)")
        }
        return (option, spelling, value)
    }

    private init(
        words: [String], program: [String]?, given: [(option: Option, spelling: String, value: String?)]
    ) throws(UsageError) {
        guard let word = words.first else {
            self.init(command: .help)
            return
        }
        guard let command = Command(rawValue: word) else {
            let near = NearestName.of(word, among: Command.shown.map(\.rawValue))
            throw UsageError(
                message: "unknown command \"\(word)\"",
                hint: near.map { "did you mean \"\($0)\"?" } ?? Invocation.seeHelp(nil))
        }
        self.init(command: command, arguments: Array(words.dropFirst()), program: program)
        for (option, spelling, value) in given {
            guard command.options.contains(option) else {
                throw UsageError(
                    message: "\"\(command.rawValue)\" has no option \(spelling)", hint: Invocation.seeHelp(command))
            }
            guard let value else {
                flags.insert(option)
                continue
            }
            let choices = option.choices(for: command)
            guard choices.isEmpty || choices.contains(value) else {
                let near = NearestName.of(value, among: choices)
                throw UsageError(
                    message: "\(spelling) cannot be \"\(value)\"",
                    hint: near.map { "did you mean \($0)?" } ?? "one of: \(choices.joined(separator: ", "))")
            }
            let earlier = option.isRepeatable ? values[option] : nil
            values[option] = earlier.map { "\($0),\(value)" } ?? value
        }
        if flags.contains(.help) {
            self = Invocation(command: .help, arguments: [command.rawValue])
        } else {
            try checkArguments()
        }
    }

    private func checkArguments() throws(UsageError) {
        if flags.isSuperset(of: [.noDeploy, .cleanup]) {
            throw UsageError(
                message: "--cleanup removes what was deployed, and with --no-deploy nothing is",
                hint: "leave one of them out; \"loopd undeploy\" removes what is there")
        }
        switch command.arguments {
        case .services, .folders: break
        case .service, .optionalService, .program, .socket:
            if program?.isEmpty == true {
                throw UsageError(message: "no program follows --", hint: "loopd run SERVICE -- PROGRAM ARGUMENT…")
            }
            let noun = command.arguments == .socket ? "SOCKET" : "SERVICE"
            if command.arguments == .optionalService, arguments.isEmpty { break }
            guard let first = arguments.first else {
                throw UsageError(
                    message: "\"\(command.rawValue)\" needs a \(noun.lowercased())",
                    hint: "loopd \(command.rawValue) \(noun)")
            }
            guard arguments.count > 1 else { break }
            if command.arguments == .program {
                throw UsageError(
                    message: "\"\(command.rawValue)\" takes one service, and a program after --",
                    hint: "loopd run \(first) -- \(arguments.dropFirst().joined(separator: " "))")
            }
            throw UsageError(
                message:
                    "\"\(command.rawValue)\" takes one \(noun.lowercased()), after \"\(first)\" comes \"\(arguments[1])\"",
                hint: Invocation.seeHelp(command))
        case .forwards:
            guard arguments.count < 2 else { break }
            throw UsageError(
                message: arguments.isEmpty
                    ? "\"\(command.rawValue)\" needs a service and a port" : "which port of \(arguments[0])?",
                hint: "loopd \(command.rawValue) \(arguments.first ?? "SERVICE") 8080:80")
        case .none:
            guard let extra = arguments.first else { break }
            throw UsageError(
                message: "\"\(command.rawValue)\" takes no argument: \"\(extra)\"", hint: Invocation.seeHelp(command))
        case .command: try checkChoice(Command.shown.map(\.rawValue), "command", isRequired: false)
        case .shell:
            if arguments == [Command.servicesWord] { break }
            try checkChoice(Command.shells, "shell", isRequired: true)
        }
    }

    private func checkChoice(_ choices: [String], _ noun: String, isRequired: Bool) throws(UsageError) {
        let all = "one of: \(choices.joined(separator: ", "))"
        guard let first = arguments.first else {
            if isRequired { throw UsageError(message: "\"\(command.rawValue)\" needs a \(noun)", hint: all) }
            return
        }
        guard arguments.count == 1 else {
            throw UsageError(message: "\"\(command.rawValue)\" takes one \(noun)", hint: Invocation.seeHelp(command))
        }
        guard choices.contains(first) else {
            let near = NearestName.of(first, among: choices)
            throw UsageError(
                message: "unknown \(noun) \"\(first)\"", hint: near.map { "did you mean \"\($0)\"?" } ?? all)
        }
    }

    private static func seeHelp(_ command: Command?) -> String {
        command.map { "see \"loopd help \($0.rawValue)\"" } ?? "see \"loopd help\""
    }
}
