import JSON
import TestCluster

/// A double of kluctl, which is in neither Debian nor PyPI: a script that knows the commands and flags that loopd uses.
///
/// A project is a folder with `.kluctl.yaml`, perhaps with a line `discriminator: NAME`, and perhaps with `objects.json`,
/// which it applies. Like the real one it finds again what it has applied by a label with the discriminator, and only so. It
/// writes down how it is called, and with which kubeconfig.
final class KluctlDouble: Sendable {
    private let folder: String

    init() throws {
        folder = try temporaryFolder("loopd-kluctl")
        try Disk.write(Array("\(folder)/kluctl".utf8), Array(KluctlDouble.script.utf8), mode: 0o755)
    }

    deinit { Disk.remove(folder) }

    /// What leads loopd to it.
    var environment: [String: String] {
        ["PATH": "\(folder):\(variable("PATH") ?? "/usr/bin:/bin")", "KLUCTL_CALLS": "\(folder)/calls"]
    }

    /// Its command lines, after each the kubeconfig.
    func calls() throws -> [String] {
        String(decoding: try Disk.read("\(folder)/calls"), as: UTF8.self).split(separator: "\n").map(String.init)
    }

    private static let script = #"""
        #!/bin/sh
        set -eu
        { echo "$@"; echo "$KUBECONFIG"; } >> "$KLUCTL_CALLS"
        command=$1; shift
        project= context= discriminator= dry=
        while [ $# -gt 0 ]; do
            case "$1" in
                --project-dir) project=$2; shift ;;
                --context) context=$2; shift ;;
                --discriminator) discriminator=$2; shift ;;
                -t) shift ;;
                --dry-run) dry=yes ;;
                --yes|--prune) ;;
                *) echo "unknown flag: $1" >&2; exit 1 ;;
            esac
            shift
        done
        [ -e "$project/.kluctl.yaml" ] || [ -e "$project/deployment.yaml" ] || exit 1
        [ -n "$discriminator" ] || discriminator=$(sed -n 's/^discriminator: //p' "$project/.kluctl.yaml")
        if [ "$command" != delete ]; then
            [ -n "$discriminator" ] || echo "No discriminator configured. Orphan object detection will not work" >&2
            if [ "$command" = deploy ] && [ -e "$project/objects.json" ]; then
                jq --arg name "${discriminator:-none}" '.items[].metadata.labels = {"kluctl.io/discriminator": $name}' \
                    "$project/objects.json" | kubectl --context "$context" apply -f - >&2
            fi
            echo "kluctl says $command"
            exit
        fi
        if [ -z "$discriminator" ]; then
            printf '\nErrors:\n  deletion without a discriminator is not supported\n'
            echo "command failed" >&2
            exit 1
        fi
        found=$(kubectl --context "$context" get configmaps -A -l "kluctl.io/discriminator=$discriminator" -o json)
        names=$(printf %s "$found" | jq -r '.items[].metadata | "  \(.namespace)/ConfigMap/\(.name)"')
        [ -z "$names" ] || printf 'The following objects will be deleted:\n%s\n' "$names" >&2
        [ -n "$dry" ] || printf %s "$found" | kubectl --context "$context" delete -f - >&2
        """#
}
