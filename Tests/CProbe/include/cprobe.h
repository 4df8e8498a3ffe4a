#ifndef CPROBE_H
#define CPROBE_H
#include <sys/types.h>
/// Does what the command line asks for; see probe.c. Returns the exit code.
int cprobe_main(int count, char **words);
/// Becomes `program` under a seccomp filter that answers each system call of `list` (`name=errno,…`) with its error.
int cprobe_refuse(const char *list, char **program);
/// Serves or makes connections; see clients.c. Returns the exit code, or -1 where the command line is about something else.
int cprobe_traffic(int count, char **words);
/// Does what the command line asks for, where that is an end of connections; see ends.c. -1 where it is something else.
int cprobe_ends(const char *verb, int count, char **words);
/// Carries the one connection that comes at a port over standard input and output; see bridge.c.
int cprobe_bridge(const char *port);
/// Lets a process run for so many microseconds after it was stopped for so many, again and again; see slow.c.
int cprobe_slow(pid_t process, long stopped, long running);
#endif
