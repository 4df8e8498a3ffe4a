#ifndef TRAFFIC_H
#define TRAFFIC_H
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { TRAFFIC_BLOCK = 1 << 16 };
/// The hash of nothing.
static const uint64_t traffic_no_bytes = 0xcbf29ce484222325u;

/// What a connection begins with that carries no HTTP: what is wanted, a letter, and a count; see ends.c and page.c.
struct traffic_opening {
    uint64_t kind, count;
};

/// One direction of a connection with what was read ahead.
struct traffic_input {
    int from;
    size_t begin, end;
    unsigned char bytes[TRAFFIC_BLOCK];
};

/// The bytes of a stream that `seed` names, from `offset` on.
void traffic_fill(unsigned char *bytes, size_t count, uint64_t seed, uint64_t offset);
/// A number that looks nothing like `value` and is always the same for it.
uint64_t traffic_mix(uint64_t value);
/// A hash with more bytes in it.
uint64_t traffic_hash(uint64_t value, const unsigned char *bytes, size_t count);
/// Sends all of them; -1 when that fails.
int traffic_put(int to, const void *bytes, size_t count);
/// Sends the first bytes of the stream that `seed` names, and gives their hash; -1 when that fails.
int traffic_send(int to, uint64_t seed, uint64_t count, uint64_t *hash);
/// Receives so many; -1 when fewer come.
int traffic_get(int from, void *bytes, size_t count);
/// Reads what there is: how many bytes, 0 at the end, -1 when the connection broke.
ssize_t traffic_more(struct traffic_input *input);
/// The head of a message as text; 0 at the end of the connection, -1 when it broke.
int traffic_head(struct traffic_input *input, char *text, size_t room);
/// The number after `key` in a head, 0 without it.
uint64_t traffic_number(const char *text, const char *key);
/// Says what failed at standard error; returns 1.
int traffic_fail(const char *what);
struct sockaddr_in traffic_address(const char *host, const char *port);
/// A socket of these flags that listens there; -1 when that fails.
int traffic_listen(const char *host, const char *port, int flags);
/// A connection on which nothing is waited for longer than so many seconds; -1 when there is none.
int traffic_dial(const struct sockaddr_in *address, int seconds);
/// Nanoseconds of a clock that nobody sets.
uint64_t traffic_now(void);
/// See page.c.
int traffic_page(const char *port, const char *word);
/// See load.c.
int traffic_load(int count, char **words);
#endif
