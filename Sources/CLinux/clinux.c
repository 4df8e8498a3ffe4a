#define _GNU_SOURCE
#include "clinux.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

int clinux_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

int clinux_epoll_add(int epoll, int fd, uint64_t token) {
    struct epoll_event event;
    memset(&event, 0, sizeof event);
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.u64 = token;
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int clinux_epoll_remove(int epoll, int fd) { return epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL); }

int clinux_epoll_wait(int epoll, struct clinux_event *events, int capacity) {
    struct epoll_event raw[64];
    int count;
    if (capacity > 64) capacity = 64;
    do {
        count = epoll_wait(epoll, raw, capacity, -1);
    } while (count < 0 && errno == EINTR);
    for (int i = 0; i < count; i++) {
        uint32_t bits = raw[i].events, out = 0;
        // A peer that closed, or an error, is seen by the next read or write: wake both sides.
        if (bits & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) out |= CLINUX_READABLE;
        if (bits & (EPOLLOUT | EPOLLHUP | EPOLLERR)) out |= CLINUX_WRITABLE;
        if (bits & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) out |= CLINUX_HANGUP;
        events[i].token = raw[i].data.u64;
        events[i].events = out;
    }
    return count;
}

int clinux_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

int clinux_pidfd_wait(int pidfd, int *status) {
    siginfo_t info;
    int result;
    memset(&info, 0, sizeof info);
    do {
        result = waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED);
    } while (result < 0 && errno == EINTR);
    if (result < 0) return -1;
    *status = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
    return 0;
}

int clinux_accept(int fd) { return accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK); }

int clinux_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }

int clinux_set_nonblocking(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int clinux_set_pdeathsig(int signal) { return prctl(PR_SET_PDEATHSIG, signal); }

int clinux_set_subreaper(void) { return prctl(PR_SET_CHILD_SUBREAPER, 1); }

int clinux_spawn(pid_t *pid, const char *path, char *const argv[], char *const envp[], const char *directory,
                 const int *descriptors, int count, int group, int session) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    int error;

    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    if (session) {
        flags |= POSIX_SPAWN_SETSID;
    } else if (group) {
        flags |= POSIX_SPAWN_SETPGROUP;
        posix_spawnattr_setpgroup(&attributes, 0);
    }
    posix_spawnattr_setflags(&attributes, flags);
    if (directory) posix_spawn_file_actions_addchdir_np(&actions, directory);

    // Lift them out of the way of their numbers in the child first: they may be each other's targets. The copies lie
    // above every descriptor that is then closed.
    int lifted[4] = {-1, -1, -1, -1};
    error = count > 4 ? EINVAL : 0;
    for (int i = 0; i < count && !error; i++) {
        lifted[i] = fcntl(descriptors[i], F_DUPFD_CLOEXEC, count);
        if (lifted[i] < 0) error = errno;
    }
    for (int i = 0; i < count && !error; i++) error = posix_spawn_file_actions_adddup2(&actions, lifted[i], i);
    if (!error) error = posix_spawn_file_actions_addclosefrom_np(&actions, count);
    if (!error) error = posix_spawnp(pid, path, &actions, &attributes, argv, envp);
    for (int i = 0; i < 4; i++) {
        if (lifted[i] >= 0) close(lifted[i]);
    }
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

static volatile int signal_targets[65];

static void forward(int signal) {
    int saved = errno;
    unsigned char byte = (unsigned char)signal;
    // A full pipe already holds an unread signal: losing this one loses nothing.
    ssize_t written = write(signal_targets[signal], &byte, 1);
    (void)written;
    errno = saved;
}

int clinux_signal_to(int signal, int fd) {
    struct sigaction action;
    if (signal < 1 || signal > 64) {
        errno = EINVAL;
        return -1;
    }
    signal_targets[signal] = fd;
    memset(&action, 0, sizeof action);
    action.sa_handler = forward;
    action.sa_flags = SA_RESTART;
    sigfillset(&action.sa_mask);
    return sigaction(signal, &action, NULL);
}

int clinux_ignore_signal(int signal) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_IGN;
    return sigaction(signal, &action, NULL);
}

int clinux_set_attribute(const char *path, const char *name, const char *value) {
    return lsetxattr(path, name, value, strlen(value), 0);
}

int clinux_receive_descriptor(int socket) {
    char byte[4096];
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {byte, sizeof byte};
    struct msghdr message;
    struct cmsghdr *header;
    ssize_t count;
    int descriptor;
    memset(&message, 0, sizeof message);
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
    do {
        count = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    } while (count < 0 && errno == EINTR);
    if (count < 0) return -1;
    header = CMSG_FIRSTHDR(&message);
    if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
        header->cmsg_len != CMSG_LEN(sizeof(int))) {
        errno = EBADMSG;
        return -1;
    }
    memcpy(&descriptor, CMSG_DATA(header), sizeof descriptor);
    return descriptor;
}

int clinux_set_window_size(int terminal, unsigned short columns, unsigned short rows) {
    struct winsize size;
    memset(&size, 0, sizeof size);
    size.ws_col = columns;
    size.ws_row = rows;
    return ioctl(terminal, TIOCSWINSZ, &size);
}
