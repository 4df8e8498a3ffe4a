// What the servers and the clients of connections share.
#define _GNU_SOURCE
#include "traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

void traffic_fill(unsigned char *bytes, size_t count, uint64_t seed, uint64_t offset) {
    uint64_t word = 0, known = ~0ull;
    for (size_t i = 0; i < count; i++) {
        uint64_t at = offset + i;
        if (at / 8 != known) {
            known = at / 8;
            word = traffic_mix(seed ^ traffic_mix(known));
        }
        bytes[i] = (unsigned char)(word >> at % 8 * 8);
    }
}

uint64_t traffic_mix(uint64_t value) {
    value += 0x9e3779b97f4a7c15u;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

uint64_t traffic_hash(uint64_t value, const unsigned char *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) value = (value ^ bytes[i]) * 0x100000001b3u;
    return value;
}

int traffic_put(int to, const void *bytes, size_t count) {
    for (const char *next = bytes; count;) {
        ssize_t put = send(to, next, count, MSG_NOSIGNAL);
        if (put <= 0) return -1;
        next += put;
        count -= (size_t)put;
    }
    return 0;
}

int traffic_send(int to, uint64_t seed, uint64_t count, uint64_t *hash) {
    unsigned char block[16 << 10];
    *hash = traffic_no_bytes;
    for (uint64_t done = 0; done < count;) {
        size_t part = count - done < sizeof block ? count - done : sizeof block;
        traffic_fill(block, part, seed, done);
        *hash = traffic_hash(*hash, block, part);
        if (traffic_put(to, block, part)) return -1;
        done += part;
    }
    return 0;
}

int traffic_get(int from, void *bytes, size_t count) {
    for (char *next = bytes; count;) {
        ssize_t got = recv(from, next, count, 0);
        if (!got) errno = ECONNRESET;
        if (got <= 0) return -1;
        next += got;
        count -= (size_t)got;
    }
    return 0;
}

ssize_t traffic_more(struct traffic_input *input) {
    if (input->begin == input->end) input->begin = input->end = 0;
    ssize_t got = recv(input->from, input->bytes + input->end, TRAFFIC_BLOCK - input->end, 0);
    if (got > 0) input->end += (size_t)got;
    return got;
}

int traffic_head(struct traffic_input *input, char *text, size_t room) {
    for (;;) {
        unsigned char *begin = input->bytes + input->begin;
        size_t count = input->end - input->begin;
        unsigned char *end = memmem(begin, count, "\r\n\r\n", 4);
        if (end && (size_t)(end - begin) < room) {
            memcpy(text, begin, (size_t)(end - begin));
            text[end - begin] = 0;
            input->begin += (size_t)(end - begin) + 4;
            return 1;
        }
        ssize_t got = traffic_more(input);
        if (got <= 0) return got == 0 && count == 0 ? 0 : -1;
    }
}

uint64_t traffic_number(const char *text, const char *key) {
    const char *found = strcasestr(text, key);
    return found ? strtoull(found + strlen(key), NULL, 10) : 0;
}

int traffic_fail(const char *what) {
    perror(what);
    return 1;
}

struct sockaddr_in traffic_address(const char *host, const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    inet_pton(AF_INET, host, &address.sin_addr);
    return address;
}

int traffic_listen(const char *host, const char *port, int flags) {
    struct sockaddr_in address = traffic_address(host, port);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    return bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024) ? -1 : listener;
}

int traffic_dial(const struct sockaddr_in *address, int seconds) {
    int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (made < 0) return -1;
    struct timeval patience = {.tv_sec = seconds};
    setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(made, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (!connect(made, (const struct sockaddr *)address, sizeof *address)) return made;
    close(made);
    return -1;
}

uint64_t traffic_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}
