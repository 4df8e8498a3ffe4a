// SHA-256 (FIPS 180-4), with the CPU's own instructions where it has them, and blocks by content.
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

// Blocks of a file whose borders its content decides, so that a change moves only the borders beside it.
enum { CHASH_BLOCK_MIN = 1 << 10, CHASH_BLOCK_USUAL = 1 << 12, CHASH_BLOCK_MAX = 1 << 14 };

/// The length of the block at the beginning of `bytes`; with `CHASH_BLOCK_MAX` bytes or more it depends on nothing after it.
size_t chash_cut(const void *bytes, size_t count);
/// 64 bits that tell blocks apart, quickly. Not against somebody who looks for two alike: the whole is proven by SHA-256.
uint64_t chash_block(const void *bytes, size_t count);
#endif
