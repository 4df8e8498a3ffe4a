import CAgent

// leash [--grace-ms N] [--hold-fd N] [--report] [--group] -- program arguments…
//
// Runs the program for as long as somebody holds the other end of the pipe on the hold descriptor. By default that is
// standard input, and the program's own is then /dev/null. A parent's death closes its end whatever it died of, which
// no handler in the parent and no PR_SET_PDEATHSIG (it fires when the spawning thread ends) can match.
//
// With --group only the program's process group is held, and a program that ends by itself leaves the rest of it alone:
// compilers leave servers behind that make the next run fast. With --report the hold descriptor is a socket, and the
// holder is told the program's pid on it (four bytes, in this machine's order), or the negated errno of why it could
// not be started.
guard let options = Options(cagent_arguments(), count: Int(cagent_argument_count())) else {
    complain("usage: leash [--grace-ms N] [--hold-fd N] [--report] [--group] -- program arguments…")
    exit(2)
}
Leash.run(options)
