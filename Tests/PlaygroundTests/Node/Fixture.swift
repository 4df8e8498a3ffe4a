import Glibc
import JSON
import Testing

@testable import Playground

/// The recordings of a real cluster.
enum Fixture {
    static func json(_ name: String, file: String = #filePath) throws -> JSON {
        let tests = Disk.parent(of: Disk.parent(of: Disk.parent(of: file)))
        return try JSON(parsing: Disk.read("\(tests)/Fixtures/kubernetes-1.36/\(name)"))
    }
}

/// Makes a link to `/`.
func symlinkToRoot(at path: String) -> Bool { symlink("/", path) == 0 }
