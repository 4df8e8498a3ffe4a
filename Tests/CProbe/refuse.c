#define _GNU_SOURCE
#include "cprobe.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
    const char *name;
    int number;
} calls[] = {
    {"openat2", 437},          {"renameat2", SYS_renameat2}, {"flock", SYS_flock},   {"fchmod", SYS_fchmod},
    {"fchmodat", SYS_fchmodat}, {"utimensat", SYS_utimensat}, {"close", SYS_close}, {"fchownat", SYS_fchownat},
    {"fallocate", SYS_fallocate},
};

static int call_number(const char *name, size_t length) {
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (strlen(calls[i].name) == length && !strncmp(calls[i].name, name, length)) return calls[i].number;
    }
    return -1;
}

int cprobe_refuse(const char *list, char **program) {
    struct sock_filter filter[64];
    unsigned short count = 0;
    filter[count++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (const char *next = list; *next && count < 60;) {
        size_t name = strcspn(next, "=");
        int number = call_number(next, name);
        char *end;
        unsigned error = next[name] ? (unsigned)strtoul(next + name + 1, &end, 10) : 0;
        if (number < 0 || error == 0) return fprintf(stderr, "refuse: %s?\n", next), 2;
        filter[count++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1);
        filter[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error);
        next = *end == ',' ? end + 1 : end;
    }
    filter[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog all = {.len = count, .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all)) {
        perror("refuse");
        return 1;
    }
    execvp(program[0], program);
    perror(program[0]);
    return 127;
}
