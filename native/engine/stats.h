/* Counters and log-linear histograms: one writer (under the engine's lock), any reader. */
#ifndef STK_STATS_H
#define STK_STATS_H

#include <stdint.h>

/* 32 sub-buckets an octave: a quantile is off by at most 1/32 of its value. 40 octaves of ns: 18 minutes. */
enum { STK_SUB_BITS = 5, STK_BUCKETS = (40 - STK_SUB_BITS + 1) << STK_SUB_BITS };

typedef struct {
    uint64_t count, sum, max;
    uint64_t bucket[STK_BUCKETS];
} stk_histogram;

void stk_histogram_add(stk_histogram *h, uint64_t ns);
uint64_t stk_histogram_quantile(const stk_histogram *h, double q); /* ns, the bucket's upper edge; 0 when empty */

#endif
