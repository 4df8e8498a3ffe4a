#include "chash.h"
#include "blocks.h"
#include <stdatomic.h>
#include <string.h>

static _Atomic(chash_blocks) chosen;

static chash_blocks native_blocks(void) {
#if defined(__x86_64__)
    return chash_blocks_x86();
#elif defined(__aarch64__)
    return chash_blocks_arm64();
#else
    return NULL;
#endif
}

static chash_blocks blocks(void) {
    chash_blocks known = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (known) return known;
    // Two threads may both ask the CPU: they get the same answer.
    chash_blocks native = native_blocks();
    known = native ? native : chash_blocks_portable;
    atomic_store_explicit(&chosen, known, memory_order_relaxed);
    return known;
}

void chash_use_portable(int portable) {
    atomic_store_explicit(&chosen, portable ? chash_blocks_portable : NULL, memory_order_relaxed);
}

const char *chash_implementation(void) {
    if (blocks() == chash_blocks_portable) return "portable";
#if defined(__x86_64__)
    return "sha-ni";
#else
    return "armv8";
#endif
}

void chash_sha256_init(chash_sha256 *hash) {
    static const uint32_t initial[8] = {
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
    };
    memcpy(hash->state, initial, sizeof initial);
    hash->length = 0;
    hash->used = 0;
}

void chash_sha256_update(chash_sha256 *hash, const void *bytes, size_t count) {
    // memcpy must not be given null, not even for no bytes.
    if (count == 0) return;
    const uint8_t *next = bytes;
    hash->length += count;
    if (hash->used > 0) {
        size_t room = sizeof hash->block - hash->used;
        size_t taken = count < room ? count : room;
        memcpy(hash->block + hash->used, next, taken);
        hash->used += (uint32_t)taken;
        next += taken;
        count -= taken;
        if (hash->used < sizeof hash->block) return;
        blocks()(hash->state, hash->block, 1);
        hash->used = 0;
    }
    if (count >= 64) {
        blocks()(hash->state, next, count / 64);
        next += count / 64 * 64;
        count %= 64;
    }
    memcpy(hash->block, next, count);
    hash->used = (uint32_t)count;
}

void chash_sha256_final(chash_sha256 *hash, uint8_t digest[32]) {
    uint64_t bits = hash->length * 8;
    hash->block[hash->used++] = 0x80;
    if (hash->used > 56) {
        memset(hash->block + hash->used, 0, 64 - hash->used);
        blocks()(hash->state, hash->block, 1);
        hash->used = 0;
    }
    memset(hash->block + hash->used, 0, 56 - hash->used);
    for (int i = 0; i < 8; i++) hash->block[56 + i] = (uint8_t)(bits >> (56 - 8 * i));
    blocks()(hash->state, hash->block, 1);
    for (int i = 0; i < 8; i++) {
        for (int j = 0; j < 4; j++) digest[4 * i + j] = (uint8_t)(hash->state[i] >> (24 - 8 * j));
    }
}
