#define _GNU_SOURCE
#include "cagent.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

static int local_address(const char *path, struct sockaddr_un *address) {
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof address->sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address->sun_path, path);
    return 0;
}

static int new_socket(int family) { return socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

static int failed(int fd) {
    int failure = errno;
    close(fd);
    errno = failure;
    return -1;
}

int cagent_listen(const char *path) {
    struct sockaddr_un address;
    if (local_address(path, &address) < 0) return -1;
    int fd = new_socket(AF_UNIX);
    if (fd < 0) return -1;
    // Linux gives the mode of the socket to the name it is bound to, so that it is never open to others.
    if (fchmod(fd, 0600) < 0) return failed(fd);
    if (unlink(path) < 0 && errno != ENOENT) return failed(fd);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 64) < 0) return failed(fd);
    return fd;
}

int cagent_accept(int listener) { return accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK); }

int cagent_connect(const char *path) {
    struct sockaddr_un address;
    if (local_address(path, &address) < 0) return -1;
    int fd = new_socket(AF_UNIX);
    if (fd < 0) return -1;
    return connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ? failed(fd) : fd;
}

/// An address of either family.
union address {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
};

/// Reads a numeric address; returns its length, or 0 with errno.
static socklen_t numeric_address(const char *host, uint16_t port, union address *address) {
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, host, &address->four.sin_addr) == 1) {
        address->four.sin_family = AF_INET;
        address->four.sin_port = htons(port);
        return sizeof address->four;
    }
    if (inet_pton(AF_INET6, host, &address->six.sin6_addr) == 1) {
        address->six.sin6_family = AF_INET6;
        address->six.sin6_port = htons(port);
        return sizeof address->six;
    }
    errno = EINVAL;
    return 0;
}

/// Writes an address as text; one of IPv4 that a socket of IPv6 sees, as of IPv4.
static int address_text(const union address *address, char *text, unsigned size, uint16_t *port) {
    const void *bytes = &address->four.sin_addr;
    int family = address->any.sa_family;
    if (family == AF_INET6) {
        bytes = &address->six.sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(&address->six.sin6_addr)) {
            bytes = &address->six.sin6_addr.s6_addr[12];
            family = AF_INET;
        }
    }
    // Both kinds have the port at the same place.
    *port = ntohs(address->four.sin_port);
    return inet_ntop(family, bytes, text, size) ? 0 : -1;
}

int cagent_dial(const char *host, uint16_t port) {
    union address address;
    socklen_t length = numeric_address(host, port, &address);
    if (!length) return -1;
    int fd = new_socket(address.any.sa_family);
    if (fd < 0) return -1;
    return connect(fd, &address.any, length) < 0 && errno != EINPROGRESS ? failed(fd) : fd;
}

int cagent_listen_at(const char *host, uint16_t port) {
    union address address;
    socklen_t length = numeric_address(host, port, &address);
    if (!length) return -1;
    int fd = new_socket(address.any.sa_family);
    if (fd < 0) return -1;
    int on = 1, off = 0;
    // Connections of whoever listened here before may linger.
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address.any.sa_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    return bind(fd, &address.any, length) < 0 || listen(fd, 512) < 0 ? failed(fd) : fd;
}

int cagent_accept_from(int listener, char *text, unsigned size, uint16_t *port) {
    union address address;
    socklen_t length = sizeof address;
    int fd = accept4(listener, &address.any, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return -1;
    return address_text(&address, text, size, port) < 0 ? failed(fd) : fd;
}

int cagent_socket_address(int fd, char *text, unsigned size, uint16_t *port) {
    union address address;
    socklen_t length = sizeof address;
    return getsockname(fd, &address.any, &length) < 0 ? -1 : address_text(&address, text, size, port);
}

void cagent_prepare_connection(int fd) {
    int on = 1, idle = 60, interval = 15, count = 4;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    cagent_reset_on_close(fd, 1);
}

void cagent_reset_on_close(int fd, int resets) {
    struct linger linger = {.l_onoff = resets, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

int cagent_end_sending(int fd) { return shutdown(fd, SHUT_WR); }

int cagent_own_address(int six, char *text, unsigned size) {
    // Connecting a datagram socket sends nothing: it asks the kernel which address would be used.
    int fd = socket(six ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(9)};
    struct sockaddr_in6 other = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
    inet_pton(AF_INET, "192.0.2.1", &four.sin_addr);
    inet_pton(AF_INET6, "2001:db8::1", &other.sin6_addr);
    struct sockaddr *address = six ? (struct sockaddr *)&other : (struct sockaddr *)&four;
    socklen_t length = six ? sizeof other : sizeof four;
    if (connect(fd, address, length) < 0 || getsockname(fd, address, &length) < 0) return failed(fd);
    close(fd);
    const void *bytes = six ? (const void *)&other.sin6_addr : (const void *)&four.sin_addr;
    return inet_ntop(six ? AF_INET6 : AF_INET, bytes, text, size) ? 0 : -1;
}

int cagent_dialled(int fd) {
    int failure = 0;
    socklen_t size = sizeof failure;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size) < 0) return -1;
    errno = failure;
    return failure ? -1 : 0;
}
