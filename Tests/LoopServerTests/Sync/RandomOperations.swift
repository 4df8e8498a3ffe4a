import Glibc

/// Numbers that a seed decides (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}

/// Random changes to a folder: files written, replaced, renamed, removed; folders made, moved, removed; links; modes.
struct RandomOperations {
    private let root: String
    private var generator: SeededGenerator

    init(root: String, seed: UInt64) {
        self.root = root
        generator = SeededGenerator(seed: seed)
    }

    /// One operation; it may find nothing to do.
    mutating func step() {
        let path = randomPath()
        switch Int.random(in: 0..<12, using: &generator) {
        case 0...3: write(path)
        case 4: replace(path)
        case 5: unlink(path)
        case 6: rename(path, randomPath())
        case 7: mkdir(path, 0o755)
        case 8: removeTree(path)
        case 9: chmod(path, Bool.random(using: &generator) ? 0o755 : 0o644)
        case 10: symlink("target-\(Int.random(in: 0..<5, using: &generator))", path)
        default: rename(folder(), folder())
        }
    }

    private mutating func name() -> String {
        let names = ["a", "b", "c.txt", "d e", "f\ng", "ü", "h.swp2", "i'j", "k\"l", "-m"]
        return names[Int.random(in: 0..<names.count, using: &generator)]
    }

    private mutating func folder() -> String {
        var path = root
        for _ in 0..<Int.random(in: 1..<3, using: &generator) {
            path += "/dir\(Int.random(in: 0..<4, using: &generator))"
        }
        return path
    }

    private mutating func randomPath() -> String {
        let parent = Bool.random(using: &generator) ? root : folder()
        return "\(parent)/\(Int.random(in: 0..<6, using: &generator) == 0 ? "dir1" : name())"
    }

    private mutating func bytes() -> [UInt8] {
        let sizes = [0, 1, 100, 5_000, 300_000]
        let size = sizes[Int.random(in: 0..<sizes.count, using: &generator)]
        let seed = UInt8.random(in: 0...255, using: &generator)
        return (0..<size).map { UInt8(truncatingIfNeeded: $0) &* 31 &+ seed }
    }

    private mutating func write(_ path: String) {
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard file >= 0 else { return }
        let bytes = bytes()
        _ = Glibc.write(file, bytes, bytes.count)
        close(file)
    }

    private mutating func replace(_ path: String) {
        let draft = "\(root)/.draft-\(Int.random(in: 0..<1_000_000, using: &generator))~"
        write(draft)
        if rename(draft, path) != 0 { unlink(draft) }
    }

    private func removeTree(_ path: String) {
        ScratchTree.remove(path)
    }
}
