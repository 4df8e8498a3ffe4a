// The libc headers that the helper and the leash use (Embedded Swift has no Glibc module), and thin wrappers of calls
// that Swift cannot import: variadic ones, macros, and system calls without a libc function. Unless said otherwise a
// function returns -1 and sets errno, as the call itself does; descriptors are close-on-exec from birth.
#ifndef CAGENT_H
#define CAGENT_H
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/// The calling thread's errno, which C spells as a macro that Swift cannot import.
int cagent_errno(void);

// Files (files.c).

struct cagent_status {
    uint32_t mode, uid, gid;
    uint64_t device, inode, size, links;
    int64_t modified, changed;
};

/// Flags for `cagent_open`, combined with the access mode.
#define CAGENT_READ 0
#define CAGENT_WRITE 1
#define CAGENT_CREATE 2
#define CAGENT_NOFOLLOW 4
#define CAGENT_DIRECTORY 8
/// Only a handle (`O_PATH`).
#define CAGENT_HANDLE 16
#define CAGENT_READWRITE 32
/// Does not wait for the other end of a pipe.
#define CAGENT_NONBLOCK 64
/// Fails with EEXIST where something is there.
#define CAGENT_EXCLUSIVE 128

#define CAGENT_BENEATH 1
#define CAGENT_IN_ROOT 2

/// openat(2) relative to `directory`, or to the working directory where that is negative.
int cagent_open(int directory, const char *path, int flags, uint32_t mode);
/// openat2(2) (Linux 5.6) with RESOLVE_NO_MAGICLINKS and the `CAGENT_BENEATH` or `CAGENT_IN_ROOT` resolution.
int cagent_open_within(int directory, const char *path, int flags, int resolution);
/// renameat2(2) with RENAME_EXCHANGE: both names are there before and after.
int cagent_exchange(int directory, const char *name, int other_directory, const char *other);
/// fstatat(2) of the name itself, never of what a link points at; an empty name is the descriptor itself.
int cagent_status_at(int directory, const char *name, struct cagent_status *status);
/// getdents64(2).
ssize_t cagent_read_folder(int directory, void *buffer, size_t size);
/// utimensat(2), nanoseconds since 1970; access time stays.
int cagent_set_modified(int directory, const char *name, int64_t modified);
int cagent_set_modified_of(int fd, int64_t modified);
/// fchmodat(2), which follows links: only for names that are known not to be one.
int cagent_set_mode(int directory, const char *name, uint32_t mode);
/// fchownat(2) of the name itself.
int cagent_set_owner(int directory, const char *name, uint32_t uid, uint32_t gid);
/// unlinkat(2), `folder` for AT_REMOVEDIR.
int cagent_remove(int directory, const char *name, int folder);
/// flock(2), exclusive, waiting; does nothing on a file system without locks.
int cagent_lock(int fd);
void cagent_unlock(int fd);
/// flock(2), shared with whoever else holds it.
int cagent_hold(int fd);
/// Whether somebody holds it, or nobody can tell; if not, it is the caller's alone from now on.
int cagent_is_held(int fd);
/// fallocate(2) of a file's first bytes: fails only where there is no room for them.
int cagent_reserve(int fd, uint64_t size);
/// copy_file_range(2) from and to where the descriptors are.
ssize_t cagent_copy(int from, int to, size_t count);
int cagent_set_nonblocking(int fd);
int cagent_close_on_exec(int fd);

// Processes (process.c).

/// Forks and executes. The child leads a process group of its own, has an empty signal mask, default signals, `stdio` as
/// descriptors 0, 1 and 2 and no others, and dies with this process. Waits up to 0.1 s for a file that is still open for
/// writing. Returns the pid, or -1 with the errno of the step that failed, execution included.
pid_t cagent_spawn(char *const argv[], char *const envp[], const char *directory, const int stdio[3]);
/// Forks and executes `argv` as cagent_execute does, in `directory` or else in this process's. The child leads a process
/// group of its own, which gets the terminal where standard input is one, keeps this process's descriptors but those that
/// close on exec, and dies with this process. Returns at once: `report` reads end of file when the program is executed, or
/// the int errno of why it was not.
pid_t cagent_start(char *const argv[], const char *directory, int *report);
/// execve(2) with a search of PATH, default signals and no shell for what is no program; waits up to 0.1 s for a file that
/// is still open for writing. Returns only when it failed, with errno.
void cagent_execute(char *const argv[]);
/// The value of PATH, or what stands for it.
const char *cagent_search_path(void);
/// What `name` is in the next folder of `rest`, a value of PATH; NULL after the last one.
const char *cagent_next_candidate(const char *name, const char **rest, char *buffer, size_t size);
/// A child that has ended and is not reaped, or 0.
pid_t cagent_ended_child(void);
/// Reaps an ended child (any, for -1) without waiting: its pid, or 0 where none has ended. `code` becomes the exit code,
/// or the negated number of the signal.
pid_t cagent_reap(pid_t child, int *code);
/// Whether a child has ended, without reaping it: its number is nobody else's yet.
int cagent_has_ended(pid_t child);
/// Makes orphaned descendants children of this process.
int cagent_become_subreaper(void);
/// From now on the number of each of these signals is written, as a byte, to the returned descriptor's other end.
int cagent_catch_signals(const int *signals, int count);
void cagent_ignore_signal(int signal);
/// Sends a signal to a process, or with a negative number to a group, and wakes it where it is stopped: it would not
/// notice.
void cagent_ask(pid_t process, int signal);
/// Ends this process by `signal`, without a core file.
void cagent_die_by(int signal);
char **cagent_environment(void);

// Sockets (socket.c); none of them waits.

/// Listens at `path`, in place of whatever is there; only this user may connect.
int cagent_listen(const char *path);
int cagent_accept(int listener);
/// Connects to who listens at `path`.
int cagent_connect(const char *path);
/// Begins to connect to a numeric IPv4 or IPv6 address (EINVAL for anything else): writable when that is decided.
int cagent_dial(const char *host, uint16_t port);
/// How it was decided: 0, or -1 with errno.
int cagent_dialled(int fd);
/// Listens at a port of a numeric address; at `::` for IPv4, too.
int cagent_listen_at(const char *host, uint16_t port);
/// Accepts a connection and tells the peer's numeric address.
int cagent_accept_from(int listener, char *text, unsigned size, uint16_t *port);
/// The numeric address of this end.
int cagent_socket_address(int fd, char *text, unsigned size, uint16_t *port);
/// Small writes go out at once, a peer that is gone is found out, and closing resets: also when this process is killed, so
/// that nobody takes a cut connection for a finished one.
void cagent_prepare_connection(int fd);
/// Whether closing tells the peer that the connection broke (RST), not that all was said (FIN).
void cagent_reset_on_close(int fd, int resets);
/// shutdown(2) of the sending direction.
int cagent_end_sending(int fd);
/// The numeric address that this network's other hosts know this one by, IPv6 if `six`; -1 where there is none.
int cagent_own_address(int six, char *text, unsigned size);

// The rest (system.c).

/// The command line, as `main` gets it.
int cagent_argument_count(void);
char **cagent_arguments(void);

int cagent_pipe(int ends[2]);
/// Monotonic milliseconds.
int64_t cagent_now(void);
/// Milliseconds since a moment that `/proc` tells in ticks after boot.
int64_t cagent_since_ticks(uint64_t ticks);
/// Gives the system the memory that was freed.
void cagent_give_back_memory(void);
uint64_t cagent_random(void);
/// The machine's name as `uname -m` says, static.
const char *cagent_machine(void);
#endif
