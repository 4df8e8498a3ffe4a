#ifndef CPROBE_H
#define CPROBE_H
/// Does what the command line asks for; see probe.c. Returns the exit code.
int cprobe_main(int count, char **words);
/// Becomes `program` under a seccomp filter that answers each system call of `list` (`name=errno,…`) with its error.
int cprobe_refuse(const char *list, char **program);
/// Does what the command line asks for, where that is an end of connections; see traffic.c. -1 where it is something else.
int cprobe_traffic(const char *verb, int count, char **words);
#endif
