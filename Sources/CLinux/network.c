#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clinux.h"

int clinux_network_new(void) { return unshare(CLONE_NEWNET); }

int clinux_network_enter(int fd) { return setns(fd, CLONE_NEWNET); }

static int request(unsigned long code, void *argument) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int result, saved;
    if (fd < 0) return -1;
    result = ioctl(fd, code, argument);
    saved = errno;
    close(fd);
    errno = saved;
    return result;
}

static int named(struct ifreq *interface, const char *name) {
    memset(interface, 0, sizeof *interface);
    if (strlen(name) >= sizeof interface->ifr_name) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(interface->ifr_name, name);
    return 0;
}

static void set(struct sockaddr *address, uint32_t host_order) {
    struct sockaddr_in ip;
    memset(&ip, 0, sizeof ip);
    ip.sin_family = AF_INET;
    ip.sin_addr.s_addr = htonl(host_order);
    memcpy(address, &ip, sizeof ip);
}

int clinux_interface_up(const char *name) {
    struct ifreq interface;
    if (named(&interface, name) < 0 || request(SIOCGIFFLAGS, &interface) < 0) return -1;
    interface.ifr_flags |= IFF_UP;
    return request(SIOCSIFFLAGS, &interface);
}

int clinux_interface_address(const char *name, uint32_t address, int prefix) {
    struct ifreq interface;
    if (named(&interface, name) < 0) return -1;
    set(&interface.ifr_addr, address);
    if (request(SIOCSIFADDR, &interface) < 0) return -1;
    set(&interface.ifr_netmask, prefix ? ~0u << (32 - prefix) : 0);
    return request(SIOCSIFNETMASK, &interface);
}

int clinux_interface_hardware(const char *name, const unsigned char address[6]) {
    struct ifreq interface;
    if (named(&interface, name) < 0) return -1;
    interface.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(interface.ifr_hwaddr.sa_data, address, 6);
    return request(SIOCSIFHWADDR, &interface);
}

int clinux_route_default(uint32_t gateway) {
    struct rtentry route;
    memset(&route, 0, sizeof route);
    set(&route.rt_dst, 0);
    set(&route.rt_genmask, 0);
    set(&route.rt_gateway, gateway);
    route.rt_flags = RTF_UP | RTF_GATEWAY;
    return request(SIOCADDRT, &route);
}

int clinux_bridge_add(const char *name) { return request(SIOCBRADDBR, (void *)name); }

int clinux_bridge_join(const char *bridge, const char *name) {
    struct ifreq interface;
    if (named(&interface, bridge) < 0) return -1;
    interface.ifr_ifindex = (int)if_nametoindex(name);
    return interface.ifr_ifindex ? request(SIOCBRADDIF, &interface) : -1;
}

// A link request of rtnetlink: a header, and attributes that may hold attributes.
struct link_request {
    struct nlmsghdr header;
    struct ifinfomsg info;
    char space[256];
};

static struct rtattr *put(struct link_request *request, unsigned short type, const void *data, size_t size) {
    struct rtattr *attribute = (struct rtattr *)((char *)request + NLMSG_ALIGN(request->header.nlmsg_len));
    attribute->rta_type = type;
    attribute->rta_len = (unsigned short)RTA_LENGTH(size);
    if (size) memcpy(RTA_DATA(attribute), data, size);
    request->header.nlmsg_len = NLMSG_ALIGN(request->header.nlmsg_len) + RTA_ALIGN(attribute->rta_len);
    return attribute;
}

static void close_nest(struct link_request *request, struct rtattr *nest) {
    nest->rta_len = (unsigned short)((char *)request + request->header.nlmsg_len - (char *)nest);
}

static int talk(struct link_request *message) {
    struct sockaddr_nl kernel;
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        char space[512];
    } answer;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    ssize_t count;
    if (fd < 0) return -1;
    memset(&kernel, 0, sizeof kernel);
    kernel.nl_family = AF_NETLINK;
    count = sendto(fd, message, message->header.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof kernel);
    if (count >= 0) {
        do {
            count = recv(fd, &answer, sizeof answer, 0);
        } while (count < 0 && errno == EINTR);
    }
    if (count < 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    close(fd);
    if ((size_t)count < sizeof answer.header + sizeof answer.error || answer.header.nlmsg_type != NLMSG_ERROR) {
        errno = EBADMSG;
        return -1;
    }
    errno = -answer.error.error;
    return answer.error.error ? -1 : 0;
}

int clinux_veth_add(const char *name, const char *peer, int peer_network) {
    struct link_request request;
    struct ifinfomsg none;
    struct rtattr *about, *data, *other;
    if (strlen(name) >= IFNAMSIZ || strlen(peer) >= IFNAMSIZ) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memset(&request, 0, sizeof request);
    memset(&none, 0, sizeof none);
    request.header.nlmsg_len = NLMSG_LENGTH(sizeof request.info);
    request.header.nlmsg_type = RTM_NEWLINK;
    request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    put(&request, IFLA_IFNAME, name, strlen(name) + 1);
    about = put(&request, IFLA_LINKINFO, NULL, 0);
    put(&request, IFLA_INFO_KIND, "veth", 4);
    data = put(&request, IFLA_INFO_DATA, NULL, 0);
    other = put(&request, VETH_INFO_PEER, &none, sizeof none);
    put(&request, IFLA_IFNAME, peer, strlen(peer) + 1);
    put(&request, IFLA_NET_NS_FD, &peer_network, sizeof peer_network);
    close_nest(&request, other);
    close_nest(&request, data);
    close_nest(&request, about);
    return talk(&request);
}
