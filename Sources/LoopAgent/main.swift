import CAgent

// LoopAgent serve [--walk] [--state FOLDER] | supervise [--state FOLDER] [--patience SECONDS] -- COMMAND… | probe … |
// seed FROM TO | cmdline [PID] | version
//
// `serve` speaks the protocol on standard input and output (`--walk`: without openat2, as on an old kernel). `supervise`
// is process 1 of a container in dev mode, whose state lies in FOLDER; a service that ends within SECONDS waits for its
// first follower. `probe` alone shows that the program runs here.
// `seed` fills an empty volume. `cmdline` prints a process's arguments, each ended by a zero byte. `version` prints the
// protocol's version and the executable's hash.
func run() -> Int32? {
    var arguments = Arguments()
    switch arguments.next() {
    case Bytes("serve"): return Server.serve(&arguments)
    case Bytes("supervise"): return Supervisor.supervise(&arguments)
    case Bytes("probe"): return arguments.isEmpty ? 0 : Probe.probe(&arguments)
    case Bytes("seed"): return Seed.seed(&arguments)
    case Bytes("cmdline"): return ProcessStatus.printArguments(&arguments)
    case Bytes("version") where arguments.isEmpty:
        let digest = (try? Executable.digest()) ?? []
        let line = Bytes("LoopAgent ") + Bytes(decimal: UInt64(WireProtocol.version)) + [32] + digest.hexadecimal + [10]
        return line.withUnsafeBytes { write(1, $0.baseAddress, $0.count) } == line.count ? 0 : 1
    default: return nil
    }
}

guard let code = run() else {
    complain(
        Bytes(
            """
            usage: LoopAgent serve [--walk] [--state FOLDER]
                   LoopAgent supervise [--state FOLDER] [--patience SECONDS] -- COMMAND…
                   LoopAgent probe
                   LoopAgent probe [--state FOLDER] [--initial-delay S] [--startup S] [--timeout S] CHECK
                   LoopAgent seed FROM TO
                   LoopAgent cmdline [PID]
                   LoopAgent version
            CHECK: exec -- COMMAND… | http PORT PATH [--host IP] [--header NAME:VALUE]… | tcp PORT [--host IP]
            """))
    exit(2)
}
exit(code)
