// Many connections at once, each with bytes and a size of its own that come back from `probe page`.
//
//   probe load HOST PORT SEED SECONDS COUNT    keeps COUNT connections open, new ones for those that are done, and prints
//                                              what became of them; exit code 1 when a byte was lost or another one's
//
// Of eight connections five end their direction and wait for the end of the other, two read all and close, one is given
// up in the middle.
#define _GNU_SOURCE
#include "traffic.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 1 << 14 };

struct flow {
    int socket;
    uint64_t seed, size, sent, got;
    int greeted, way, is_open;
};

static struct {
    unsigned long long done, given_up, bytes, refused, broken, wrong;
} tally;

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static void open_flow(struct flow *flow, const struct sockaddr_in *address, int poll, uint64_t seed) {
    uint64_t chance = traffic_mix(seed), kind = chance % 100;
    uint64_t limit = kind < 50 ? 1 << 10 : kind < 90 ? 64 << 10 : kind < 99 ? 256 << 10 : 1 << 20;
    *flow = (struct flow){.seed = seed, .size = 1 + traffic_mix(chance) % limit, .way = (int)(seed % 8)};
    flow->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connect(flow->socket, (const struct sockaddr *)address, sizeof *address) && errno != EINPROGRESS) {
        // Its own ports may be used up for a while: this one is tried again.
        tally.refused++;
        close(flow->socket);
        return;
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = flow};
    epoll_ctl(poll, EPOLL_CTL_ADD, flow->socket, &event);
    flow->is_open = 1;
}

static void over(struct flow *flow, unsigned long long *count) {
    ++*count;
    tally.bytes += flow->got;
    close(flow->socket);
    flow->is_open = 0;
}

static void lost(struct flow *flow, const char *why) {
    if (tally.broken < 5)
        printf("broken: %s after %llu of %llu bytes, %llu sent: %s\n", why, (unsigned long long)flow->got,
               (unsigned long long)flow->size, (unsigned long long)flow->sent, strerror(errno));
    over(flow, &tally.broken);
}

static void write_some(struct flow *flow, int poll) {
    unsigned char block[BLOCK];
    if (!flow->greeted) {
        ssize_t put = send(flow->socket, "ECHO\n", 5, MSG_NOSIGNAL);
        if (put != 5) {
            if (put >= 0 || errno != EAGAIN) lost(flow, "greeting");
            return;
        }
        flow->greeted = 1;
    }
    while (flow->sent < flow->size) {
        size_t part = flow->size - flow->sent < BLOCK ? flow->size - flow->sent : BLOCK;
        traffic_fill(block, part, flow->seed, flow->sent);
        ssize_t put = send(flow->socket, block, part, MSG_NOSIGNAL);
        if (put < 0) {
            if (errno != EAGAIN) lost(flow, "send");
            return;
        }
        flow->sent += (uint64_t)put;
        if (flow->way == 7 && flow->sent >= flow->size / 2) return over(flow, &tally.given_up);
    }
    if (flow->way < 5) shutdown(flow->socket, SHUT_WR);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = flow};
    epoll_ctl(poll, EPOLL_CTL_MOD, flow->socket, &event);
}

static void read_some(struct flow *flow) {
    unsigned char block[BLOCK], expected[BLOCK];
    ssize_t got = recv(flow->socket, block, BLOCK, 0);
    if (got < 0) {
        if (errno != EAGAIN) lost(flow, "receive");
        return;
    }
    if (got == 0) {
        errno = 0;
        return flow->got == flow->size ? over(flow, &tally.done) : lost(flow, "end");
    }
    traffic_fill(expected, (size_t)got, flow->seed, flow->got);
    if (flow->got + (uint64_t)got > flow->size || memcmp(block, expected, (size_t)got)) return over(flow, &tally.wrong);
    flow->got += (uint64_t)got;
    if (flow->got == flow->size && flow->way >= 5) over(flow, &tally.done);
}

int traffic_load(int words_count, char **words) {
    if (words_count < 7) return -1;
    struct sockaddr_in address = traffic_address(words[2], words[3]);
    uint64_t seed = strtoull(words[4], NULL, 10), began = now(), number = 0;
    uint64_t until = began + strtoull(words[5], NULL, 10) * 1000;
    int count = atoi(words[6]), poll = epoll_create1(EPOLL_CLOEXEC), open = 1;
    struct rlimit files = {4096, 4096};
    setrlimit(RLIMIT_NOFILE, &files);
    struct flow *flows = calloc((size_t)count, sizeof *flows);
    while (open) {
        open = 0;
        for (int i = 0; i < count; i++) {
            if (!flows[i].is_open && now() < until)
                open_flow(&flows[i], &address, poll, traffic_mix(seed + number++));
            open += flows[i].is_open;
        }
        if (now() > until + 30000) break;
        struct epoll_event events[256];
        int ready = epoll_wait(poll, events, 256, 100);
        for (int i = 0; i < ready; i++) {
            struct flow *flow = events[i].data.ptr;
            if (flow->is_open && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) read_some(flow);
            if (flow->is_open && events[i].events & EPOLLOUT) write_some(flow, poll);
        }
    }
    printf("%llu done, %llu given up, %llu bytes, %llu without a port, %llu broken, %llu wrong, %d left, %llu ms\n",
           tally.done, tally.given_up, tally.bytes, tally.refused, tally.broken, tally.wrong, open,
           (unsigned long long)(now() - began));
    return tally.broken || tally.wrong || open || !tally.done;
}
