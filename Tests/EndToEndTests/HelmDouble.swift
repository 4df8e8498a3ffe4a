import Glibc
import JSON
import TestCluster

/// A double of helm, which is in neither Debian nor PyPI: a script that knows the commands and flags that loopd uses, with
/// the answers and the files of the real one.
///
/// A chart is a folder with `manifest.yaml`, in which `@KEY@` stands for a value and `@revision@` for the revision's number,
/// perhaps `hooks.yaml` with objects in JSON, each in a line of its own, and perhaps `crds`. What it is called with, and its
/// releases, are in a folder of its own. Like the real one it hands its rendering to a post-renderer, from Helm 4 on with the
/// hooks, and applies what that prints; hooks run at each upgrade.
final class HelmDouble: Sendable {
    private let folder: String

    /// A double that says it is of some version.
    init(version: String = "v3.21.4") throws {
        folder = try temporaryFolder("loopd-helm")
        try Disk.folder(Array("\(folder)/state".utf8))
        try Disk.write(Array("\(folder)/helm".utf8), Array(HelmDouble.script.utf8), mode: 0o755)
        try Disk.write(Array("\(folder)/state/version".utf8), Array(version.utf8), mode: 0o644)
    }

    deinit { Disk.remove(folder) }

    /// What leads loopd to it.
    var environment: [String: String] {
        ["PATH": "\(folder):\(variable("PATH") ?? "/usr/bin:/bin")", "HELM_DOUBLE": "\(folder)/state"]
    }

    /// The command lines that it was called with.
    func calls(_ command: String) throws -> [[String]] {
        let text = String(decoding: try Disk.read("\(folder)/state/calls"), as: UTF8.self)
        return text.split(separator: "\u{1}\n").map { $0.split(separator: "\n").map(String.init) }.filter {
            $0.first == command
        }
    }

    /// Lets there be a release, as somebody else has installed it.
    func install(_ manifest: String) throws {
        try Disk.write(Array("\(folder)/state/release.1".utf8), Array(manifest.utf8), mode: 0o644)
        try Disk.write(Array("\(folder)/state/hooks.1".utf8), [], mode: 0o644)
        try Disk.write(Array("\(folder)/state/revision".utf8), Array("1".utf8), mode: 0o644)
    }

    /// Lets there be no release any more.
    func uninstall() throws { Disk.remove("\(folder)/state/revision") }

    /// Lets upgrades fail with this from now on, or not any more.
    func fail(_ words: String?) throws {
        guard let words else { return Disk.remove("\(folder)/state/fail") }
        try Disk.write(Array("\(folder)/state/fail".utf8), Array(words.utf8), mode: 0o644)
    }

    /// Lets the newest revision have another status.
    func setStatus(_ status: String) throws {
        try Disk.write(Array("\(folder)/state/status".utf8), Array(status.utf8), mode: 0o644)
    }

    private static let script = #"""
        #!/bin/sh
        set -eu
        state=$HELM_DOUBLE
        { printf '%s\n' "$@"; printf '\001\n'; } >> "$state/calls"
        major=$(cut -c2 "$state/version")
        command=$1; shift
        case "$command" in get|show) command="$command $1"; shift ;; esac
        cluster= namespace= renderer= arguments= dry= revision= sets= files= one= two=
        while [ $# -gt 0 ]; do
            case "$1" in
                --kubeconfig|--kube-context) [ "$1" = --kubeconfig ] && cluster="$cluster --kubeconfig $2" \
                    || cluster="$cluster --context $2"; shift ;;
                --namespace) namespace=$2; shift ;;
                --post-renderer) renderer=$2; shift ;;
                --post-renderer-args=*) arguments="$arguments ${1#*=}" ;;
                --dry-run=server) dry=yes ;;
                --revision) revision=$2; shift ;;
                --set-json) sets="$sets $2"; shift ;;
                --set-file) sets="$sets ${2%%=*}=$(cat "${2#*=}")"; shift ;;
                --values) files="$files $2"; shift ;;
                --output|--version|--template) shift ;;
                --*) ;;
                *) if [ -z "$one" ]; then one=$1; else two=$1; fi ;;
            esac
            shift
        done
        newest() { cat "$state/revision" 2>/dev/null || echo 0; }
        status() { cat "$state/status" 2>/dev/null || echo deployed; }
        answer() {
            number=${revision:-$(newest)}
            jq -n --arg name "$one" --arg status "$(status)" --argjson version "$number" \
                --rawfile manifest "$state/release.$number" --slurpfile hooks "$state/hooks.$number" \
                '{name: $name, version: $version, info: {status: $status}, manifest: $manifest,
                  hooks: [$hooks[] | {name: .metadata.name, kind, manifest: tojson}]}'
        }
        known() { [ "$(newest)" != 0 ] || { echo "Error: release: not found" >&2; exit 1; }; }
        render() {
            text=$(cat "$1" 2>/dev/null | sed "s|@revision@|$(($(newest) + 1))|g")
            for set in $sets; do text=$(printf '%s' "$text" | sed "s|@${set%%=*}@|${set#*=}|g"); done
            for file in $files; do
                while IFS=': ' read -r key value; do text=$(printf '%s' "$text" | sed "s|@$key@|$value|g"); done < "$file"
            done
            printf '%s\n' "$text"
        }
        apply() {
            # Unlike the real one it deletes nothing that has left the manifest.
            next=$(($(newest) + 1))
            kubectl $cluster -n "$namespace" apply -f "$1" >&2
            cp "$1" "$state/release.$next"
            cp "$2" "$state/hooks.$next"
            if [ -s "$2" ]; then kubectl $cluster -n "$namespace" apply -f "$2" >&2; fi
            echo "$next" > "$state/revision"
            echo deployed > "$state/status"
        }
        case "$command" in
            version) cat "$state/version" ;;
            status) known; answer ;;
            "show crds") cat "$one"/crds/*.yaml 2>/dev/null || true ;;
            "get manifest") known; cat "$state/release.${revision:-$(newest)}" ;;
            history)
                known
                number=1
                entry() {
                    printf '{"revision":%s,"status":"%s","updated":"%s"}' "$number" "$1" \
                        "$(date -u -r "$state/release.$number" +%Y-%m-%dT%H:%M:%S.%NZ)"
                }
                printf '['
                while [ "$number" -lt "$(newest)" ]; do
                    entry superseded; printf ','
                    number=$((number + 1))
                done
                entry "$(status)"; printf ']\n' ;;
            upgrade)
                render "$two/manifest.yaml" > "$state/rendered"
                render "$two/hooks.yaml" | sed "/^$/d" > "$state/hooks"
                if [ -n "$dry" ]; then
                    jq -n --rawfile manifest "$state/rendered" --slurpfile hooks "$state/hooks" \
                        '{manifest: $manifest, hooks: [$hooks[] | {name: .metadata.name, kind, manifest: tojson}]}'
                    exit
                fi
                if [ -f "$state/fail" ]; then
                    echo failed > "$state/status"
                    printf 'WARNING: something else\nError: UPGRADE FAILED: %s\n' "$(cat "$state/fail")" >&2
                    exit 1
                fi
                [ "$major" -lt 4 ] || renderer="$HELM_PLUGINS/$renderer/post-render"
                [ "$major" -lt 4 ] || sed 's/^{/---\n{/' "$state/hooks" >> "$state/rendered"
                "$renderer" $arguments < "$state/rendered" > "$state/changed" 2> "$state/said" || {
                    echo "Error: UPGRADE FAILED: error while running post render: $(cat "$state/said")" >&2; exit 1; }
                if [ "$major" -ge 4 ]; then
                    grep -v '^---' "$state/changed" | jq -c 'select(.metadata.annotations["helm.sh/hook"])' > "$state/hooks"
                    grep -v '^---' "$state/changed" | jq -c 'select(.metadata.annotations["helm.sh/hook"] | not)' \
                        | sed 's/^/---\n/' > "$state/changed.plain"
                    mv "$state/changed.plain" "$state/changed"
                fi
                apply "$state/changed" "$state/hooks"
                answer ;;
            rollback) known; apply "$state/release.$two" "$state/hooks.$two" ;;
            uninstall) known; kubectl $cluster -n "$namespace" delete --wait=false -f "$state/release.$(newest)" >&2
                rm "$state/revision" ;;
            *) echo "Error: the double does not know $command" >&2; exit 1 ;;
        esac
        """#
}
