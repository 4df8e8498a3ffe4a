import Testing

@testable import LoopServer

/// What loaders really printed: Debian 12's glibc 2.36 and musl 1.2.3.
@Suite("What loaders print") struct LoaderOutputTests {
    struct Recording: CustomTestStringConvertible {
        var name: String
        var text: String
        var libraries: [String] = []
        var versions: [LoaderOutput.MissingVersion] = []
        var symbols: [String] = []

        var testDescription: String { name }
    }

    static let program = "/srv/prog"

    static let recordings = [
        Recording(
            name: "glibc: all there",
            text: """
                \tlinux-vdso.so.1 (0x00007f41b0729000)
                \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f41b052c000)
                \t/lib64/ld-linux-x86-64.so.2 (0x00007f41b072b000)
                """),
        Recording(
            name: "glibc: --list without a library",
            text: """
                /srv/prog: error while loading shared libraries: libfoo.so.1: cannot open shared object file: \
                No such file or directory
                """,
            libraries: ["libfoo.so.1"]),
        Recording(
            name: "glibc: traced without a library",
            text: """
                \tlinux-vdso.so.1 (0x00007fda2deb0000)
                \tlibfoo.so.1 => not found
                \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007fda2dcb8000)
                \t/lib64/ld-linux-x86-64.so.2 (0x00007fda2deb2000)
                """,
            libraries: ["libfoo.so.1"]),
        Recording(
            name: "glibc: an older C library, with exit code 0",
            text: """
                /srv/prog: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by /srv/prog)
                \tlinux-vdso.so.1 (0x00007f11cfc75000)
                \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f11cfa7d000)
                \t/lib64/ld-linux-x86-64.so.2 (0x00007f11cfc77000)
                """,
            versions: [.init(library: "/lib/x86_64-linux-gnu/libc.so.6", version: "GLIBC_2.38")]),
        Recording(
            name: "glibc: an older library of another kind",
            text: "./progbar: old/libbar.so.1: version `FOO_2.0' not found (required by ./progbar)",
            versions: [.init(library: "old/libbar.so.1", version: "FOO_2.0")]),
        Recording(name: "glibc: static-pie", text: "\tstatically linked"),
        Recording(
            name: "glibc: the program itself cannot be opened",
            text: """
                /srv/prog: error while loading shared libraries: /srv/prog: cannot open shared object file: \
                No such file or directory
                """),
        Recording(
            name: "glibc: a mount that lets nothing run",
            text: """
                /srv/prog: error while loading shared libraries: /srv/prog: failed to map segment from shared object
                """),
        Recording(
            name: "glibc: no ELF file",
            text: "/srv/prog: error while loading shared libraries: /srv/prog: invalid ELF header"),
        Recording(name: "musl: all there", text: "\t/lib/ld-musl-x86_64.so.1 (0x7f9a09148000)"),
        Recording(
            name: "musl: without a library",
            text: """
                \t/lib/ld-musl-x86_64.so.1 (0x7f6e7987a000)
                Error loading shared library libfoo.so.1: No such file or directory (needed by /srv/prog)
                Error relocating /srv/prog: foo: symbol not found
                """,
            libraries: ["libfoo.so.1"]),
        Recording(
            name: "musl: a program of glibc's",
            text: """
                \t/lib64/ld-linux-x86-64.so.2 (0x7f9cd3000)
                \tlibc.so.6 => /lib64/ld-linux-x86-64.so.2 (0x7f9cd3000)
                Error relocating /bin/true: __printf_chk: symbol not found
                Error relocating /bin/true: error: symbol not found
                Error relocating /bin/true: __fprintf_chk: symbol not found
                """,
            symbols: ["__printf_chk", "error", "__fprintf_chk"]),
        Recording(
            name: "musl: the program itself cannot be opened",
            text: "/lib/ld-musl-x86_64.so.1: cannot load /srv/prog: No such file or directory"),
        Recording(
            name: "musl: a mount that lets nothing run",
            text: "/lib/ld-musl-x86_64.so.1: /srv/prog: Not a valid dynamic program"),
    ]

    @Test("only what is really missing counts", arguments: recordings)
    func read(_ recording: Recording) {
        let output = LoaderOutput(recording.text, program: Self.program)
        #expect(output.libraries == recording.libraries)
        #expect(output.versions == recording.versions)
        #expect(output.symbols == recording.symbols)
    }

    @Test("glibc's own words give its version")
    func version() {
        let words = "GNU C Library (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36.\nCopyright (C) 2022"
        #expect(LoaderOutput.glibcVersion(words) == "2.36")
        #expect(LoaderOutput.glibcVersion("musl libc") == nil)
    }
}
