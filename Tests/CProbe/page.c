// The server of connection tests, the same in a pod and on a machine of its own.
//
//   probe page PORT WORD   serves at PORT of every address until it is ended. HTTP/1.1 with keep-alive: `/` is "WORD PID",
//                          `/env?NAME` a variable, `/exit?N` ends the program with that code, `/bulk?N` takes a body and
//                          answers with its hash and N bytes, `Upgrade: raw` echoes what follows. A connection that
//                          begins with "ECHO\n" is echoed to its end; of one with "SINK\n" the server says "hello", ends
//                          its own direction, and prints what it got. What is typed is printed as "typed: …"
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

static int echo(struct traffic_input *input) {
    for (;;) {
        if (traffic_put(input->from, input->bytes + input->begin, input->end - input->begin)) return -1;
        input->begin = input->end = 0;
        ssize_t got = traffic_more(input);
        if (got <= 0) return (int)got;
    }
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
    if (is_bulk) {
        uint64_t sum = traffic_no_bytes;
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
    unsigned char block[4096];
    for (uint64_t done = 0; done < count;) {
        size_t part = count - done < sizeof block ? count - done : sizeof block;
        traffic_fill(block, part, 2, done);
        if (traffic_put(input->from, block, part)) return -1;
        done += part;
    }
    return 0;
}

static void *attend(void *connection) {
    struct traffic_input *input = connection;
    char request[4096];
    while (traffic_head(input, request, sizeof request) > 0) {
        if (!strcmp(request, "SINK")) {
            sink(input);
            break;
        }
        int is_raw = strcasestr(request, "\nupgrade: raw") != NULL;
        const char *switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n";
        if (is_raw && traffic_put(input->from, switching, strlen(switching))) break;
        if (is_raw || !strcmp(request, "ECHO")) {
            echo(input);
            break;
        }
        if (answer(input, request)) break;
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
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024))
        return traffic_fail("listen");
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
