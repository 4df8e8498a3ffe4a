/// The ignore files that hold within one folder: its own and those of the folders above it.
///
/// Folders without ignore files share the scope of the folder above.
final class IgnoreScope: Sendable {
    private let outer: IgnoreScope?
    /// How many components lie between the repository's top and this folder.
    private let depth: Int
    private let git: IgnoreFile
    private let loop: IgnoreFile

    init(outer: IgnoreScope?, depth: Int, git: IgnoreFile, loop: IgnoreFile) {
        self.outer = outer
        self.depth = depth
        self.git = git
        self.loop = loop
    }

    /// The scope within `folder`, which lies `depth` components below the repository's top, from the files on disk.
    static func entering(_ folder: [UInt8], depth: Int, outer: IgnoreScope?) -> IgnoreScope? {
        func read(_ name: String) -> IgnoreFile {
            // Not through a link, as git has it: the file would say different things in the index and on disk.
            contents(of: folder + [slash] + Array(name.utf8), followLinks: false).map(IgnoreFile.init(contents:))
                ?? IgnoreFile()
        }
        let git = read(Self.gitName)
        let loop = read(Self.loopName)
        guard !git.isEmpty || !loop.isEmpty else { return outer }
        return IgnoreScope(outer: outer, depth: depth, git: git, loop: loop)
    }

    /// What the chosen files say, the innermost first; `components` begin at the repository's top.
    private func verdict(
        _ components: [ArraySlice<UInt8>], _ isDirectory: Bool, _ file: (IgnoreScope) -> IgnoreFile
    ) -> Bool? {
        var scope: IgnoreScope? = self
        while let here = scope {
            let verdict = file(here).verdict(components.dropFirst(here.depth), isDirectory: isDirectory)
            if let verdict { return verdict }
            scope = here.outer
        }
        return nil
    }

    /// What every `.loopignore`, then every `.gitignore` says.
    func verdict(_ components: [ArraySlice<UInt8>], isDirectory: Bool) -> Bool? {
        verdict(components, isDirectory) { $0.loop } ?? verdict(components, isDirectory) { $0.git }
    }

    /// Whether two readings of one folder's files say the same.
    static func same(_ one: IgnoreScope?, _ other: IgnoreScope?) -> Bool {
        guard let one, let other else { return one == nil && other == nil }
        return one === other || (one.depth == other.depth && one.git == other.git && one.loop == other.loop)
    }

    /// Whether two readings of a folder's files and of those of all folders above it say the same.
    static func sameChain(_ one: IgnoreScope?, _ other: IgnoreScope?) -> Bool {
        var (one, other) = (one, other)
        while same(one, other) {
            if one == nil { return true }
            (one, other) = (one?.outer, other?.outer)
        }
        return false
    }

    static let gitName = ".gitignore"
    static let loopName = ".loopignore"

    /// Whether a file of this name holds ignore patterns.
    static func isIgnoreFile(_ name: some Collection<UInt8>) -> Bool {
        name.first == UInt8(ascii: ".") && (name.elementsEqual(gitName.utf8) || name.elementsEqual(loopName.utf8))
    }
}
