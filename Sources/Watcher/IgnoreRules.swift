internal import Glibc

/// What is left out of watching and scanning, in the syntax and with the semantics of `.gitignore`.
///
/// The first of these that says anything about a path decides: the patterns of `watch.ignore`; `.loopignore` files, the
/// innermost first; `.gitignore` files, the innermost first, those above the root up to the repository's top included;
/// the repository's `info/exclude`; the defaults for editors' swap and backup files. A `!` pattern takes a path back, but
/// nothing below an ignored folder can be taken back, as in git. `.git` is always left out. The user's own
/// `core.excludesFile` is not read: what a service holds must not depend on whose machine it is. The root itself is
/// never ignored.
///
/// Ignore files at and below the root are read when they are needed; what lies above it is read once, here, and again by
/// `reread`.
public struct IgnoreRules: Sendable {
    /// The root's absolute path, without links where it exists.
    let root: [UInt8]
    /// The way from the repository's top to the root.
    private let prefix: [ArraySlice<UInt8>]
    private let above: IgnoreScope?
    private let options: IgnoreFile
    private let exclude: IgnoreFile
    /// The folders outside the root that hold ignore files which count within it.
    let outerFolders: [[UInt8]]

    /// Reads what lies above `root`; `patterns` are those of `watch.ignore`, relative to the root.
    public init(root: String, patterns: [String] = []) throws(WatchError) {
        for pattern in patterns where pattern.utf8.count > 4_096 || pattern.utf8.contains(0) {
            throw .pattern(pattern)
        }
        self.init(root: realPath(root) ?? absolutePath(root), options: IgnoreFile(lines: patterns))
    }

    private init(root: [UInt8], options: IgnoreFile) {
        self.root = root
        self.options = options
        let names = root.split(separator: slash)
        guard let top = Self.repositoryTop(names) else {
            (prefix, above, exclude, outerFolders) = ([], nil, IgnoreFile(), [])
            return
        }
        prefix = Array(names[top...])
        var folders = (0..<prefix.count).map { Self.path(names[..<(top + $0)]) }
        var scope: IgnoreScope?
        for (depth, folder) in folders.enumerated() {
            scope = IgnoreScope.entering(folder.isEmpty ? [slash] : folder, depth: depth, outer: scope)
        }
        above = scope
        let information = Self.information(Self.path(names[..<top]))
        exclude =
            contents(of: information + [slash] + Array(Self.excludeName.utf8)).map(IgnoreFile.init(contents:))
            ?? IgnoreFile()
        folders.append(information)
        outerFolders = folders
    }

    /// The same rules, with what lies above the root as it is now.
    public func reread() -> IgnoreRules { IgnoreRules(root: root, options: options) }

    /// Whether what lies above the root says the same in both.
    func isSameAbove(_ other: IgnoreRules) -> Bool {
        outerFolders == other.outerFolders && exclude == other.exclude && IgnoreScope.sameChain(above, other.above)
    }

    /// Whether an entry of this name, in one of `outerFolders` or in the root, can change what lies above the root.
    static func isOuterSource(_ name: some Collection<UInt8>) -> Bool {
        IgnoreScope.isIgnoreFile(name) || name.elementsEqual(excludeName.utf8) || name.elementsEqual(gitName.utf8)
    }

    /// Whether a path is one of an ignore file, so that other paths in its folder may be left out once it is touched.
    public static func isIgnoreFile(_ path: RelativePath) -> Bool { IgnoreScope.isIgnoreFile(path.lastComponent) }

    /// Whether a path is left out, because of itself or of a folder above it.
    public func isIgnored(_ path: RelativePath, isDirectory: Bool) -> Bool {
        guard let folder = path.parent else { return false }
        guard let scope = scope(within: folder) else { return true }
        return isIgnored(path, isDirectory: isDirectory, in: scope)
    }

    /// The scope within a folder that is not ignored; nil when it is.
    func scope(within folder: RelativePath) -> Scope? {
        var scope = rootScope()
        var place = RelativePath.root
        for name in folder.components {
            place = place.appending(name)
            guard !isIgnored(place, isDirectory: true, in: scope) else { return nil }
            scope = self.scope(entering: place, from: scope)
        }
        return scope
    }

    /// The scope within the root.
    func rootScope() -> Scope {
        Scope(files: IgnoreScope.entering(root, depth: prefix.count, outer: above))
    }

    /// The scope within a folder whose own entry is in `scope`.
    func scope(entering folder: RelativePath, from scope: Scope) -> Scope {
        let depth = prefix.count + folder.components.count
        let absolute = root + [slash] + folder.bytes
        return Scope(files: IgnoreScope.entering(absolute, depth: depth, outer: scope.files))
    }

    /// Whether one entry of a folder that is not ignored itself is left out.
    func isIgnored(_ path: RelativePath, isDirectory: Bool, in scope: Scope) -> Bool {
        let own = path.components
        guard let name = own.last else { return false }
        if name.elementsEqual(Self.gitName.utf8) { return true }
        let full = prefix + own
        return options.verdict(own[...], isDirectory: isDirectory)
            ?? scope.files?.verdict(full, isDirectory: isDirectory)
            ?? exclude.verdict(full[...], isDirectory: isDirectory)
            ?? Self.defaults.verdict(own[...], isDirectory: isDirectory)
            ?? false
    }

    /// The ignore files that hold within one folder.
    struct Scope: Sendable {
        let files: IgnoreScope?

        func isSame(as other: Scope) -> Bool { IgnoreScope.same(files, other.files) }
    }

    /// What editors and desktops leave beside a file while they work on it.
    static let defaults = IgnoreFile(lines: [
        ".*.sw[a-px]", ".*.sw[a-p]x", ".sw[a-px]",  // vim: swap files, also while it looks how long a name may be
        "4913", "*~",  // vim: its probe for a writable folder, backups
        ".#*", "\\#*#",  // emacs: locks, automatic saves
        "*___jb_tmp___", "*___jb_old___",  // JetBrains: both halves of a safe write
        ".*.kate-swp", ".goutputstream-*", ".~lock.*#", ".DS_Store",
    ])

    /// How many names lead to the folder that holds `.git`; nil when no folder on the way does.
    private static func repositoryTop(_ names: [ArraySlice<UInt8>]) -> Int? {
        (0...names.count).reversed().first { count in
            var status = stat()
            return (path(names[..<count]) + Array("/.git".utf8)).withCString { lstat($0, &status) } == 0
        }
    }

    private static func path(_ names: ArraySlice<ArraySlice<UInt8>>) -> [UInt8] {
        names.flatMap { [slash] + $0 }
    }

    static let gitName = ".git"
    private static let excludeName = "exclude"

    /// The folder in which `exclude` is.
    ///
    /// In a worktree or submodule `.git` is a file that names the real folder, and that folder's `commondir` the one
    /// that all worktrees share.
    private static func information(_ repository: [UInt8]) -> [UInt8] {
        var folder = repository + Array("/.git".utf8)
        if let pointer = contents(of: folder), pointer.starts(with: "gitdir: ".utf8) {
            folder = joined(repository, line(pointer.dropFirst(8)))
            if let common = contents(of: folder + Array("/commondir".utf8)) {
                folder = joined(folder, line(common[...]))
            }
        }
        return folder + Array("/info".utf8)
    }

    private static func line(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        text.prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }
    }

    private static func joined(_ base: [UInt8], _ path: ArraySlice<UInt8>) -> [UInt8] {
        path.first == slash ? Array(path) : base + [slash] + path
    }
}
