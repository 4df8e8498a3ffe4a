// Makes a process slow: it runs a part of the time, until standard input ends, so that whoever asked for it may die of
// anything.
#define _GNU_SOURCE
#include "traffic.h"

#include "cprobe.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>

static int has_ended(long microseconds) {
    struct timespec time = {.tv_nsec = microseconds * 1000};
    struct pollfd input = {.fd = 0, .events = POLLIN};
    return ppoll(&input, 1, &time, NULL) != 0;
}

int cprobe_slow(pid_t process, long stopped, long running) {
    // To the microsecond, as far as the kernel can.
    prctl(PR_SET_TIMERSLACK, 1);
    do {
        if (kill(process, SIGSTOP)) return traffic_fail("slow");
        int is_over = has_ended(stopped);
        kill(process, SIGCONT);
        if (is_over) return 0;
    } while (!has_ended(running));
    return 0;
}
