#ifndef CPROBE_H
#define CPROBE_H
/// Does what the command line asks for; see probe.c. Returns the exit code.
int cprobe_main(int count, char **words);
#endif
