#define _GNU_SOURCE
#include "cagent.h"

#include <linux/falloc.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/syscall.h>

// Older libc headers do not name it; the number is the same on every architecture.
#ifndef SYS_openat2
#define SYS_openat2 437
#endif

static int open_flags(int flags) {
    int native = O_CLOEXEC | O_NOCTTY;
    if (flags & CAGENT_WRITE) native |= O_WRONLY;
    if (flags & CAGENT_READWRITE) native |= O_RDWR;
    if (flags & CAGENT_CREATE) native |= O_CREAT;
    if (flags & CAGENT_EXCLUSIVE) native |= O_EXCL;
    if (flags & CAGENT_NOFOLLOW) native |= O_NOFOLLOW;
    if (flags & CAGENT_DIRECTORY) native |= O_DIRECTORY;
    if (flags & CAGENT_HANDLE) native |= O_PATH;
    if (flags & CAGENT_NONBLOCK) native |= O_NONBLOCK;
    return native;
}

int cagent_open(int directory, const char *path, int flags, uint32_t mode) {
    int fd;
    do {
        fd = openat(directory < 0 ? AT_FDCWD : directory, path, open_flags(flags), (mode_t)mode);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

int cagent_open_within(int directory, const char *path, int flags, int resolution) {
    struct open_how how;
    memset(&how, 0, sizeof how);
    // Strict, unlike openat: O_PATH with a flag that has no meaning for it is EINVAL.
    how.flags = (uint64_t)open_flags(flags) & ~(flags & CAGENT_HANDLE ? (uint64_t)O_NOCTTY : 0);
    how.resolve = RESOLVE_NO_MAGICLINKS | (resolution == CAGENT_BENEATH ? RESOLVE_BENEATH : RESOLVE_IN_ROOT);
    long fd;
    int attempts = 0;
    do {
        fd = syscall(SYS_openat2, directory, path, &how, sizeof how);
        // EAGAIN: something was renamed meanwhile, so the kernel could not vouch for a "..".
    } while (fd < 0 && (errno == EINTR || (errno == EAGAIN && attempts++ < 32)));
    return (int)fd;
}

int cagent_exchange(int directory, const char *name, int other_directory, const char *other) {
    // The libc function is missing in older libcs; the flag is RENAME_EXCHANGE.
    return (int)syscall(SYS_renameat2, directory, name, other_directory, other, 2u);
}

int cagent_status_at(int directory, const char *name, struct cagent_status *status) {
    struct stat raw;
    if (fstatat(directory, name, &raw, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0) return -1;
    status->mode = raw.st_mode;
    status->uid = raw.st_uid;
    status->gid = raw.st_gid;
    status->device = raw.st_dev;
    status->inode = raw.st_ino;
    status->size = (uint64_t)raw.st_size;
    status->links = raw.st_nlink;
    status->modified = raw.st_mtim.tv_sec * INT64_C(1000000000) + raw.st_mtim.tv_nsec;
    status->changed = raw.st_ctim.tv_sec * INT64_C(1000000000) + raw.st_ctim.tv_nsec;
    return 0;
}

ssize_t cagent_read_folder(int directory, void *buffer, size_t size) {
    return syscall(SYS_getdents64, directory, buffer, size);
}

static void split_time(int64_t modified, struct timespec times[2]) {
    int64_t seconds = modified / 1000000000, rest = modified % 1000000000;
    // A time before 1970 has nanoseconds that count forward all the same.
    if (rest < 0) {
        rest += 1000000000;
        seconds -= 1;
    }
    times[0] = (struct timespec){.tv_nsec = UTIME_OMIT};
    times[1] = (struct timespec){.tv_sec = seconds, .tv_nsec = rest};
}

int cagent_set_modified(int directory, const char *name, int64_t modified) {
    struct timespec times[2];
    split_time(modified, times);
    return utimensat(directory, name, times, AT_SYMLINK_NOFOLLOW);
}

int cagent_set_modified_of(int fd, int64_t modified) {
    struct timespec times[2];
    split_time(modified, times);
    return futimens(fd, times);
}

int cagent_set_mode(int directory, const char *name, uint32_t mode) {
    return fchmodat(directory, name, (mode_t)mode, 0);
}

int cagent_lock(int fd) {
    int result;
    do {
        result = flock(fd, LOCK_EX);
    } while (result < 0 && errno == EINTR);
    // NFS without its lock service, some FUSE and Lustre mounts: then the writer's name in the file is all there is.
    if (result < 0 && (errno == ENOLCK || errno == ENOSYS || errno == EOPNOTSUPP)) return 0;
    return result;
}

int cagent_hold(int fd) { return flock(fd, LOCK_SH); }

int cagent_is_held(int fd) { return flock(fd, LOCK_EX | LOCK_NB) < 0; }

int cagent_reserve(int fd, uint64_t size) {
    int result;
    do {
        result = fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size);
    } while (result < 0 && errno == EINTR);
    return result < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG) ? -1 : 0;
}

ssize_t cagent_copy(int from, int to, size_t count) {
    return syscall(SYS_copy_file_range, from, NULL, to, NULL, count, 0u);
}

int cagent_set_nonblocking(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int cagent_close_on_exec(int fd) { return fcntl(fd, F_SETFD, FD_CLOEXEC); }

int cagent_set_owner(int directory, const char *name, uint32_t uid, uint32_t gid) {
    return fchownat(directory, name, uid, gid, AT_SYMLINK_NOFOLLOW);
}

int cagent_remove(int directory, const char *name, int folder) {
    return unlinkat(directory, name, folder ? AT_REMOVEDIR : 0);
}

void cagent_unlock(int fd) { flock(fd, LOCK_UN); }
