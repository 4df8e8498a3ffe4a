// SHA-256 (FIPS 180-4), with the CPU's own instructions where it has them.
#ifndef CHASH_H
#define CHASH_H
#include <stddef.h>
#include <stdint.h>

/// A running SHA-256: 108 bytes, no allocation, freely copied.
typedef struct {
    uint32_t state[8];
    uint64_t length;
    uint8_t block[64];
    uint32_t used;
} chash_sha256;

void chash_sha256_init(chash_sha256 *hash);
void chash_sha256_update(chash_sha256 *hash, const void *bytes, size_t count);
/// Ends the hash, which must not be updated any more.
void chash_sha256_final(chash_sha256 *hash, uint8_t digest[32]);

/// Makes every hash of this process use plain C from now on (for tests), or the best code for the CPU again.
void chash_use_portable(int portable);
/// "sha-ni", "armv8" or "portable".
const char *chash_implementation(void);
#endif
