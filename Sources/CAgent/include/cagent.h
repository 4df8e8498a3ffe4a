// The libc headers that the helper and the leash use: Embedded Swift has no Glibc module.
#ifndef CAGENT_H
#define CAGENT_H
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/// The calling thread's errno, which C spells as a macro that Swift cannot import.
int cagent_errno(void);
#endif
