// The server of connection tests, the same in a pod and on a machine of its own.
//
//   probe page PORT WORD   serves at PORT of every address until it is ended. HTTP/1.1 with keep-alive: `/` is
//                          "WORD PID", `/env?NAME` a variable, `/exit?N` ends the program with that code, `/bulk?N`
//                          takes a body and answers with its hash and N bytes, `Upgrade: raw` echoes what follows. With
//                          an opening of the kind 'e' or 'x' a connection is echoed as by `probe echo`; with 'h' the
//                          server says "hello", ends its own direction, and prints what it got. What is typed is
//                          printed as "typed: …"
#define _GNU_SOURCE
#include "traffic.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *word;

// Echoes to the end; after so many bytes this side has said all.
static void echo(struct traffic_input *input, uint64_t left) {
    do {
        size_t part = input->end - input->begin;
        if (traffic_put(input->from, input->bytes + input->begin, part)) return;
        input->begin = input->end = 0;
        if (!(left -= part)) shutdown(input->from, SHUT_WR);
    } while (traffic_more(input) > 0);
}

static void sink(struct traffic_input *input) {
    traffic_put(input->from, "hello", 5);
    shutdown(input->from, SHUT_WR);
    uint64_t sum = traffic_no_bytes, total = 0;
    ssize_t got;
    do {
        sum = traffic_hash(sum, input->bytes + input->begin, input->end - input->begin);
        total += input->end - input->begin;
        input->begin = input->end = 0;
        got = traffic_more(input);
    } while (got > 0);
    printf("sink %llu %016llx%s\n", (unsigned long long)total, (unsigned long long)sum, got ? " broken" : "");
}

static int answer(struct traffic_input *input, const char *request) {
    char body[512] = "", text[1024];
    int is_bulk = !strncmp(request, "POST /bulk?", 11);
    uint64_t count = is_bulk ? strtoull(request + 11, NULL, 10) : 0;
    char path[256] = "";
    sscanf(request, "%*15s %255s", path);
    uint64_t sum = traffic_no_bytes;
    if (is_bulk) {
        for (uint64_t left = traffic_number(request, "content-length: "); left;) {
            if (input->begin == input->end && traffic_more(input) <= 0) return -1;
            size_t there = input->end - input->begin, part = there < left ? there : left;
            sum = traffic_hash(sum, input->bytes + input->begin, part);
            input->begin += part;
            left -= part;
        }
        snprintf(body, sizeof body, "%016llx", (unsigned long long)sum);
    } else if (!strncmp(path, "/env?", 5)) {
        const char *value = getenv(path + 5);
        snprintf(body, sizeof body, "%s", value ? value : "(not set)");
    } else if (!strncmp(path, "/exit?", 6)) {
        _exit(atoi(path + 6));
    } else {
        snprintf(body, sizeof body, "%s %d", word, (int)getpid());
    }
    int size = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %llu\r\n\r\n%s",
                        (unsigned long long)(strlen(body) + count), body);
    if (traffic_put(input->from, text, (size_t)size)) return -1;
    return traffic_send(input->from, 2, count, &sum);
}

static void converse(struct traffic_input *input) {
    char request[4096];
    const char *switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n";
    while (traffic_head(input, request, sizeof request) > 0) {
        if (strcasestr(request, "\nupgrade: raw")) {
            if (!traffic_put(input->from, switching, strlen(switching))) echo(input, UINT64_MAX);
            return;
        }
        if (answer(input, request)) return;
    }
}

static void *attend(void *connection) {
    struct traffic_input *input = connection;
    struct traffic_opening opening;
    // No request is shorter.
    while (input->end < sizeof opening && traffic_more(input) > 0) {}
    memcpy(&opening, input->bytes, sizeof opening);
    if (input->end >= sizeof opening && opening.kind > UINT8_MAX) {
        converse(input);
    } else if (input->end >= sizeof opening) {
        input->begin = sizeof opening;
        if (opening.kind == 'h') sink(input);
        else echo(input, opening.kind == 'x' ? opening.count : UINT64_MAX);
    }
    close(input->from);
    free(input);
    return NULL;
}

static void *type(void *unused) {
    char line[256];
    while (fgets(line, sizeof line, stdin)) printf("typed: %s", line);
    return unused;
}

int traffic_page(const char *port, const char *name) {
    word = name;
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    int listener = traffic_listen("0.0.0.0", port, 0);
    if (listener < 0) return traffic_fail("listen");
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 128 << 10);
    pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
    pthread_t thread;
    pthread_create(&thread, &small, type, NULL);
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        if (connection < 0) continue;
        struct traffic_input *input = calloc(1, sizeof *input);
        input->from = connection;
        if (pthread_create(&thread, &small, attend, input)) {
            close(connection);
            free(input);
        }
    }
}
