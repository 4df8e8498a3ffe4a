// Both ends of the connections that the benchmark measures.
//
// A connection begins with 16 bytes: what is wanted, and a count. 'e' is an echo until the end, 'x' one of so many
// bytes, after which the server ends first; 'd' counts what comes until the end and answers with it; 's' sends so many
// bytes; 'w' answers with the server's word.
#define _GNU_SOURCE
#include "cprobe.h"

#include <arpa/inet.h>
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
#include <time.h>
#include <unistd.h>

enum { head_size = 16, piece = 16 << 10, large = 256 << 10 };

struct head {
    uint64_t kind, count;
};

static unsigned char spare[large];

static int fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    return 1;
}

static uint64_t nanoseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static struct sockaddr_in address(const char *host, const char *port) {
    struct sockaddr_in result = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    inet_pton(AF_INET, host, &result.sin_addr);
    return result;
}

static int new_socket(int flags) {
    int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0), on = 1;
    if (made >= 0) setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return made;
}

// The server.

struct peer {
    int socket;
    size_t head_got, begin, end;
    uint64_t left;
    int is_over;
    struct head head;
    unsigned char bytes[piece];
};

// Whether the call is to be made again once the socket is ready; the peer is gone otherwise.
static int waits(ssize_t result) { return result < 0 && (errno == EAGAIN || errno == EINTR); }

// Goes on as far as it can; 0 when the peer is done with, or gone.
static int serve_peer(struct peer *peer, const char *word) {
    while (peer->head_got < head_size) {
        ssize_t got = read(peer->socket, (char *)&peer->head + peer->head_got, head_size - peer->head_got);
        if (got <= 0) return waits(got);
        peer->head_got += (size_t)got;
        if (peer->head_got == head_size) peer->left = peer->head.count;
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
    struct sockaddr_in any = address("0.0.0.0", port);
    int listener = new_socket(SOCK_NONBLOCK), on = 1, events = epoll_create1(EPOLL_CLOEXEC);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&any, sizeof any) || listen(listener, 1024)) return fail("listen");
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

static int reach(const struct sockaddr_in *target, struct head head, const void *more, size_t count) {
    char first[head_size + 1024];
    int made = new_socket(0);
    if (made < 0) return -1;
    memcpy(first, &head, head_size);
    memcpy(first + head_size, more, count);
    struct timeval limit = {.tv_sec = 10};
    setsockopt(made, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (!connect(made, (const struct sockaddr *)target, sizeof *target)
        && write(made, first, head_size + count) == (ssize_t)(head_size + count))
        return made;
    close(made);
    return -1;
}

static int read_all(int socket, unsigned char *bytes, size_t count) {
    for (size_t done = 0; done < count;) {
        ssize_t got = read(socket, bytes + done, count - done);
        if (!got) errno = ECONNRESET;
        if (got <= 0) return 0;
        done += (size_t)got;
    }
    return 1;
}

static int ask(const char *host, const char *port, int count, int is_kept) {
    struct sockaddr_in target = address(host, port);
    struct head head = {'e', 0};
    unsigned char answer[64];
    int kept = is_kept ? reach(&target, head, spare, 64) : -1;
    if (is_kept && (kept < 0 || !read_all(kept, answer, 64))) return fail("ask");
    for (int i = 0; i < count; i++) {
        uint64_t began = nanoseconds();
        int socket = is_kept ? kept : reach(&target, head, spare, 64);
        if (socket < 0 || (is_kept && write(socket, spare, 64) != 64)) return fail("ask");
        if (!read_all(socket, answer, 64)) return fail("no answer");
        uint64_t took = nanoseconds() - began;
        printf("%llu.%03llu\n", (unsigned long long)took / 1000, (unsigned long long)took % 1000);
        if (!is_kept) close(socket);
        // Each one alone: what the one before left to do is done.
        usleep(2000);
    }
    return 0;
}

static int push(const char *host, const char *port, uint64_t count) {
    struct sockaddr_in target = address(host, port);
    uint64_t began = nanoseconds(), got = 0;
    int socket = reach(&target, (struct head){'d', 0}, spare, 0);
    if (socket < 0) return fail("push");
    for (uint64_t left = count; left;) {
        ssize_t sent = write(socket, spare, left < sizeof spare ? left : sizeof spare);
        if (sent <= 0) return fail("push");
        left -= (uint64_t)sent;
    }
    shutdown(socket, SHUT_WR);
    if (!read_all(socket, (unsigned char *)&got, 8) || got != count) return fail("not all has come");
    printf("%llu\n", (unsigned long long)(nanoseconds() - began));
    return 0;
}

static int pull(const char *host, const char *port, uint64_t count) {
    struct sockaddr_in target = address(host, port);
    uint64_t began = nanoseconds(), done = 0;
    int socket = reach(&target, (struct head){'s', count}, spare, 0);
    ssize_t got = 0;
    while (socket >= 0 && (got = read(socket, spare, sizeof spare)) > 0) done += (uint64_t)got;
    if (socket < 0 || got < 0 || done != count) return fail("not all has come");
    printf("%llu\n", (unsigned long long)(nanoseconds() - began));
    return 0;
}

static int tell_words(const char *host, const char *port, const char *last_one) {
    struct sockaddr_in target = address(host, port);
    char last[256] = "", word[256];
    for (;;) {
        int socket = reach(&target, (struct head){'w', 0}, spare, 0);
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
        if ((done = write(1, spare, count < sizeof spare ? count : sizeof spare)) <= 0) return fail("write");
    return 0;
}

// Many at once, each with bytes of its own.

struct call {
    int socket;
    uint64_t size, sent, got, out, in;
    int is_exact, is_finished;
};

static uint64_t next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

struct counts {
    unsigned long long done, failed, mixed, bytes;
};

// A byte of the call's content, which nobody else's is like.
static unsigned char content(uint64_t seed, uint64_t place) {
    return (unsigned char)((seed + place * 0x9E3779B97F4A7C15u) >> 56 ^ seed >> 24);
}

static int begin_call(struct call *call, const struct sockaddr_in *target, uint64_t *state, int events) {
    uint64_t seed = next(state);
    // From none to 256 KiB, as many small as large ones in each power of two.
    *call = (struct call){.socket = new_socket(SOCK_NONBLOCK), .size = next(state) & ((1ull << (seed % 19)) - 1)};
    call->out = call->in = seed;
    call->is_exact = seed >> 40 & 3;
    if (call->socket < 0) return 0;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = call};
    epoll_ctl(events, EPOLL_CTL_ADD, call->socket, &event);
    return !connect(call->socket, (const struct sockaddr *)target, sizeof *target) || errno == EINPROGRESS;
}

// 0: goes on; 1: done; 2: lost; 3: bytes that are not its own.
static int go_on(struct call *call) {
    static unsigned char bytes[piece];
    while (!call->is_finished) {
        size_t count = 0;
        if (call->sent < head_size) {
            struct head head = {call->is_exact ? 'x' : 'e', call->size};
            count = head_size - call->sent;
            memcpy(bytes, (char *)&head + call->sent, count);
        } else {
            uint64_t place = call->sent - head_size;
            while (count < piece && place < call->size) bytes[count++] = content(call->out, place++);
        }
        if (!count) {
            call->is_finished = 1;
            // Where the server ends first, no address is left in use here.
            if (!call->is_exact) shutdown(call->socket, SHUT_WR);
            break;
        }
        ssize_t sent = write(call->socket, bytes, count);
        if (sent < 0 && errno != EAGAIN && errno != ENOTCONN) return 2;
        if (sent <= 0) break;
        call->sent += (uint64_t)sent;
    }
    for (;;) {
        ssize_t got = read(call->socket, bytes, piece);
        if (got < 0) return errno == EAGAIN || errno == ENOTCONN ? 0 : 2;
        if (!got) return call->got == call->size && call->is_finished ? 1 : 2;
        for (ssize_t i = 0; i < got; i++)
            if (call->got + (uint64_t)i >= call->size || bytes[i] != content(call->in, call->got + (uint64_t)i))
                return 3;
        call->got += (uint64_t)got;
    }
}

static int load(const char *host, const char *port, int count, int seconds, uint64_t seed) {
    struct sockaddr_in target = address(host, port);
    struct counts counts = {0};
    struct call *calls = calloc((size_t)count, sizeof *calls);
    int events = epoll_create1(EPOLL_CLOEXEC), open = count;
    uint64_t state = seed | 1, began = nanoseconds(), end = began + (uint64_t)seconds * 1000000000;
    struct epoll_event ready[64];
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < count; i++)
        if (!begin_call(calls + i, &target, &state, events)) return fail("connect");
    while (open > 0) {
        int some = epoll_wait(events, ready, 64, 30000);
        // Those that are left have had half a minute.
        if (some <= 0) break;
        for (int i = 0; i < some; i++) {
            struct call *call = ready[i].data.ptr;
            int result = go_on(call);
            if (!result) continue;
            if (result == 1) counts.done++, counts.bytes += call->size;
            if (result == 2) counts.failed++;
            if (result == 3) counts.mixed++;
            close(call->socket);
            if (nanoseconds() >= end) open--;
            else if (!begin_call(call, &target, &state, events)) return fail("connect");
        }
    }
    printf("%llu %llu %llu %llu %llu\n", counts.done, counts.failed + (unsigned)open, counts.mixed, counts.bytes,
           (unsigned long long)(nanoseconds() - began));
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
    if (count > 6 && !strcmp(verb, "burst"))
        return load(first, words[3], atoi(words[4]), atoi(words[5]), strtoull(words[6], NULL, 10));
    return -1;
}
