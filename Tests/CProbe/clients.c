// The clients of connection tests, which say what came back; see page.c for their server.
//
//   probe ask HOST PORT PATH [N]   N requests on one connection, and the bodies that came back
//   probe again HOST PORT MS       a new connection every MS milliseconds, a line for each: the answer, or why not
//   probe bulk HOST PORT BYTES     that many bytes there in one request, compared by hash, and as many back, compared
//   probe raw HOST PORT BYTES      the same after an upgrade, in both directions at once, ended one direction at a time
//   probe sink HOST PORT BYTES     sends them after the server has ended its direction
#define _GNU_SOURCE
#include "traffic.h"

#include "cprobe.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct traffic_input answers;

// For whoever asked, why there is no answer stands where the answer would.
static int fail(const char *what) {
    printf("! %s: %s\n", what, strerror(errno));
    return 1;
}

static int dial(const char *host, const char *port) {
    struct sockaddr_in address = traffic_address(host, port);
    answers = (struct traffic_input){.from = traffic_dial(&address, 60)};
    return answers.from < 0;
}

// Reads the head of an answer and what follows it of a small body.
static int receive(char *body, size_t room) {
    char text[4096];
    if (traffic_head(&answers, text, sizeof text) <= 0) {
        if (!errno) errno = ENODATA;
        return -1;
    }
    uint64_t count = traffic_number(text, "content-length: ");
    while (answers.end - answers.begin < count && count < TRAFFIC_BLOCK)
        if (traffic_more(&answers) <= 0) return -1;
    size_t part = count < room ? count : room - 1;
    memcpy(body, answers.bytes + answers.begin, part);
    body[part] = 0;
    answers.begin += part;
    return 0;
}

static int ask(const char *host, const char *port, const char *path, int times) {
    char text[512], body[512];
    errno = 0;
    if (dial(host, port)) return fail("connect");
    int size = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", path);
    for (int i = 0; i < times; i++) {
        errno = 0;
        if (traffic_put(answers.from, text, (size_t)size) || receive(body, sizeof body)) return fail("ask");
        puts(body);
    }
    return 0;
}

__attribute__((noreturn)) static void again(const char *host, const char *port, unsigned milliseconds) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (;;) {
        ask(host, port, "/", 1);
        close(answers.from);
        usleep(milliseconds * 1000);
    }
}

// Takes what has come; whether it goes on with a stream of which so much has come before.
static int is_same(uint64_t seed, uint64_t *done) {
    static unsigned char expected[TRAFFIC_BLOCK];
    const unsigned char *there = answers.bytes + answers.begin;
    size_t count = answers.end - answers.begin;
    traffic_fill(expected, count, seed, *done);
    answers.begin = answers.end;
    *done += count;
    return !memcmp(expected, there, count);
}

static int bulk(const char *host, const char *port, uint64_t count) {
    char text[512], answer[4096], there[17] = "";
    uint64_t sent, done = 0;
    if (dial(host, port)) return fail("connect");
    int size = snprintf(text, sizeof text, "POST /bulk?%llu HTTP/1.1\r\nHost: test\r\nContent-Length: %llu\r\n\r\n",
                        (unsigned long long)count, (unsigned long long)count);
    if (traffic_put(answers.from, text, (size_t)size)) return fail("send");
    if (traffic_send(answers.from, 1, count, &sent)) return fail("send");
    if (traffic_head(&answers, answer, sizeof answer) <= 0) return fail("answer");
    while (answers.end - answers.begin < 16)
        if (traffic_more(&answers) <= 0) return fail("answer");
    memcpy(there, answers.bytes + answers.begin, 16);
    answers.begin += 16;
    int same = strtoull(there, NULL, 16) == sent && is_same(2, &done);
    while (same && done < count) {
        if (traffic_more(&answers) <= 0) return fail("answer");
        same = is_same(2, &done);
    }
    if (!same || done != count) return puts("! other bytes"), 1;
    return puts("same bytes both ways"), 0;
}

static void *send_all(void *count) {
    uint64_t sent;
    if (!traffic_send(answers.from, 3, *(uint64_t *)count, &sent)) shutdown(answers.from, SHUT_WR);
    return NULL;
}

static int raw(const char *host, const char *port, uint64_t count) {
    char body[512];
    const char *request = "GET /raw HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n";
    if (dial(host, port)) return fail("connect");
    if (traffic_put(answers.from, request, strlen(request)) || receive(body, 1)) return fail("upgrade");
    pthread_t thread;
    pthread_create(&thread, NULL, send_all, &count);
    uint64_t done = 0;
    ssize_t got;
    do {
        if (!is_same(3, &done)) return puts("! other bytes"), 1;
        got = traffic_more(&answers);
    } while (got > 0);
    if (got < 0) return fail("echo");
    pthread_join(thread, NULL);
    if (done != count) return printf("! %llu bytes came back\n", (unsigned long long)done), 1;
    return puts("same bytes, and its end"), 0;
}

static int drain(const char *host, const char *port, uint64_t count) {
    struct traffic_opening opening = {'h', 0};
    if (dial(host, port)) return fail("connect");
    if (traffic_put(answers.from, &opening, sizeof opening)) return fail("send");
    ssize_t got;
    while ((got = traffic_more(&answers)) > 0) {}
    if (got < 0) return fail("hello");
    printf("%.*s\n", (int)(answers.end - answers.begin), (char *)answers.bytes + answers.begin);
    uint64_t sum;
    if (traffic_send(answers.from, 4, count, &sum)) return fail("send");
    printf("sink %llu %016llx\n", (unsigned long long)count, (unsigned long long)sum);
    return 0;
}

int cprobe_traffic(int count, char **words) {
    const char *verb = words[1];
    if (!strcmp(verb, "page") && count > 3) return traffic_page(words[2], words[3]);
    if (count > 4) {
        if (!strcmp(verb, "ask")) return ask(words[2], words[3], words[4], count > 5 ? atoi(words[5]) : 1);
        if (!strcmp(verb, "again")) again(words[2], words[3], (unsigned)atoi(words[4]));
        if (!strcmp(verb, "bulk")) return bulk(words[2], words[3], strtoull(words[4], NULL, 10));
        if (!strcmp(verb, "raw")) return raw(words[2], words[3], strtoull(words[4], NULL, 10));
        if (!strcmp(verb, "sink")) return drain(words[2], words[3], strtoull(words[4], NULL, 10));
        if (!strcmp(verb, "load")) return traffic_load(count, words);
    }
    return -1;
}
