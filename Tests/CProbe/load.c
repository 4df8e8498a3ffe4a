// Many connections at once, each with bytes and a size of its own that come back from `probe page` or `probe echo`.
//
//   probe load HOST PORT SEED SECONDS COUNT    keeps COUNT connections open, new ones for those that are over, and
//                                              compares each byte. The last line says what became of them, those
//                                              before it why; exit code 1 when one was lost or mixed, or none done
//
// Of eight connections four are ended by the server first, two end their direction and wait for the end of the other,
// one is closed when all has come, one is given up in the middle. Where the server ends first, no port is left in use.
#define _GNU_SOURCE
#include "traffic.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BLOCK = 1 << 14, HEAD = sizeof(struct traffic_opening) };

enum way { SERVER_ENDS, ENDS, CLOSES, GIVES_UP };
static const enum way ways[8] = {SERVER_ENDS, SERVER_ENDS, SERVER_ENDS, SERVER_ENDS, ENDS, ENDS, CLOSES, GIVES_UP};

enum result { GOES_ON, DONE, GIVEN_UP, LOST, MIXED, WITHOUT_PORT };
static unsigned long long results[WITHOUT_PORT + 1], bytes;
static int open_count;

struct flow {
    int is_open, socket;
    enum way way;
    // Of what is sent, the opening is a part.
    uint64_t seed, size, sent, got;
};

static void conclude(struct flow *flow, enum result result) {
    if (result == GOES_ON) return;
    if ((result == LOST || result == MIXED) && results[LOST] + results[MIXED] < 5)
        printf("%s after %llu of %llu bytes, %llu sent, way %d: %s\n", result == LOST ? "lost" : "mixed",
               (unsigned long long)flow->got, (unsigned long long)flow->size, (unsigned long long)flow->sent, flow->way,
               strerror(errno));
    results[result]++;
    bytes += flow->got;
    close(flow->socket);
    flow->is_open = 0;
    open_count--;
}

static void open_flow(struct flow *flow, const struct sockaddr_in *address, int poll, uint64_t seed) {
    uint64_t chance = traffic_mix(seed);
    // From none to 256 KiB, as many small as large ones in each power of two, and some up to 1 MiB.
    int power = chance % 64 ? (int)(chance % 19) : 20, on = 1;
    *flow = (struct flow){.seed = seed, .way = ways[chance >> 32 & 7], .is_open = 1};
    open_count++;
    flow->size = traffic_mix(chance) & ((1ull << power) - 1);
    flow->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setsockopt(flow->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    // Its own ports may be used up for a while: this one is tried again.
    if (connect(flow->socket, (const struct sockaddr *)address, sizeof *address) && errno != EINPROGRESS)
        return conclude(flow, errno == EADDRNOTAVAIL ? WITHOUT_PORT : LOST);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = flow};
    epoll_ctl(poll, EPOLL_CTL_ADD, flow->socket, &event);
}

// The next bytes to send: what is left of the opening, and what follows it.
static size_t compose(const struct flow *flow, unsigned char *block) {
    struct traffic_opening opening = {flow->way == SERVER_ENDS ? 'x' : 'e', flow->size};
    size_t head = flow->sent < HEAD ? HEAD - flow->sent : 0;
    memcpy(block, (char *)&opening + HEAD - head, head);
    uint64_t place = flow->sent + head - HEAD, left = flow->size - place;
    size_t part = left < BLOCK - head ? left : BLOCK - head;
    traffic_fill(block + head, part, flow->seed, place);
    return head + part;
}

static enum result go_on(struct flow *flow) {
    unsigned char block[BLOCK], expected[BLOCK];
    uint64_t total = HEAD + flow->size;
    while (flow->sent < total) {
        ssize_t put = send(flow->socket, block, compose(flow, block), MSG_NOSIGNAL);
        if (put < 0 && errno != EAGAIN) return LOST;
        if (put < 0) break;
        flow->sent += (uint64_t)put;
        if (flow->way == GIVES_UP && flow->sent >= total / 2) return GIVEN_UP;
        if (flow->way == ENDS && flow->sent == total) shutdown(flow->socket, SHUT_WR);
    }
    for (;;) {
        int is_whole = flow->sent == total && flow->got == flow->size;
        if (is_whole && flow->way == CLOSES) return DONE;
        ssize_t got = recv(flow->socket, block, BLOCK, 0);
        if (got < 0) return errno == EAGAIN ? GOES_ON : LOST;
        errno = got ? EBADMSG : ENODATA;
        if (!got) return is_whole ? DONE : LOST;
        traffic_fill(expected, (size_t)got, flow->seed, flow->got);
        if (flow->got + (uint64_t)got > flow->size || memcmp(block, expected, (size_t)got)) return MIXED;
        flow->got += (uint64_t)got;
    }
}

int traffic_load(int words_count, char **words) {
    if (words_count < 7) return -1;
    struct sockaddr_in address = traffic_address(words[2], words[3]);
    uint64_t seed = strtoull(words[4], NULL, 10), began = traffic_now(), now = began, number = 0;
    uint64_t until = began + strtoull(words[5], NULL, 10) * 1000000000;
    int count = atoi(words[6]), poll = epoll_create1(EPOLL_CLOEXEC);
    struct rlimit files = {4096, 4096};
    setrlimit(RLIMIT_NOFILE, &files);
    struct flow *flows = calloc((size_t)count, sizeof *flows);
    // Those that are left after the time have half a minute.
    while ((now = traffic_now()) < until || (open_count && now < until + 30000000000)) {
        struct epoll_event events[256];
        for (int i = 0; i < count; i++)
            if (!flows[i].is_open && now < until) open_flow(&flows[i], &address, poll, traffic_mix(seed + number++));
        int ready = epoll_wait(poll, events, 256, 100);
        for (int i = 0; i < ready; i++) conclude(events[i].data.ptr, go_on(events[i].data.ptr));
    }
    for (int i = 0; i < count; i++) {
        errno = ETIMEDOUT;
        if (flows[i].is_open) conclude(&flows[i], LOST);
    }
    printf("%llu done, %llu given up, %llu lost, %llu mixed, %llu without a port, %llu bytes, %llu ms\n", results[DONE],
           results[GIVEN_UP], results[LOST], results[MIXED], results[WITHOUT_PORT], bytes,
           (unsigned long long)(now - began) / 1000000);
    return results[LOST] || results[MIXED] || !results[DONE];
}
