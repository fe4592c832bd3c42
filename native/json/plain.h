/* Which bytes of a string stand for themselves in JSON: all but quotes, backslashes and controls; for a reader of ASCII
   only, all but what is beyond it, too. Looked for many at a time, with the widest vectors that the processor has. */

#ifndef STK_JSON_PLAIN_H
#define STK_JSON_PLAIN_H

#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { BLOCK = 32 }; /* bytes that are looked at together */

static inline int plain(uint8_t c, int only_ascii)
{
    return c >= 0x20 && c != '"' && c != '\\' && (!only_ascii || c < 0x7f);
}

/* Do BLOCK bytes stand for themselves? Without a branch, so that the compiler looks at many at a time. */
static inline int plain_block(const uint8_t *at, int only_ascii)
{
    uint8_t high = only_ascii ? 0x80 : 0, last = only_ascii ? 0x7f : '"', special = 0;
    for (int i = 0; i < BLOCK; i++)
        special |= (uint8_t)((at[i] & high) | (at[i] < 0x20) | (at[i] == '"') | (at[i] == '\\') | (at[i] == last));
    return special == 0;
}

typedef const uint8_t *stk_plain_blocks(const uint8_t *at, const uint8_t *end, int only_ascii);

static const uint8_t *blocks(const uint8_t *at, const uint8_t *end, int only_ascii)
{
    while (end - at >= BLOCK && plain_block(at, only_ascii))
        at += BLOCK;
    return at;
}

#if defined(__x86_64__)
#define STK_WIDE __attribute__((target("avx2"), always_inline)) static inline

/* The bytes that do not stand for themselves. */
STK_WIDE __m256i special(const uint8_t *at, int only_ascii)
{
    __m256i c = _mm256_loadu_si256((const __m256i *)at);
    __m256i found = _mm256_or_si256(_mm256_cmpeq_epi8(c, _mm256_set1_epi8('"')), _mm256_cmpeq_epi8(c, _mm256_set1_epi8('\\')));
    found = _mm256_or_si256(found, _mm256_cmpeq_epi8(_mm256_min_epu8(c, _mm256_set1_epi8(0x1f)), c));
    if (only_ascii) /* negative, or the last one */
        found = _mm256_or_si256(found, _mm256_or_si256(c, _mm256_cmpeq_epi8(c, _mm256_set1_epi8(0x7f))));
    return found;
}

STK_WIDE const uint8_t *wide(const uint8_t *at, const uint8_t *end, int only_ascii)
{
    for (; end - at >= 2 * BLOCK; at += 2 * BLOCK)
        if (_mm256_movemask_epi8(_mm256_or_si256(special(at, only_ascii), special(at + BLOCK, only_ascii))))
            break;
    for (; end - at >= BLOCK; at += BLOCK) {
        unsigned found = (unsigned)_mm256_movemask_epi8(special(at, only_ascii));
        if (found)
            return at + __builtin_ctz(found);
    }
    return at;
}

__attribute__((target("avx2"))) static const uint8_t *blocks_avx2(const uint8_t *at, const uint8_t *end, int only_ascii)
{
    return only_ascii ? wide(at, end, 1) : wide(at, end, 0);
}
#endif

/* Up to the first byte that does not stand for itself, or fewer than BLOCK before it or the end. */
static stk_plain_blocks *plain_blocks = blocks;

/* Before the first call: the widest that there is. */
static inline void plain_choose(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        plain_blocks = blocks_avx2;
#endif
}

/* The first byte that does not stand for itself, or the end. */
static inline const uint8_t *plain_end(const uint8_t *at, const uint8_t *end, int only_ascii)
{
    if (end - at >= BLOCK)
        at = plain_blocks(at, end, only_ascii);
    while (at < end && plain(*at, only_ascii))
        at++;
    return at;
}

#endif
