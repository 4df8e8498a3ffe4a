/// Every option of every command: parsing, help and completions all come from this table.
enum Option: String, CaseIterable {
    case file
    case context
    case namespace
    case kubeconfig
    case output
    case verbose
    case noColor = "no-color"
    case noDeploy = "no-deploy"
    case cleanup
    case takeOver = "take-over"
    case host
    case replica
    case fallback
    case debug
    case dryRun = "dry-run"
    case yes
    case all
    case help

    /// As it is written: `--file`.
    var long: String { "--\(rawValue)" }

    /// The one-letter form, where there is one.
    var short: String? {
        switch self {
        case .file: "-f"
        case .namespace: "-n"
        case .output: "-o"
        case .verbose: "-v"
        case .yes: "-y"
        case .help: "-h"
        default: nil
        }
    }

    /// What the value is called in help; `nil` for an option without one.
    func value(for command: Command?) -> String? {
        switch self {
        case .file, .kubeconfig: "PATH"
        case .context, .namespace, .host: "NAME"
        default: choices(for: command).isEmpty ? nil : choices(for: command).joined(separator: "|")
        }
    }

    /// The words that the value may be; empty for any text.
    func choices(for command: Command?) -> [String] {
        switch self {
        case .output where command == .env: ["shell", "json", "dotenv"]
        case .output: ["text", "json"]
        case .replica: ["all", "one"]
        case .fallback: ["wait", "pod"]
        default: []
        }
    }

    /// Whether it may be there several times; its values are then separated by commas.
    var isRepeatable: Bool { self == .host }

    func summary(for command: Command) -> String {
        switch self {
        case .output where command == .env: "lines for a shell, one JSON object, or the lines of a .env file"
        case .file: "the loop.json, or its folder (default: ./loop.json)"
        case .context: "the kubeconfig's context to use, instead of loop.json's"
        case .namespace: "the namespace to use, instead of loop.json's"
        case .kubeconfig: "the kubeconfig to use, instead of loop.json's or KUBECONFIG"
        case .output: "lines for people, or JSON for programs"
        case .verbose: "paths, timings and what loopd decides"
        case .noColor: "no colours (also: NO_COLOR=1, or a pipe)"
        case .noDeploy: "leave manifests alone: do not create the namespace, apply nothing"
        case .cleanup: "remove what was deployed when it ends, as \"loopd undeploy\" does"
        case .takeOver: "take a workload over that another loopd holds"
        case .host: "run this service on this machine, as \"loopd run\" does; several: --host a --host b"
        case .replica: "hand over the connections of all pods, or of one, instead of loop.json's \"replicas\""
        case .fallback: "who answers while the program is down: nobody, or the pod's own service"
        case .debug: "let the program wait for a debugger, where its runtime is known"
        case .dryRun: "only show what would change"
        case .yes: "do not ask"
        case .all: "every workload of the namespace, also those that loop.json does not name"
        case .help: "what this command does"
        }
    }
}
