/// Completion scripts from the tables of commands and options.
///
/// Names of services come from `loopd completion services`, which prints nothing where there is no good loop.json.
enum Completions {
    static func script(for shell: String) -> String {
        switch shell {
        case "zsh": zsh()
        case "fish": fish()
        default: bash()
        }
    }

    private static let services = "loopd completion services 2>/dev/null"

    /// The fixed words that may follow a command.
    private static func argumentWords(_ command: Command) -> [String] {
        switch command.arguments {
        case .command: Command.shown.map(\.rawValue)
        case .shell: Command.shells
        case .none, .services, .service, .forwards, .socket, .folders: []
        }
    }

    /// Text within single quotes of a shell.
    private static func quoted(_ text: String) -> String {
        text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''")
    }

    private static func bash() -> String {
        let cases = Command.shown.map { command in
            let words = command.options.flatMap { [$0.long] + ($0.short.map { [$0] } ?? []) } + argumentWords(command)
            return "            \(command.rawValue)) words=\"\(words.joined(separator: " "))\" ;;"
        }
        let withServices = Command.shown.filter { [.services, .service, .forwards].contains($0.arguments) }.map(
            \.rawValue
        ).joined(
            separator: "|")
        return """
            # bash completion for loopd: source <(loopd completion bash)
            _loopd() {
                local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" command="" words="" word
                for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
                    case "$word" in \(Command.shown.map(\.rawValue).joined(separator: "|"))) command="$word"; break ;; esac
                done
                case "$previous" in
                    --file|-f|--kubeconfig) COMPREPLY=($(compgen -f -- "$current")); return ;;
                    --output|-o) COMPREPLY=($(compgen -W "\(Option.output.choices.joined(separator: " "))" -- "$current")); return ;;
                esac
                case "$command" in
                    "") words="\(Command.shown.map(\.rawValue).joined(separator: " "))" ;;
            \(cases.joined(separator: "\n"))
                esac
                case "$command" in
                    \(withServices)) words="$words $(\(services))" ;;
                esac
                COMPREPLY=($(compgen -W "$words" -- "$current"))
            }
            complete -F _loopd loopd
            """
    }

    private static func zsh() -> String {
        let commands = Command.shown.map { "        '\($0.rawValue):\(quoted($0.summary))'" }
        let cases = Command.shown.map { command in
            let options = command.options.flatMap { option in
                let action = option.value.map { value in
                    option.choices.isEmpty
                        ? (value == "PATH" ? ":path:_files" : ":name: ")
                        : ":value:(\(option.choices.joined(separator: " ")))"
                }
                let rest = "[\(quoted(option.summary))]\(action ?? "")'"
                return ["'\(option.long)\(action == nil ? "" : "=")\(rest)"]
                    + (option.short.map { ["'\($0)\(rest)"] } ?? [])
            }
            var arguments = options
            switch command.arguments {
            case .services: arguments.append("'*:service:($(\(services)))'")
            case .service, .forwards: arguments.append("'1:service:($(\(services)))'")
            case .none, .socket, .folders: break
            case .command, .shell: arguments.append("'1:word:(\(argumentWords(command).joined(separator: " ")))'")
            }
            return "        \(command.rawValue)) _arguments \(arguments.joined(separator: " ")) ;;"
        }
        return """
            #compdef loopd
            # zsh completion for loopd: loopd completion zsh > "${fpath[1]}/_loopd"
            _loopd() {
                local -a commands
                commands=(
            \(commands.joined(separator: "\n"))
                )
                # Options may stand before the command.
                local -i at=2
                while (( at < CURRENT )) && [[ " \(Command.shown.map(\.rawValue).joined(separator: " ")) " != *" $words[at] "* ]]; do
                    (( at++ ))
                done
                if (( at == CURRENT )); then
                    case $words[CURRENT-1] in
                        --file|-f|--kubeconfig) _files ;;
                        *) _describe 'command' commands ;;
                    esac
                    return
                fi
                local command=$words[at]
                shift $(( at - 1 )) words
                (( CURRENT -= at - 1 ))
                case $command in
            \(cases.joined(separator: "\n"))
                esac
            }
            compdef _loopd loopd
            """
    }

    private static func fish() -> String {
        var lines = ["# fish completion for loopd: loopd completion fish | source", "complete -c loopd -f"]
        for command in Command.shown {
            let name = command.rawValue
            lines.append("complete -c loopd -n __fish_use_subcommand -a \(name) -d '\(quoted(command.summary))'")
            let condition = "-n '__fish_seen_subcommand_from \(name)'"
            for option in command.options {
                var parts = ["complete -c loopd \(condition) -l \(option.rawValue)"]
                if let short = option.short { parts.append("-s \(short.dropFirst())") }
                if let value = option.value {
                    parts.append(value == "PATH" ? "-rF" : "-x")
                    if !option.choices.isEmpty { parts.append("-a '\(option.choices.joined(separator: " "))'") }
                }
                parts.append("-d '\(quoted(option.summary))'")
                lines.append(parts.joined(separator: " "))
            }
            let words = argumentWords(command)
            if [.services, .service, .forwards].contains(command.arguments) {
                lines.append("complete -c loopd \(condition) -a '(\(services))'")
            } else if !words.isEmpty {
                lines.append("complete -c loopd \(condition) -a '\(words.joined(separator: " "))'")
            }
        }
        return lines.joined(separator: "\n")
    }
}
