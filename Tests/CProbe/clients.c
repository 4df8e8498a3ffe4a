// The clients of connection tests, which say what came back; see page.c for their server.
//
//   probe ask HOST PORT PATH [N]   N requests on one connection, and the bodies that came back
//   probe again HOST PORT MS       a new connection every MS milliseconds, a line for each: the answer, or "! " and why not
//   probe bulk HOST PORT BYTES     that many bytes there and back in one request, compared by hash
//   probe raw HOST PORT BYTES      the same after an upgrade, in both directions at once, ended one direction at a time
//   probe sink HOST PORT BYTES     sends them after the server has ended its direction
#define _GNU_SOURCE
#include "traffic.h"

#include "cprobe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int dial(const char *host, const char *port, struct traffic_input *input) {
    struct sockaddr_in address = traffic_address(host, port);
    struct timeval patience = {.tv_sec = 60};
    *input = (struct traffic_input){.from = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    setsockopt(input->from, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return connect(input->from, (struct sockaddr *)&address, sizeof address);
}

// Reads the head of an answer and what follows it of a small body.
static int receive(struct traffic_input *input, char *body, size_t room) {
    char text[4096];
    if (traffic_head(input, text, sizeof text) <= 0) {
        if (!errno) errno = ENODATA;
        return -1;
    }
    uint64_t count = traffic_number(text, "content-length: ");
    while (input->end - input->begin < count && count < TRAFFIC_BLOCK)
        if (traffic_more(input) <= 0) return -1;
    size_t part = count < room ? count : room - 1;
    memcpy(body, input->bytes + input->begin, part);
    body[part] = 0;
    input->begin += part;
    return 0;
}

static struct traffic_input answers;

static int ask(const char *host, const char *port, const char *path, int times) {
    char text[512], body[512];
    errno = 0;
    if (dial(host, port, &answers)) return traffic_fail("connect");
    int size = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", path);
    for (int i = 0; i < times; i++) {
        errno = 0;
        if (traffic_put(answers.from, text, (size_t)size) || receive(&answers, body, sizeof body)) return traffic_fail("ask");
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

static int bulk(const char *host, const char *port, uint64_t count) {
    char text[512];
    static unsigned char block[TRAFFIC_BLOCK];
    if (dial(host, port, &answers)) return traffic_fail("connect");
    int size = snprintf(text, sizeof text, "POST /bulk?%llu HTTP/1.1\r\nHost: test\r\nContent-Length: %llu\r\n\r\n",
                        (unsigned long long)count, (unsigned long long)count);
    if (traffic_put(answers.from, text, (size_t)size)) return traffic_fail("send");
    uint64_t sent = traffic_no_bytes, expected = traffic_no_bytes, got = traffic_no_bytes;
    for (uint64_t done = 0; done < count;) {
        size_t part = count - done < TRAFFIC_BLOCK ? count - done : TRAFFIC_BLOCK;
        traffic_fill(block, part, 1, done);
        sent = traffic_hash(sent, block, part);
        if (traffic_put(answers.from, block, part)) return traffic_fail("send");
        traffic_fill(block, part, 2, done);
        expected = traffic_hash(expected, block, part);
        done += part;
    }
    char answer[4096], there[17] = "";
    if (traffic_head(&answers, answer, sizeof answer) <= 0) return traffic_fail("answer");
    while (answers.end - answers.begin < 16)
        if (traffic_more(&answers) <= 0) return traffic_fail("answer");
    memcpy(there, answers.bytes + answers.begin, 16);
    answers.begin += 16;
    for (uint64_t done = 0; done < count;) {
        if (answers.begin == answers.end && traffic_more(&answers) <= 0) return traffic_fail("answer");
        size_t part = answers.end - answers.begin;
        got = traffic_hash(got, answers.bytes + answers.begin, part);
        answers.begin = answers.end;
        done += part;
    }
    if (strtoull(there, NULL, 16) != sent || got != expected) return puts("! other bytes"), 1;
    return puts("same bytes both ways"), 0;
}

struct sending {
    int to;
    uint64_t count;
};

static void *send_all(void *sending) {
    struct sending *what = sending;
    static unsigned char block[TRAFFIC_BLOCK];
    for (uint64_t done = 0; done < what->count;) {
        size_t part = what->count - done < TRAFFIC_BLOCK ? what->count - done : TRAFFIC_BLOCK;
        traffic_fill(block, part, 3, done);
        if (traffic_put(what->to, block, part)) break;
        done += part;
    }
    shutdown(what->to, SHUT_WR);
    return NULL;
}

static int raw(const char *host, const char *port, uint64_t count) {
    char body[512];
    static unsigned char block[TRAFFIC_BLOCK];
    const char *request = "GET /raw HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n";
    if (dial(host, port, &answers)) return traffic_fail("connect");
    if (traffic_put(answers.from, request, strlen(request)) || receive(&answers, body, 1)) return traffic_fail("upgrade");
    struct sending sending = {answers.from, count};
    pthread_t thread;
    pthread_create(&thread, NULL, send_all, &sending);
    uint64_t done = 0;
    ssize_t got = 1;
    while (got > 0) {
        size_t part = answers.end - answers.begin;
        traffic_fill(block, part, 3, done);
        if (memcmp(block, answers.bytes + answers.begin, part)) return puts("! other bytes"), 1;
        answers.begin = answers.end;
        done += part;
        got = traffic_more(&answers);
    }
    if (got < 0) return traffic_fail("echo");
    pthread_join(thread, NULL);
    if (done != count) return printf("! %llu bytes came back\n", (unsigned long long)done), 1;
    return puts("same bytes, and its end"), 0;
}

static int drain(const char *host, const char *port, uint64_t count) {
    if (dial(host, port, &answers)) return traffic_fail("connect");
    if (traffic_put(answers.from, "SINK\n", 5)) return traffic_fail("send");
    ssize_t got;
    while ((got = traffic_more(&answers)) > 0) {}
    if (got < 0) return traffic_fail("hello");
    printf("%.*s\n", (int)(answers.end - answers.begin), (char *)answers.bytes + answers.begin);
    static unsigned char block[TRAFFIC_BLOCK];
    uint64_t sum = traffic_no_bytes;
    for (uint64_t done = 0; done < count;) {
        size_t part = count - done < TRAFFIC_BLOCK ? count - done : TRAFFIC_BLOCK;
        traffic_fill(block, part, 4, done);
        sum = traffic_hash(sum, block, part);
        if (traffic_put(answers.from, block, part)) return traffic_fail("send");
        done += part;
    }
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
