import Glibc
import JSON
import Testing

@testable import Playground

/// One kubectl command against a real cluster, as it was recorded.
struct Recording: Sendable {
    let arguments: [String]
    let exitCode: Int32
    let output: String
    let errorOutput: String
    /// The last object with managed fields that the server answered with.
    let lastObject: JSON?

    init(_ name: String) throws {
        let recorded = try JSON(parsing: try #require(FileTree.read("\(Self.folder)/kubectl-1.32/\(name).json")))
        arguments = try #require(recorded["command"]?.string).split(separator: " ").dropFirst().map(String.init)
        exitCode = Int32(recorded["exit"]?.integer ?? 0)
        output = recorded["stdout"]?.string ?? ""
        errorOutput = recorded["stderr"]?.string ?? ""
        let answers = (recorded["requests"]?.array ?? []).compactMap { $0["response"]?.string }
        lastObject = answers.compactMap { try? JSON(parsing: $0) }.last { $0.at("metadata", "managedFields") != nil }
    }

    /// The entries of an object's managed fields, without times and identities.
    static func owners(of object: JSON?) -> [String] {
        (object?.at("metadata", "managedFields")?.array ?? []).map { entry in
            var entry = entry
            if entry["time"] != nil { entry["time"] = "TIME" }
            return normal(entry.text)
        }
    }

    static var folder: String {
        let parts = #filePath.split(separator: "/").dropLast(3)
        return "/" + parts.joined(separator: "/") + "/Fixtures/kubernetes-1.36"
    }

    /// The text without what differs from run to run: names' hashes, times, identities, versions, widths of columns.
    static func normal(_ text: String) -> String {
        var text = text
        text.replace(/demo-[a-z0-9]{6,10}-[a-z0-9]{5}\b/, with: "POD")
        text.replace(/demo-[a-z0-9]{6,10}\b/, with: "SET")
        text.replace(/pod-template-hash=[a-z0-9]+/, with: "pod-template-hash=HASH")
        text.replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/, with: "UID")
        text.replace(/[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:]{8}(\.[0-9]+ \+0000|Z)/, with: "TIME")
        text.replace(/[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} \+0000/, with: "DATE")
        text.replace(/\b[0-9]+s\b/, with: "AGE")
        text.replace(/(LIVE|MERGED)-[0-9]+/, with: "FOLDER")
        text.replace(/(resourceVersion"?: )"[0-9]+"/, with: "VERSION")
        text.replace(/(generation"?: |observedGeneration"?: )[0-9]+/, with: "GENERATION")
        text.replace(/\b(lab|playground)\b/, with: "NODE")
        text.replace(/[ ]+/, with: " ")
        text.replace(/-{2,}/, with: "--")
        return text
    }
}
