import Testing

@testable import Watcher

@Suite("File systems that do not report changes")
struct FileSystemNoticeTests {
    private static let mounts = """
        22 1 0:20 / / rw,relatime - ext4 /dev/vda rw
        23 22 0:21 / /home/me/mac rw,relatime shared:1 - virtiofs mount0 rw
        24 22 0:22 / /mnt/c rw - 9p C:\\134 rw,aname=drvfs
        25 22 0:23 / /srv/with\\040space rw - fuse.sshfs host:/x rw
        26 22 0:24 / /srv/nfs rw shared:2 master:3 - nfs4 host:/y rw
        27 22 0:25 / /srv/over rw - nfs host:/z rw
        28 27 0:26 / /srv/over rw - ext4 /dev/vdb rw
        29 22 0:27 / /lima rw - 9p lima0 rw
        30 22 0:28 / /docker rw - fuse.grpcfuse grpcfuse rw
        31 22 0:29 / /user rw - fuse.encfs x rw
        broken line
        """

    @Test(
        "the mount that the root is on, or that lies below it, is named",
        arguments: [
            ("/home/me/project", nil),
            ("/home/me/mac/project", "/home/me/mac is a shared folder of a virtual machine (virtiofs)"),
            ("/home/me", "/home/me/mac is a shared folder of a virtual machine (virtiofs)"),
            ("/home/me/macintosh", nil), ("/mnt/c/Users", "/mnt/c is a Windows drive under WSL (9p)"),
            ("/srv/with space", "/srv/with space is a folder of another machine (sshfs)"),
            ("/srv/nfs/a", "/srv/nfs is a folder of another machine (NFS)"), ("/srv/over/a", nil),
            ("/lima", "/lima is a shared folder of a virtual machine (9p)"),
            ("/docker", "/docker is a shared folder of a virtual machine (fuse.grpcfuse)"),
            ("/user", "/user is a user-space file system (fuse.encfs)"),
        ] as [(String, String?)])
    func named(root: String, start: String?) throws {
        let notice = FileSystems.notice(mounts: Array(Self.mounts.utf8), root: Array(root.utf8))
        guard let start else {
            #expect(notice == nil)
            return
        }
        let text = try #require(notice)
        #expect(text.hasPrefix(start + ":"))
        #expect(text.contains("\"poll\""))
    }

    @Test("this machine's own list of mounts can be read")
    func own() {
        #expect(contents(of: Array("/proc/self/mountinfo".utf8))?.isEmpty == false)
    }
}
