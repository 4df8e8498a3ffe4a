#define _GNU_SOURCE
#include "cagent.h"

#include <arpa/inet.h>
#include <netinet/in.h>
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

int cagent_dial(const char *host, uint16_t port) {
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    int is_four = inet_pton(AF_INET, host, &four.sin_addr) == 1;
    if (!is_four && inet_pton(AF_INET6, host, &six.sin6_addr) != 1) {
        errno = EINVAL;
        return -1;
    }
    int fd = new_socket(is_four ? AF_INET : AF_INET6);
    if (fd < 0) return -1;
    int result = is_four ? connect(fd, (struct sockaddr *)&four, sizeof four)
                         : connect(fd, (struct sockaddr *)&six, sizeof six);
    return result < 0 && errno != EINPROGRESS ? failed(fd) : fd;
}

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
