// The least that carries a connection over an exec stream: what comes at a port goes to standard output, and the other
// way round. It stands beside loopd in the benchmark.
#define _GNU_SOURCE
#include "cprobe.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

// Passes on what is there; 0 at the end.
static int pass(int from, int to) {
    static unsigned char bytes[64 << 10];
    ssize_t got = read(from, bytes, sizeof bytes);
    for (ssize_t done = 0, some; done < got; done += some)
        if ((some = write(to, bytes + done, (size_t)(got - done))) <= 0) return 0;
    return got > 0;
}

int cprobe_bridge(const char *port) {
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&any, sizeof any) || listen(listener, 1)) return perror("listen"), 1;
    fprintf(stderr, "listening\n");
    int connection = accept(listener, NULL, NULL);
    if (connection < 0) return perror("accept"), 1;
    struct pollfd ends[2] = {{.fd = 0, .events = POLLIN}, {.fd = connection, .events = POLLIN}};
    while (ends[0].fd >= 0 && poll(ends, 2, -1) > 0) {
        if (ends[0].revents && !pass(0, connection)) ends[0].fd = -1;
        // The client has said all; its answer is still to come.
        if (ends[1].revents && !pass(connection, 1)) ends[1].fd = -1;
    }
    return 0;
}
