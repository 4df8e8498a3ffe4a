// The least that carries a connection over an exec stream: what comes at a port goes to standard output, and the other
// way round. It stands beside loopd in the benchmark.
#define _GNU_SOURCE
#include "traffic.h"

#include "cprobe.h"

#include <poll.h>
#include <stdio.h>
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
    int listener = traffic_listen("0.0.0.0", port, 0);
    if (listener < 0) return traffic_fail("listen");
    fprintf(stderr, "listening\n");
    int connection = accept(listener, NULL, NULL);
    if (connection < 0) return traffic_fail("accept");
    struct pollfd ends[2] = {{.fd = 0, .events = POLLIN}, {.fd = connection, .events = POLLIN}};
    while (ends[0].fd >= 0 && poll(ends, 2, -1) > 0) {
        if (ends[0].revents && !pass(0, connection)) ends[0].fd = -1;
        // The client has said all; its answer is still to come.
        if (ends[1].revents && !pass(connection, 1)) ends[1].fd = -1;
    }
    return 0;
}
