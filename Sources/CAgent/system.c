#define _GNU_SOURCE
#include "cagent.h"

#include <malloc.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <time.h>

int cagent_errno(void) { return errno; }

int cagent_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }

int64_t cagent_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

int64_t cagent_since_ticks(uint64_t ticks) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000 - (int64_t)(ticks * 1000 / (uint64_t)sysconf(_SC_CLK_TCK));
}

void cagent_give_back_memory(void) { malloc_trim(0); }

uint64_t cagent_random(void) {
    uint64_t value = 0;
    // Only tells writers apart, so a kernel without entropy may fall back to what differs anyhow.
    if (getrandom(&value, sizeof value, GRND_NONBLOCK) != (ssize_t)sizeof value) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        value = (uint64_t)now.tv_nsec << 32 ^ (uint64_t)now.tv_sec ^ (uint64_t)getpid() << 48;
    }
    return value;
}

const char *cagent_machine(void) {
    static struct utsname names;
    return uname(&names) == 0 ? names.machine : "";
}

static int argument_count;
static char **arguments;

// glibc hands main's parameters to constructors as well; Embedded Swift's own entry point drops them.
__attribute__((constructor)) static void keep_arguments(int count, char **values) {
    argument_count = count;
    arguments = values;
}

int cagent_argument_count(void) { return argument_count; }
char **cagent_arguments(void) { return arguments; }
