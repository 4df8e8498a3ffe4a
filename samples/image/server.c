// Prints a file whenever it has changed.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *greeting = "server 1";

static void stop(int number) {
    (void)number;
    _exit(0);
}

int main(int count, char **arguments) {
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    struct timespec shown = {0, 0};
    printf("%s waits for %s\n", greeting, count > 1 ? arguments[1] : "nothing");
    fflush(stdout);
    for (;; usleep(100000)) {
        struct stat now;
        if (count < 2 || stat(arguments[1], &now) != 0) continue;
        if (now.st_mtim.tv_sec == shown.tv_sec && now.st_mtim.tv_nsec == shown.tv_nsec) continue;
        shown = now.st_mtim;
        FILE *file = fopen(arguments[1], "r");
        if (!file) continue;
        char line[4096];
        while (fgets(line, sizeof line, file)) printf("%s: %s", greeting, line);
        fclose(file);
        fflush(stdout);
    }
}
