// A small supervisor, as a compiled service: it says every second what it is and that it is still there.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

// Change this line, and save.
static const char *greeting = "hello";

static volatile sig_atomic_t rounds;

static void stop(int number) {
    (void)number;
    _exit(0);
}

static void begin_again(int number) {
    (void)number;
    rounds = 0;
}

int main(void) {
    signal(SIGTERM, stop);
    signal(SIGHUP, begin_again);
    // Nobody reads lines that stay in a buffer.
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (;;) {
        printf("%s from process %d, second %d\n", greeting, getpid(), (int)++rounds);
        sleep(1);
    }
}
