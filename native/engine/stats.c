/* Log-linear histograms: see stats.h. */
#include "engine/stats.h"

static unsigned bucket_of(uint64_t v) {
    if (v < (1u << STK_SUB_BITS)) return (unsigned)v;
    unsigned octave = 63u - (unsigned)__builtin_clzll(v) - STK_SUB_BITS;
    unsigned at = ((octave + 1) << STK_SUB_BITS) + (unsigned)((v >> octave) - (1u << STK_SUB_BITS));
    return at < STK_BUCKETS ? at : STK_BUCKETS - 1;
}

static uint64_t upper_edge(unsigned at) {
    if (at < (1u << STK_SUB_BITS)) return at;
    unsigned octave = (at >> STK_SUB_BITS) - 1;
    uint64_t step = (at & ((1u << STK_SUB_BITS) - 1)) + (1u << STK_SUB_BITS) + 1;
    return (step << octave) - 1;
}

void stk_histogram_add(stk_histogram *h, uint64_t ns) {
    h->count++;
    h->sum += ns;
    if (ns > h->max) h->max = ns;
    h->bucket[bucket_of(ns)]++;
}

uint64_t stk_histogram_quantile(const stk_histogram *h, double q) {
    if (h->count == 0) return 0;
    double rank = q * (double)h->count;
    uint64_t seen = 0;
    for (unsigned i = 0; i < STK_BUCKETS; i++) {
        seen += h->bucket[i];
        if (seen && (double)seen >= rank) {
            uint64_t edge = upper_edge(i);
            return edge < h->max ? edge : h->max;
        }
    }
    return h->max;
}
