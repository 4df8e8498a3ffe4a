#define _GNU_SOURCE
#include "cagent.h"

#include <limits.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

static int signal_pipe[2] = {-1, -1};

static void note_signal(int signal) {
    int saved = errno;
    unsigned char number = (unsigned char)signal;
    // The pipe does not block: when it is full, the reader has enough to wake up for.
    ssize_t ignored = write(signal_pipe[1], &number, 1);
    (void)ignored;
    errno = saved;
}

int cagent_catch_signals(const int *signals, int count) {
    if (cagent_pipe(signal_pipe) < 0) return -1;
    cagent_set_nonblocking(signal_pipe[0]);
    cagent_set_nonblocking(signal_pipe[1]);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = note_signal;
    action.sa_flags = SA_RESTART | SA_NOCLDSTOP;
    for (int i = 0; i < count; i++) {
        if (sigaction(signals[i], &action, NULL) < 0) return -1;
    }
    return signal_pipe[0];
}

static void reset_signals(void) {
    for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/// Forks; the child has default signals and an empty mask.
static pid_t fork_quietly(void) {
    // Until then a signal for the child would run the parent's handler, and look to the parent like its own.
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t child = fork();
    if (child == 0) {
        reset_signals();
    } else {
        sigprocmask(SIG_SETMASK, &before, NULL);
    }
    return child;
}

/// Makes the child lead a group of its own and die with its parent.
static void join_parent(int parent) {
    setpgid(0, 0);
    // Asked for before the parent is looked at, so that its end cannot fall between the two.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
}

static void report_failure(int report) {
    int failure = errno;
    ssize_t ignored = write(report, &failure, sizeof failure);
    (void)ignored;
    _exit(127);
}

/// Whether a failed execution is to be tried again, a moment later, for at most 0.1 s.
static int is_busy(int *attempts) {
    // A process that forked while the file was written holds it open until its child executes.
    if (errno != ETXTBSY || ++*attempts > 100) return 0;
    struct timespec moment = {.tv_nsec = 1000000};
    nanosleep(&moment, NULL);
    return 1;
}

static void run_child(char *const argv[], char *const envp[], const char *directory, const int stdio[3], int parent) {
    join_parent(parent);
    // Above the standard descriptors first: one of them may be another one's source.
    int copies[3];
    for (int i = 0; i < 3; i++) {
        copies[i] = fcntl(stdio[i], F_DUPFD_CLOEXEC, 3);
        if (copies[i] < 0) return;
    }
    for (int i = 0; i < 3; i++) {
        if (dup2(copies[i], i) < 0) return;
    }
    if (directory && directory[0] && chdir(directory) < 0) return;
    environ = (char **)envp;
    int attempts = 0;
    do {
        execvp(argv[0], argv);
    } while (is_busy(&attempts));
}

pid_t cagent_spawn(char *const argv[], char *const envp[], const char *directory, const int stdio[3]) {
    int report[2];
    if (cagent_pipe(report) < 0) return -1;
    int parent = getpid();
    pid_t child = fork_quietly();
    if (child == 0) {
        run_child(argv, envp, directory, stdio, parent);
        report_failure(report[1]);
    }
    int failure = child < 0 ? errno : 0;
    close(report[1]);
    if (child > 0) {
        // Done on both sides, so that a signal for the group works as soon as either has run.
        setpgid(child, child);
        ssize_t got;
        do {
            got = read(report[0], &failure, sizeof failure);
        } while (got < 0 && errno == EINTR);
        if (got != (ssize_t)sizeof failure) failure = 0;
        if (failure) waitpid(child, NULL, 0);
    }
    close(report[0]);
    if (failure) errno = failure;
    return failure ? -1 : child;
}

static void execute(const char *file, char *const argv[]) {
    int attempts = 0;
    do {
        execve(file, argv, environ);
    } while (is_busy(&attempts));
}

const char *cagent_next_candidate(const char *name, const char **rest, char *buffer, size_t size) {
    while (*rest) {
        const char *start = *rest;
        size_t length = strcspn(start, ":");
        *rest = start[length] ? start + length + 1 : NULL;
        int wanted = snprintf(buffer, size, "%.*s%s%s", (int)length, start, length ? "/" : "", name);
        if (wanted > 0 && (size_t)wanted < size) return buffer;
    }
    return NULL;
}

const char *cagent_search_path(void) {
    const char *path = getenv("PATH");
    return path ? path : "/bin:/usr/bin";
}

void cagent_execute(char *const argv[]) {
    reset_signals();
    if (strchr(argv[0], '/')) return execute(argv[0], argv);
    char buffer[PATH_MAX];
    const char *rest = cagent_search_path(), *file;
    int failure = ENOENT;
    while ((file = cagent_next_candidate(argv[0], &rest, buffer, sizeof buffer))) {
        execute(file, argv);
        if (errno == EACCES) {
            failure = EACCES;
        } else if (errno != ENOENT && errno != ENOTDIR) {
            return;
        }
    }
    errno = failure;
}

/// Gives a terminal, where there is one, to the group of this process.
static void take_terminal(void) {
    // Who is not in the foreground may do so only while this signal is ignored.
    signal(SIGTTOU, SIG_IGN);
    if (isatty(0)) tcsetpgrp(0, getpgrp());
    signal(SIGTTOU, SIG_DFL);
}

pid_t cagent_start(char *const argv[], const char *directory, int *report) {
    int ends[2];
    if (cagent_pipe(ends) < 0) return -1;
    int parent = getpid();
    pid_t child = fork_quietly();
    if (child == 0) {
        join_parent(parent);
        take_terminal();
        // By name: another folder may be in its place by now. Else where the parent is.
        int ignored = chdir(directory);
        (void)ignored;
        cagent_execute(argv);
        report_failure(ends[1]);
    }
    int failure = errno;
    close(ends[1]);
    if (child < 0) {
        close(ends[0]);
        errno = failure;
        return -1;
    }
    setpgid(child, child);
    cagent_set_nonblocking(ends[0]);
    *report = ends[0];
    return child;
}

pid_t cagent_ended_child(void) {
    siginfo_t info = {0};
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 ? info.si_pid : 0;
}

pid_t cagent_reap(pid_t child, int *code) {
    int status;
    pid_t ended;
    do {
        ended = waitpid(child, &status, WNOHANG);
    } while (ended < 0 && errno == EINTR);
    if (ended > 0) *code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    return ended;
}

int cagent_has_ended(pid_t child) {
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == child;
}

void cagent_ignore_signal(int number) { signal(number, SIG_IGN); }

int cagent_become_subreaper(void) { return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); }

void cagent_ask(pid_t process, int number) {
    kill(process, number);
    kill(process, SIGCONT);
}

void cagent_die_by(int number) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    reset_signals();
    raise(number);
    _exit(128 + number);
}

char **cagent_environment(void) { return environ; }
