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

static int ask(int socket, int family) {
    struct {
        struct nlmsghdr header;
        struct inet_diag_req_v2 request;
    } message;
    memset(&message, 0, sizeof message);
    message.header.nlmsg_len = sizeof message;
    message.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    message.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    message.request.sdiag_family = (unsigned char)family;
    message.request.sdiag_protocol = IPPROTO_TCP;
    message.request.idiag_states = 1u << TCP_LISTEN;
    return send(socket, &message, sizeof message, 0) < 0 ? -1 : 0;
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
    int count = ask(netlink, AF_INET);
    if (count == 0) count = take(netlink, listeners, 0, capacity);
    // A kernel without IPv6 has none of these.
    if (count >= 0 && ask(netlink, AF_INET6) == 0) {
        int all = take(netlink, listeners, count, capacity);
        if (all > count) count = all;
    }
    int failure = errno;
    close(netlink);
    errno = failure;
    return count;
}
