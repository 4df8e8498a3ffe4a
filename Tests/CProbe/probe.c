// What the end-to-end tests run inside containers, static so that an image of nothing else can hold it: the process
// that a container is, and eyes in it for `kubectl exec`.
//
//   probe run [FILE]            waits for SIGTERM; with FILE, leaves its first line's copy in /tmp/began before
//   probe tree FOLDER           every entry below FOLDER: kind, mode, size, mtime, hash or target, path, as hex words
//   probe show FILE             FILE's bytes
//   probe equal FILE TEXT       whether FILE holds exactly TEXT
//   probe processes             pid and command line of every process that can be seen
//   probe append FILE TEXT      adds TEXT and a line end
//   probe make FILE TEXT        writes FILE, making its folders
//   probe copy FROM TO          a copy with mode 0755
//   probe fill FILE BYTES       writes that many bytes, or as many as fit
//   probe stop                  SIGTERM to process 1: the container ends
//   probe refuse CALLS PROGRAM… runs PROGRAM where system calls fail, as in `openat2=1,flock=37`
//   probe slay                  SIGKILL to every other process but process 1
//   probe service FILE          a service that adds "PID WORD" to FILE when it starts, where WORD is what follows the
//                               last "\nword=" in its own program's file, and "PID HUP" at SIGHUP; it ends at SIGTERM.
//                               With the word "stubborn" it adds "PID TERM" instead; with "exit-N" it prints
//                               "going down" and ends
//   probe page|ask|again|bulk|raw|sink …  connections: see page.c and clients.c
//   probe load HOST PORT SEED SECONDS N  N connections at once to a page or an echo, each byte compared; see load.c
//   probe serve PORT [MS]       after MS milliseconds listens at 127.0.0.1:PORT, answers each connection with its pid
//   probe echo PORT [WORD [MS]] after MS milliseconds serves what follows, at every address; its word is by default
//                               the host's name, with "pid" its process; see ends.c
//   probe trips HOST PORT N [kept]  N connections with one round trip each, or N round trips on one, in microseconds
//   probe push|pull HOST PORT N   N bytes there or from there: nanoseconds
//   probe words HOST PORT [LAST]  asks for the server's word again and again, and prints it at each change, "none"
//                               without an answer; until it is LAST
//   probe drain N, flood N      N bytes from standard input, and then "done"; N bytes to standard output
//   probe bridge PORT           a connection that comes there, over standard input and output; see bridge.c
//   probe slow PID STOP RUN      stops a process for STOP microseconds, lets it run for RUN, until standard input ends
#define _GNU_SOURCE
#include "traffic.h"

#include "cprobe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void hex(const char *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) printf("%02x", (unsigned char)bytes[i]);
}

static uint64_t hash(const char *path) {
    uint64_t value = traffic_no_bytes;
    static unsigned char buffer[1 << 16];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t got;
    while ((got = read(file, buffer, sizeof buffer)) > 0) value = traffic_hash(value, buffer, (size_t)got);
    close(file);
    return value;
}

static void tree(const char *folder, size_t cut) {
    DIR *names = opendir(folder);
    if (!names) return;
    struct dirent *entry;
    while ((entry = readdir(names))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        char path[8192], target[4096];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        struct stat about;
        if (lstat(path, &about)) continue;
        char kind = S_ISDIR(about.st_mode) ? 'd' : S_ISLNK(about.st_mode) ? 'l' : S_ISREG(about.st_mode) ? 'f' : 'o';
        printf("%c %o %lld %lld.%09ld ", kind, about.st_mode & 07777, (long long)about.st_size,
               (long long)about.st_mtim.tv_sec, about.st_mtim.tv_nsec);
        if (kind == 'l') {
            ssize_t count = readlink(path, target, sizeof target);
            hex(target, count > 0 ? (size_t)count : 0);
        } else {
            printf("%016llx", kind == 'f' ? (unsigned long long)hash(path) : 0ull);
        }
        putchar(' ');
        hex(path + cut, strlen(path) - cut);
        putchar('\n');
        if (kind == 'd') tree(path, cut);
    }
    closedir(names);
}

static int show(const char *path) {
    char buffer[1 << 16];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return traffic_fail(path);
    ssize_t got;
    while ((got = read(file, buffer, sizeof buffer)) > 0) fwrite(buffer, 1, (size_t)got, stdout);
    return got < 0 ? traffic_fail(path) : 0;
}

static int equal(const char *path, const char *text) {
    char buffer[4096];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return traffic_fail(path);
    ssize_t got = read(file, buffer, sizeof buffer);
    return got == (ssize_t)strlen(text) && !memcmp(buffer, text, (size_t)got) ? 0 : 1;
}

static int make(const char *path, const char *text, int flags, const char *end) {
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", path);
    for (char *slash = strchr(folder + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(folder, 0755);
        *slash = '/';
    }
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
    if (file < 0) return traffic_fail(path);
    return dprintf(file, "%s%s", text, end) < 0 ? traffic_fail(path) : 0;
}

static int copy(const char *from, const char *to) {
    static char buffer[1 << 16];
    int input = open(from, O_RDONLY | O_CLOEXEC), output = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    if (input < 0 || output < 0) return traffic_fail(to);
    ssize_t got;
    while ((got = read(input, buffer, sizeof buffer)) > 0)
        if (write(output, buffer, (size_t)got) != got) return traffic_fail(to);
    return fchmod(output, 0755) ? traffic_fail(to) : 0;
}

static int fill(const char *path, long long bytes) {
    static char buffer[1 << 12];
    int output = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (output < 0) return traffic_fail(path);
    for (long long done = 0; done < bytes; done += (long long)sizeof buffer)
        if (write(output, buffer, sizeof buffer) != (ssize_t)sizeof buffer) break;
    return 0;
}

static int processes(void) {
    DIR *names = opendir("/proc");
    if (!names) return traffic_fail("/proc");
    struct dirent *entry;
    while ((entry = readdir(names))) {
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
        char path[300], line[4096];
        snprintf(path, sizeof path, "/proc/%s/cmdline", entry->d_name);
        int file = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t count = file < 0 ? 0 : read(file, line, sizeof line - 1);
        if (file >= 0) close(file);
        if (count <= 0) continue;
        for (ssize_t i = 0; i + 1 < count; i++)
            if (!line[i] || line[i] == '\n') line[i] = ' ';
        line[count] = 0;
        printf("%s %s\n", entry->d_name, line);
    }
    closedir(names);
    return 0;
}

static void leave(int signal) {
    (void)signal;
    _exit(0);
}

static int run(const char *file) {
    signal(SIGTERM, leave);
    signal(SIGINT, leave);
    // As process 1 it inherits whatever its container's processes leave behind.
    signal(SIGCHLD, SIG_IGN);
    if (file) {
        char text[4096] = "";
        int input = open(file, O_RDONLY | O_CLOEXEC);
        ssize_t got = input < 0 ? 0 : read(input, text, sizeof text - 1);
        if (input >= 0) close(input);
        text[got > 0 ? strcspn(text, "\n") : 0] = 0;
        make("/tmp/began", text, O_TRUNC, "");
    }
    for (;;) pause();
}

static const char *service_file;
static int is_stubborn;

static void note(const char *word) {
    char line[128];
    snprintf(line, sizeof line, "%d %s", (int)getpid(), word);
    make(service_file, line, O_APPEND, "\n");
}

static void take_signal(int number) {
    if (number == SIGHUP) return note("HUP");
    if (!is_stubborn) _exit(0);
    note("TERM");
}

static int service(const char *file) {
    char end[65] = "", *word = NULL;
    int program = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (program >= 0 && lseek(program, -64, SEEK_END) >= 0 && read(program, end, 64) == 64) {
        // The bytes before may hold zeros.
        for (int i = 0; i < 58; i++)
            if (!memcmp(end + i, "\nword=", 6)) word = end + i + 6;
    }
    if (program >= 0) close(program);
    if (!word) word = "none";
    service_file = file;
    is_stubborn = !strcmp(word, "stubborn");
    signal(SIGTERM, take_signal);
    signal(SIGHUP, take_signal);
    note(word);
    if (!strncmp(word, "exit-", 5)) {
        fprintf(stderr, "going down\n");
        return atoi(word + 5);
    }
    for (;;) pause();
}

static int serve(const char *port, const char *milliseconds) {
    if (milliseconds) usleep((unsigned)atoi(milliseconds) * 1000);
    int listener = traffic_listen("127.0.0.1", port, 0);
    if (listener < 0) return traffic_fail("listen");
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        if (connection < 0) return traffic_fail("accept");
        dprintf(connection, "%d\n", (int)getpid());
        close(connection);
    }
}

int cprobe_main(int count, char **words) {
    const char *verb = count > 1 ? words[1] : "";
    const char *first = count > 2 ? words[2] : NULL;
    if (!strcmp(verb, "run")) return run(first);
    if (!strcmp(verb, "processes")) return processes();
    if (!strcmp(verb, "stop")) {
        // Process 1 never sees a signal that comes before its handler: again, until the container ends, and this too.
        while (!kill(1, SIGTERM)) usleep(10000);
        return traffic_fail("kill");
    }
    if (!strcmp(verb, "slay")) return kill(-1, SIGKILL) && errno != ESRCH ? traffic_fail("kill") : 0;
    if (!strcmp(verb, "tree") && first) return tree(first, strlen(first) + 1), 0;
    if (!strcmp(verb, "service") && first) return service(first);
    if (!strcmp(verb, "show") && first) return show(first);
    if (!strcmp(verb, "serve") && first) return serve(first, count > 3 ? words[3] : NULL);
    if (!strcmp(verb, "bridge") && first) return cprobe_bridge(first);
    int end = cprobe_ends(verb, count, words);
    if (end >= 0) return end;
    if (count > 4 && !strcmp(verb, "slow")) return cprobe_slow(atoi(first), atol(words[3]), atol(words[4]));
    if (count > 3) {
        if (!strcmp(verb, "refuse")) return cprobe_refuse(first, words + 3);
        if (!strcmp(verb, "equal")) return equal(first, words[3]);
        if (!strcmp(verb, "append")) return make(first, words[3], O_APPEND, "\n");
        if (!strcmp(verb, "make")) return make(first, words[3], O_TRUNC, "");
        if (!strcmp(verb, "copy")) return copy(first, words[3]);
        if (!strcmp(verb, "fill")) return fill(first, atoll(words[3]));
    }
    int result = count > 1 ? cprobe_traffic(count, words) : -1;
    if (result >= 0) return result;
    fprintf(stderr, "probe: what?\n");
    return 2;
}
