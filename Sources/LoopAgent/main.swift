import CAgent

// LoopAgent serve [--walk] | probe | version
//
// `serve` speaks the protocol on standard input and output (`--walk`: without openat2, as on an old kernel). `probe` shows
// that the program runs here. `version` prints the protocol's version and the executable's hash.
let words = (1..<max(1, Int(cagent_argument_count()))).map { index in
    cagent_arguments()[index].map { Bytes(cString: $0) } ?? []
}
switch words.first {
case Bytes("serve") where words.count == 1 || words[1...] == [Bytes("--walk")]:
    exit(Server.serve(walkOnly: words.count > 1))
case Bytes("probe") where words.count == 1:
    exit(0)
case Bytes("version") where words.count == 1:
    let digest = (try? Executable.digest()) ?? []
    let line = Bytes("LoopAgent ") + Bytes(decimal: UInt64(WireProtocol.version)) + [32] + digest.hexadecimal + [10]
    exit(line.withUnsafeBytes { write(1, $0.baseAddress, $0.count) } == line.count ? 0 : 1)
default:
    let usage: StaticString = "usage: LoopAgent serve [--walk] | probe | version\n"
    _ = write(2, usage.utf8Start, usage.utf8CodeUnitCount)
    exit(2)
}
