// Both ends of the connections that the benchmark measures.
//
// A connection begins with 16 bytes: what is wanted, and a count. 'e' is an echo until the end, 'x' one of so many
// bytes, after which the server ends first; 'd' counts what comes until the end and answers with it; 's' sends so many
// bytes; 'w' answers with the server's word.
#define _GNU_SOURCE
#include "traffic.h"

#include "cprobe.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { piece = 16 << 10 };

static unsigned char spare[256 << 10];

// The server.

struct peer {
    int socket;
    size_t head_got, begin, end;
    uint64_t left;
    int is_over;
    struct traffic_opening head;
    unsigned char bytes[piece];
};

// Whether the call is to be made again once the socket is ready; the peer is gone otherwise.
static int waits(ssize_t result) { return result < 0 && (errno == EAGAIN || errno == EINTR); }

// Goes on as far as it can; 0 when the peer is done with, or gone.
static int serve_peer(struct peer *peer, const char *word) {
    while (peer->head_got < sizeof peer->head) {
        ssize_t got = read(peer->socket, (char *)&peer->head + peer->head_got, sizeof peer->head - peer->head_got);
        if (got <= 0) return waits(got);
        peer->head_got += (size_t)got;
        if (peer->head_got == sizeof peer->head) peer->left = peer->head.count;
    }
    for (;;) {
        ssize_t done;
        switch (peer->head.kind) {
        case 'd':
            done = read(peer->socket, spare, sizeof spare);
            if (done < 0) return waits(done);
            if (!done) return write(peer->socket, &peer->end, 8) < 0 && 0;
            peer->end += (size_t)done;
            continue;
        case 's':
            if (!peer->left) return 0;
            done = write(peer->socket, spare, peer->left < sizeof spare ? peer->left : sizeof spare);
            if (done <= 0) return waits(done);
            peer->left -= (uint64_t)done;
            continue;
        case 'w': return write(peer->socket, word, strlen(word)) < 0 && 0;
        }
        if (peer->begin < peer->end) {
            done = write(peer->socket, peer->bytes + peer->begin, peer->end - peer->begin);
            if (done <= 0) return waits(done);
            peer->begin += (size_t)done;
            continue;
        }
        if (peer->head.kind == 'x' && !peer->left) {
            if (!peer->is_over) shutdown(peer->socket, SHUT_WR);
            peer->is_over = 1;
        }
        done = read(peer->socket, peer->bytes, piece);
        if (done <= 0) return waits(done);
        if (peer->head.kind == 'x') peer->left -= (uint64_t)done;
        peer->begin = 0;
        peer->end = (size_t)done;
    }
}

static int echo(const char *port, const char *word, const char *milliseconds) {
    char name[256] = "";
    gethostname(name, sizeof name - 1);
    if (!word) word = name;
    if (!strcmp(word, "pid")) snprintf(name, sizeof name, "%d", (int)getpid()), word = name;
    if (milliseconds) usleep((unsigned)atoi(milliseconds) * 1000);
    signal(SIGPIPE, SIG_IGN);
    int listener = traffic_listen("0.0.0.0", port, SOCK_NONBLOCK), on = 1, events = epoll_create1(EPOLL_CLOEXEC);
    if (listener < 0) return traffic_fail("listen");
    struct epoll_event event = {.events = EPOLLIN}, ready[64];
    epoll_ctl(events, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(events, ready, 64, -1);
        for (int i = 0; i < count; i++) {
            struct peer *peer = ready[i].data.ptr;
            int accepted = -1;
            if (!peer) {
                accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (accepted < 0 || !(peer = calloc(1, sizeof *peer))) continue;
                setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                peer->socket = accepted;
                event = (struct epoll_event){.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = peer};
                epoll_ctl(events, EPOLL_CTL_ADD, accepted, &event);
            }
            if (serve_peer(peer, word)) continue;
            close(peer->socket);
            free(peer);
        }
    }
}

// The clients.

static int reach(const struct sockaddr_in *target, uint64_t kind, uint64_t count, size_t more) {
    struct {
        struct traffic_opening opening;
        unsigned char more[64];
    } first = {.opening = {kind, count}};
    int made = traffic_dial(target, 10);
    if (made < 0 || !traffic_put(made, &first, sizeof first.opening + more)) return made;
    close(made);
    return -1;
}

static int ask(const char *host, const char *port, int count, int is_kept) {
    struct sockaddr_in target = traffic_address(host, port);
    unsigned char answer[64];
    int kept = is_kept ? reach(&target, 'e', 0, 64) : -1;
    if (is_kept && (kept < 0 || traffic_get(kept, answer, 64))) return traffic_fail("ask");
    for (int i = 0; i < count; i++) {
        uint64_t began = traffic_now();
        int socket = is_kept ? kept : reach(&target, 'e', 0, 64);
        if (socket < 0 || (is_kept && write(socket, spare, 64) != 64)) return traffic_fail("ask");
        if (traffic_get(socket, answer, 64)) return traffic_fail("no answer");
        uint64_t took = traffic_now() - began;
        printf("%llu.%03llu\n", (unsigned long long)took / 1000, (unsigned long long)took % 1000);
        if (!is_kept) close(socket);
        // Each one alone: what the one before left to do is done.
        usleep(2000);
    }
    return 0;
}

static int push(const char *host, const char *port, uint64_t count) {
    struct sockaddr_in target = traffic_address(host, port);
    uint64_t began = traffic_now(), got = 0;
    int socket = reach(&target, 'd', 0, 0);
    if (socket < 0) return traffic_fail("push");
    for (uint64_t left = count; left;) {
        ssize_t sent = write(socket, spare, left < sizeof spare ? left : sizeof spare);
        if (sent <= 0) return traffic_fail("push");
        left -= (uint64_t)sent;
    }
    shutdown(socket, SHUT_WR);
    if (traffic_get(socket, &got, sizeof got) || got != count) return traffic_fail("not all has come");
    printf("%llu\n", (unsigned long long)(traffic_now() - began));
    return 0;
}

static int pull(const char *host, const char *port, uint64_t count) {
    struct sockaddr_in target = traffic_address(host, port);
    uint64_t began = traffic_now(), done = 0;
    int socket = reach(&target, 's', count, 0);
    ssize_t got = 0;
    while (socket >= 0 && (got = read(socket, spare, sizeof spare)) > 0) done += (uint64_t)got;
    if (socket < 0 || got < 0 || done != count) return traffic_fail("not all has come");
    printf("%llu\n", (unsigned long long)(traffic_now() - began));
    return 0;
}

static int tell_words(const char *host, const char *port, const char *last_one) {
    struct sockaddr_in target = traffic_address(host, port);
    char last[256] = "", word[256];
    for (;;) {
        int socket = reach(&target, 'w', 0, 0);
        struct timeval limit = {.tv_usec = 500000};
        if (socket >= 0) setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        ssize_t got = socket >= 0 ? read(socket, word, sizeof word - 1) : 0;
        word[got > 0 ? got : 0] = 0;
        // The server ends first, so that no port here is left in use.
        while (got > 0 && read(socket, spare, sizeof spare) > 0) {}
        if (socket >= 0) close(socket);
        if (got <= 0) strcpy(word, "none");
        if (strcmp(word, last)) {
            if (printf("%s\n", word) < 0 || fflush(stdout)) return 1;
            strcpy(last, word);
            if (last_one && !strcmp(word, last_one)) return 0;
        }
        // Apart, so that it takes no core from what it waits for.
        usleep(1000);
    }
}

// Standard input and output, for what the stream itself carries.

static int drain(uint64_t count) {
    for (ssize_t got; count && (got = read(0, spare, sizeof spare)) > 0;) count -= (uint64_t)got;
    puts("done");
    return count ? 1 : 0;
}

static int flood(uint64_t count) {
    for (ssize_t done; count; count -= (uint64_t)done)
        if ((done = write(1, spare, count < sizeof spare ? count : sizeof spare)) <= 0) return traffic_fail("write");
    return 0;
}

int cprobe_ends(const char *verb, int count, char **words) {
    const char *first = count > 2 ? words[2] : NULL;
    if (first && !strcmp(verb, "echo")) return echo(first, count > 3 ? words[3] : NULL, count > 4 ? words[4] : NULL);
    if (first && !strcmp(verb, "drain")) return drain(strtoull(first, NULL, 10));
    if (first && !strcmp(verb, "flood")) return flood(strtoull(first, NULL, 10));
    if (count > 3 && !strcmp(verb, "words")) return tell_words(first, words[3], count > 4 ? words[4] : NULL);
    if (count > 4 && !strcmp(verb, "trips")) return ask(first, words[3], atoi(words[4]), count > 5);
    if (count > 4 && !strcmp(verb, "push")) return push(first, words[3], strtoull(words[4], NULL, 10));
    if (count > 4 && !strcmp(verb, "pull")) return pull(first, words[3], strtoull(words[4], NULL, 10));
    return -1;
}
