// The block functions behind chash.h: one per kind of CPU.
#ifndef CHASH_BLOCKS_H
#define CHASH_BLOCKS_H
#include <stddef.h>
#include <stdint.h>

/// Takes `count` blocks of 64 bytes into `state`.
typedef void (*chash_blocks)(uint32_t state[8], const uint8_t *bytes, size_t count);

extern const uint32_t chash_round_constants[64];

void chash_blocks_portable(uint32_t state[8], const uint8_t *bytes, size_t count);

/// The CPU's own SHA-256 instructions, or null where it has none. Each is defined on its architecture only.
chash_blocks chash_blocks_x86(void);
chash_blocks chash_blocks_arm64(void);
#endif
