import Glibc
import Reactor
import Testing

@Suite("Seeding a volume")
struct SeedTests {
    private func seed(_ from: String, _ to: String, wrapper: [String] = []) async throws -> Output {
        try await Child.run(Launch(wrapper + [Built.helper, "seed", from, to]))
    }

    /// What a tree looks like: path, kind, mode, owner, time, and content or target.
    private func picture(_ root: String) async throws -> String {
        let format = "%P %y %m %U:%G %T@ %l\\n"
        let listed = try await Child.run(Launch(["find", root, "-mindepth", "1", "-printf", format]))
        let hashed = try await Child.run(
            Launch(["sh", "-c", "cd \"$1\" && find . -type f -exec sha256sum {} +", "sh", root]))
        return (listed.text + hashed.text).split(separator: "\n").sorted().joined(separator: "\n")
    }

    private func makeTree(_ root: String) async throws {
        let script = """
            mkdir -p "$1/deep/er" "$1/empty" && cd "$1"
            echo text > plain; echo run > deep/run; chmod 755 deep/run; echo secret > deep/er/secret; chmod 600 deep/er/secret
            head -c 3000000 /dev/urandom > large; : > nothing; printf x > "$(printf 'odd\\n name')"
            ln -s plain link; ln -s /etc/passwd out; ln -s ../nowhere dangling; ln -s deep folder
            mkfifo pipe; chmod 1777 empty; chmod 555 deep/er
            touch -d '2001-02-03 04:05:06.789' plain deep/run large; touch -h -d 2002-02-02 link
            touch -d 2003-03-03 deep deep/er empty
            """
        let made = try await Child.run(Launch(["sh", "-ec", script, "sh", root]))
        #expect(made.status == .exited(0), "\(made.errorText)")
    }

    @Test("files, folders and links come with mode, time and owner; a pipe and what links point at do not")
    func copies() async throws {
        try await withFolder { folder in
            let (from, to) = (folder + "/from", folder + "/to")
            try await makeTree(from)
            if geteuid() == 0 {
                chown(from + "/plain", 1234, 4321)
                chmod(from + "/deep/run", 0o4755)
            }
            Disk.makeFolder(to)
            let result = try await seed(from, to)
            #expect(result.status == .exited(0) && result.errorText == "")
            unlink(from + "/pipe")
            let wanted = try await picture(from)
            #expect(try await picture(to) == wanted)

            // Again, over what an interrupted run leaves, and over what is in the way.
            truncate(to + "/large", 1000)
            Disk.write(to + "/plain", "tEXT\n")
            unlink(to + "/link")
            Disk.makeLink(to + "/link", to: "/elsewhere")
            unlink(to + "/nothing")
            Disk.makeFolder(to + "/nothing")
            Disk.write(to + "/nothing/inside", "")
            await Disk.removeTree(to + "/deep")
            Disk.makeLink(to + "/deep", to: folder)
            #expect(try await seed(from, to).status == .exited(0))
            #expect(try await picture(to) == wanted)
            #expect(Disk.names(folder) == ["from", "to"])
        }
    }

    @Test("a folder that the image lacks leaves the volume empty, a file is copied under its name")
    func edges() async throws {
        try await withFolder { folder in
            Disk.makeFolder(folder + "/to")
            for path in ["/missing", "/missing/deeper"] {
                let missing = try await seed(folder + path, folder + "/to")
                #expect(missing.status == .exited(0) && missing.errorText == "")
            }
            #expect(Disk.names(folder + "/to").isEmpty)
            Disk.write(folder + "/file", "content", mode: 0o750)
            Disk.makeLink(folder + "/link", to: "file")
            #expect(try await seed(folder + "/file", folder + "/to").status == .exited(0))
            #expect(try await seed(folder + "/link", folder + "/to").status == .exited(0))
            #expect(Disk.names(folder + "/to") == ["file", "link"])
            #expect(Disk.text(folder + "/to/link") == "content" && Disk.mode(folder + "/to/file") == 0o750)
            // Through a link, as a workload's path may lead, and with the volume in the tree.
            Disk.makeFolder(folder + "/tree")
            Disk.write(folder + "/tree/a", "1")
            Disk.makeFolder(folder + "/tree/volume")
            Disk.makeLink(folder + "/tree-link", to: "tree")
            #expect(try await seed(folder + "/tree-link", folder + "/tree/volume").status == .exited(0))
            #expect(Disk.names(folder + "/tree/volume") == ["a", "volume"])
            #expect(Disk.names(folder + "/tree/volume/volume").isEmpty)
        }
    }

    @Test("a volume that cannot be written is one line and a failure")
    func unwritable() async throws {
        try await withFolder { folder in
            Disk.makeFolder(folder + "/from")
            Disk.write(folder + "/from/a", "1")
            let missing = try await seed(folder + "/from", folder + "/no/such")
            #expect(missing.status == .exited(1))
            #expect(missing.errorText == "seed: \(folder)/no/such: No such file or directory\n")
            #expect(try await seed(folder + "/from", "/proc").status == .exited(1))
        }
    }

    @Test(
        "as another user: what cannot be read is named and left out, what cannot be kept is not a failure",
        .enabled(if: geteuid() == 0, "needs root"))
    func unreadable() async throws {
        try await withFolder { folder in
            let (from, to) = (folder + "/from", folder + "/to")
            for path in [from, to, from + "/closed"] { Disk.makeFolder(path) }
            Disk.write(from + "/a", "1", mode: 0o4755)
            Disk.write(from + "/secret", "2", mode: 0o600)
            Disk.write(from + "/z", "3")
            chmod(folder, 0o755)
            chmod(to, 0o777)
            chmod(from + "/closed", 0o700)
            let user = ["setpriv", "--reuid=1234", "--regid=1234", "--clear-groups"]
            // Where the user can run it.
            let result = try await Child.run(
                Launch(
                    ["sh", "-c", "exec 9< \"$1\"; shift; exec \"$@\"", "sh", Built.helper] + user
                        + ["/proc/self/fd/9", "seed", from, to]))
            #expect(result.status == .exited(0), "\(result.errorText)")
            let lines = result.errorText.split(separator: "\n").sorted()
            try #require(lines.count == 2)
            #expect(lines[0] == "seed: \(from)/closed: left out: Permission denied")
            #expect(lines[1] == "seed: \(from)/secret: left out: Permission denied")
            #expect(Disk.names(to) == ["a", "z"])
            // Set-user-id only as the owner's own.
            #expect(Disk.mode(to + "/a") == 0o755)
        }
    }

    @Test("a command line is printed as the kernel has it")
    func commandLine() async throws {
        try await Supervised.run("exec sleep 1000") { supervised, folder in
            let pid = supervised.child.pid
            let printed = try await Child.run(Launch([Built.helper, "cmdline", "\(pid)"]))
            #expect(printed.status == .exited(0))
            #expect(printed.standardOutput == Disk.bytes("/proc/\(pid)/cmdline"))
            #expect(printed.standardOutput.split(separator: 0).first?.elementsEqual(Built.helper.utf8) == true)
        }
        let first = try await Child.run(Launch([Built.helper, "cmdline"]))
        #expect(first.standardOutput == Disk.bytes("/proc/1/cmdline"))
        #expect(try await Child.run(Launch([Built.helper, "cmdline", "99999999"])).status == .exited(1))
        #expect(try await Child.run(Launch([Built.helper, "cmdline", "self"])).status == .exited(2))
    }
}
