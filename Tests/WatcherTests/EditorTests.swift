import Glibc
import Testing

@testable import Watcher

/// One save is one batch that names the file and nothing that the editor left beside it.
@Suite("Editors' saves", .timeLimit(.minutes(5)))
struct EditorTests {
    private func oneSave(of name: String = "file.py", also extra: Set<String> = [], by save: (Disk) throws -> Void)
        async throws
    {
        try await WatchedFolder.ready(WatchedFolder.patient, prepare: { try $0.write(name, "one\n") }) { folder, disk in
            try save(disk)
            let batch = try await folder.batch()
            #expect(batch.names.contains(name))
            #expect(batch.names.subtracting(extra) == [name])
            #expect(try await folder.changes().names.subtracting(extra).subtracting([name]).isEmpty)
            #expect(folder.batches <= 2)
            #expect(!disk.read(name).isEmpty)
        }
    }

    @Test(
        "vim, both ways to write", .enabled(if: Disk.has("vim")),
        arguments: ["set backup", "set nobackup nowritebackup", "set backupcopy=yes", "set backupcopy=no"])
    func vim(setting: String) async throws {
        try await oneSave {
            try $0.shell("vim -N -u NONE -i NONE -es -c '\(setting)' -c 'normal ccnew' -c wq file.py </dev/null")
        }
    }

    @Test("vim's swap files are not named, whatever the file is called", arguments: ["file.py", "Makefile", ".env"])
    func vimSwap(name: String) async throws {
        try await oneSave(of: name) { disk in
            // As `inotifywait` shows it for vim 9: with a dot in the file's name the probe ends in `.swx`, else in `.swpx`.
            let hidden = name.hasPrefix(".") ? name : ".\(name)"
            for swap in ["\(hidden).swp", "\(hidden).swpx", "\(hidden).swx"] { try disk.write(swap) }
            try disk.remove("\(hidden).swpx")
            try disk.remove("\(hidden).swx")
            try disk.write(name, "two\n")
            try disk.remove("\(hidden).swp")
        }
    }

    @Test("emacs", .enabled(if: Disk.has("emacs")), arguments: ["nil", "t"])
    func emacs(copying: String) async throws {
        try await oneSave {
            try $0.shell(
                "emacs -Q --batch --eval '(setq backup-by-copying \(copying) create-lockfiles t)' file.py"
                    + " --eval '(insert \"new\")' -f save-buffer")
        }
    }

    @Test(
        "in place by other tools: one batch, the last content",
        arguments: [
            "perl -pi -e s/one/two/ file.py", "cp -a ../two file.py", "tar xf ../two.tar", "dd of=file.py <../two",
        ])
    func tools(command: String) async throws {
        try await WatchedFolder.ready(
            WatchedFolder.patient,
            prepare: {
                try $0.write("file.py", "one\n")
                try $0.shell("echo two > ../two && cp ../two ../file.py && tar cf ../two.tar -C .. file.py")
            }
        ) { folder, disk in
            try disk.shell(command)
            #expect(disk.read("file.py") == "two\n")
            #expect(try await folder.batch().names.contains("file.py"))
            #expect(try await folder.changes().isEmpty)
        }
    }

    @Test("sed -i")
    func sed() async throws {
        // sed's temporary file has an ordinary name, so it may be named too; nothing is there when one looks.
        try await WatchedFolder.ready(WatchedFolder.patient, prepare: { try $0.write("file.py", "one\n") }) {
            folder, disk in
            try disk.shell("sed -i s/one/two/ file.py")
            let batch = try await folder.batch()
            #expect(batch.names.contains("file.py"))
            #expect(batch.names.allSatisfy { $0 == "file.py" || $0.hasPrefix("sed") })
            #expect(try await folder.changes().isEmpty)
        }
    }

    @Test("VS Code: truncates and writes in place")
    func code() async throws {
        try await oneSave { disk in
            let descriptor = try disk.open("file.py", flags: O_WRONLY | O_CREAT | O_TRUNC)
            try disk.append("first half, ", to: descriptor)
            try disk.append("second half", to: descriptor)
            fsync(descriptor)
            close(descriptor)
        }
    }

    @Test("VS Code with atomic saves: writes beside and renames over")
    func codeAtomic() async throws {
        try await oneSave(also: ["file.py.vsctmp"]) { disk in
            try disk.write("file.py.vsctmp", "new")
            try disk.move("file.py.vsctmp", "file.py")
        }
    }

    @Test("JetBrains: a safe write keeps the old file until the new one is in place")
    func jetBrains() async throws {
        try await oneSave { disk in
            try disk.write("file.py___jb_tmp___", "new")
            try disk.move("file.py", "file.py___jb_old___")
            try disk.move("file.py___jb_tmp___", "file.py")
            try disk.remove("file.py___jb_old___")
        }
    }

    @Test("a file is removed and linked anew, as some editors do it")
    func removeAndLink() async throws {
        try await oneSave { disk in
            try disk.write("file.py~", "new")
            try disk.remove("file.py")
            try disk.shell("ln file.py~ file.py && rm file.py~")
        }
    }

    @Test("git: a branch switch names what differs, and nothing of git's own", .enabled(if: Disk.has("git")))
    func branchSwitch() async throws {
        let git = "git -c user.name=n -c user.email=e@example.org -c advice.detachedHead=false"
        try await WatchedFolder.ready(prepare: { disk in
            try disk.shell(
                """
                git init -q -b one . && mkdir -p src/old && for i in $(seq 50); do echo $i > src/f$i; echo $i > src/old/g$i; done
                echo same > same && \(git) add -A && \(git) commit -qm one && git checkout -q -b two
                rm -r src/old && mkdir -p src/new/deep && for i in $(seq 40); do echo new > src/f$i; echo $i > src/new/deep/h$i; done
                \(git) add -A && \(git) commit -qm two && git checkout -q one
                """)
        }) { folder, disk in
            try disk.shell("git checkout -q two")
            let there = try await folder.changes()
            for number in 1...40 {
                #expect(there.covers(RelativePath("src/f\(number)")))
                #expect(there.covers(RelativePath("src/new/deep/h\(number)")))
                #expect(there.covers(RelativePath("src/old/g\(number)")))
            }
            #expect(!there.covers(RelativePath("same")))
            #expect(!there.names.contains { $0.hasPrefix(".git") })
            try disk.shell("git checkout -q one")
            let back = try await folder.changes()
            #expect(back.covers(RelativePath("src/old/g50")) && back.covers(RelativePath("src/new/deep/h1")))
            try disk.write("src/old/g1", "edited")
            #expect(try await folder.changes().names == ["src/old/g1"])
            try disk.shell("\(git) stash -q")
            #expect(try await folder.changes().covers(RelativePath("src/old/g1")))
            #expect(disk.read("src/old/g1") == "1\n")
            try disk.shell("\(git) stash pop -q")
            #expect(try await folder.changes().covers(RelativePath("src/old/g1")))
        }
    }
}
