// Linux system calls that the Glibc module does not show to Swift. Every function returns -1 and sets errno on
// failure, as the call itself does. `_GNU_SOURCE` stays in the .c file, so that this header changes nobody's types.
#ifndef CLINUX_H
#define CLINUX_H
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct clinux_event {
    uint64_t token;
    uint32_t events;
};

#define CLINUX_READABLE 1u
#define CLINUX_WRITABLE 2u
#define CLINUX_HANGUP 4u

/// epoll_create1(EPOLL_CLOEXEC)
int clinux_epoll_create(void);
/// Registers `fd` edge-triggered for reading, writing and hang-up under `token`.
int clinux_epoll_add(int epoll, int fd, uint64_t token);
int clinux_epoll_remove(int epoll, int fd);
/// Waits without a time limit; restarts after a signal. Returns the number of events.
int clinux_epoll_wait(int epoll, struct clinux_event *events, int capacity);

/// pidfd_open(2) (Linux 5.3): readable once the process has ended.
int clinux_pidfd_open(pid_t pid);
/// waitid(P_PIDFD): stores the exit code, or the negated signal number, in `status`.
int clinux_pidfd_wait(int pidfd, int *status);
/// Non-blocking and close-on-exec from birth.
int clinux_accept(int fd);
int clinux_pipe(int ends[2]);
int clinux_set_nonblocking(int fd);
int clinux_set_pdeathsig(int signal);
int clinux_set_subreaper(void);

/// Spawns `path` with close-on-exec semantics: the child's first descriptors are `descriptors`, at most four of them,
/// and all others are closed; the signal mask is empty, every signal is at its default; with `group` non-zero the child
/// leads a process group of its own, and with `session` non-zero a session. Returns 0 or an errno value.
int clinux_spawn(pid_t *pid, const char *path, char *const argv[], char *const envp[], const char *directory,
                 const int *descriptors, int count, int group, int session);

/// lsetxattr(2)
int clinux_set_attribute(const char *path, const char *name, const char *value);
/// Receives one descriptor (SCM_RIGHTS), close-on-exec, from a connected Unix socket.
int clinux_receive_descriptor(int socket);
/// TIOCSWINSZ
int clinux_set_window_size(int terminal, unsigned short columns, unsigned short rows);

/// Puts the calling thread into a network namespace: a new one, or the one that `fd` is of.
int clinux_network_new(void);
int clinux_network_enter(int fd);
/// Interfaces, routes and bridges of the calling thread's network namespace; IPv4 addresses in the host's byte order.
int clinux_interface_up(const char *name);
/// The address of an interface, or of an alias (`lo:1`); on the loopback interface all of its network is local then.
int clinux_interface_address(const char *name, uint32_t address, int prefix);
int clinux_interface_hardware(const char *name, const unsigned char address[6]);
int clinux_route_default(uint32_t gateway);
int clinux_bridge_add(const char *name);
int clinux_bridge_join(const char *bridge, const char *name);
/// A pair of connected interfaces: `name` here, `peer` in the namespace that `peer_network` is a descriptor of.
int clinux_veth_add(const char *name, const char *peer, int peer_network);

struct clinux_listener {
    /// In network order; of an IPv4 address the first four bytes.
    unsigned char address[16];
    uint32_t owner, inode;
    uint16_t port;
    unsigned char is_six;
};

/// The TCP sockets that listen in the calling thread's network namespace (sock_diag(7)): how many there are, of which
/// the first `capacity` are stored.
int clinux_listeners(struct clinux_listener *listeners, int capacity);
/// The user whose process has the other end of a TCP connection within the same network namespace; -1 with ENOENT where
/// no process has it any more.
int clinux_peer_owner(int connection, uint32_t *owner);

/// Installs a handler for `signal` that writes its number as one byte into `fd`.
int clinux_signal_to(int signal, int fd);
int clinux_ignore_signal(int signal);
#endif
