#define _GNU_SOURCE
#include "clinux.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int ask(int socket, int family, int flags, unsigned states, struct inet_diag_sockid id) {
    struct {
        struct nlmsghdr header;
        struct inet_diag_req_v2 request;
    } message;
    memset(&message, 0, sizeof message);
    message.header.nlmsg_len = sizeof message;
    message.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    message.header.nlmsg_flags = (unsigned short)(NLM_F_REQUEST | flags);
    message.request.sdiag_family = (unsigned char)family;
    message.request.sdiag_protocol = IPPROTO_TCP;
    message.request.idiag_states = states;
    message.request.id = id;
    return send(socket, &message, sizeof message, 0) < 0 ? -1 : 0;
}

static int ask_listeners(int socket, int family) {
    return ask(socket, family, NLM_F_DUMP, 1u << TCP_LISTEN, (struct inet_diag_sockid){0});
}

static void note(const struct inet_diag_msg *found, struct clinux_listener *listener) {
    listener->is_six = found->idiag_family == AF_INET6;
    memcpy(listener->address, found->id.idiag_src, sizeof listener->address);
    listener->port = ntohs(found->id.idiag_sport);
    listener->owner = found->idiag_uid;
    listener->inode = found->idiag_inode;
}

/// Adds the answer to the last question; returns the new count.
static int take(int socket, struct clinux_listener *listeners, int count, int capacity) {
    char buffer[16384] __attribute__((aligned(NLMSG_ALIGNTO)));
    for (;;) {
        // The kernel answers within the call: this never waits for anyone.
        ssize_t got = recv(socket, buffer, sizeof buffer, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -1;
        unsigned left = (unsigned)got;
        for (struct nlmsghdr *header = (struct nlmsghdr *)buffer; NLMSG_OK(header, left);
             header = NLMSG_NEXT(header, left)) {
            if (header->nlmsg_type == NLMSG_DONE) return count;
            if (header->nlmsg_type == NLMSG_ERROR) {
                errno = -((struct nlmsgerr *)NLMSG_DATA(header))->error;
                return -1;
            }
            if (count < capacity) note(NLMSG_DATA(header), listeners + count);
            count++;
        }
    }
}

int clinux_listeners(struct clinux_listener *listeners, int capacity) {
    int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (netlink < 0) return -1;
    int count = ask_listeners(netlink, AF_INET);
    if (count == 0) count = take(netlink, listeners, 0, capacity);
    // A kernel without IPv6 has none of these.
    if (count >= 0 && ask_listeners(netlink, AF_INET6) == 0) {
        int all = take(netlink, listeners, count, capacity);
        if (all > count) count = all;
    }
    int failure = errno;
    close(netlink);
    errno = failure;
    return count;
}

static int name_end(const struct sockaddr_storage *name, __be32 address[4], __be16 *port) {
    // Both kinds have the port at the same place.
    const struct sockaddr_in *four = (const struct sockaddr_in *)name;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)name;
    *port = four->sin_port;
    if (name->ss_family == AF_INET) memcpy(address, &four->sin_addr, sizeof four->sin_addr);
    else if (name->ss_family == AF_INET6) memcpy(address, &six->sin6_addr, sizeof six->sin6_addr);
    else return -1;
    return 0;
}

int clinux_peer_owner(int connection, uint32_t *owner) {
    struct sockaddr_storage own, peer;
    socklen_t own_size = sizeof own, peer_size = sizeof peer;
    struct inet_diag_sockid id = {.idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}};
    if (getsockname(connection, (struct sockaddr *)&own, &own_size)
        || getpeername(connection, (struct sockaddr *)&peer, &peer_size))
        return -1;
    if (name_end(&peer, id.idiag_src, &id.idiag_sport) || name_end(&own, id.idiag_dst, &id.idiag_dport)) {
        errno = EAFNOSUPPORT;
        return -1;
    }
    int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (netlink < 0) return -1;
    char buffer[1024] __attribute__((aligned(NLMSG_ALIGNTO)));
    ssize_t got = -1;
    if (ask(netlink, own.ss_family, 0, ~0u, id) == 0) {
        do got = recv(netlink, buffer, sizeof buffer, 0);
        while (got < 0 && errno == EINTR);
    }
    int failure = errno, result = -1;
    close(netlink);
    struct nlmsghdr *header = (struct nlmsghdr *)buffer;
    if (got >= 0 && !NLMSG_OK(header, (unsigned)got)) failure = EPROTO;
    else if (got >= 0 && header->nlmsg_type == NLMSG_ERROR) failure = -((struct nlmsgerr *)NLMSG_DATA(header))->error;
    else if (got >= 0) {
        const struct inet_diag_msg *found = NLMSG_DATA(header);
        *owner = found->idiag_uid;
        // One that its process has closed stays for a while, as if it were root's.
        if (found->idiag_inode) result = 0;
        else failure = ENOENT;
    }
    errno = failure;
    return result;
}
