/* Histograms: a quantile is never too low, and too high by at most 1/32 of the exact one. */
#include "check.h"
#include "engine/stats.h"

enum { N = 20000 };
static uint64_t values[N];

static int by_size(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void against_exact(uint64_t n, int shift, uint64_t seed) {
    static const double quantiles[] = {0.0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0};
    static stk_histogram h;
    memset(&h, 0, sizeof h);
    uint64_t sum = 0;
    for (uint64_t i = 0; i < n; i++) {
        values[i] = next_random(&seed) >> (shift < 0 ? 24 + next_random(&seed) % 40 : (uint64_t)shift);
        stk_histogram_add(&h, values[i]);
        sum += values[i];
    }
    qsort(values, n, sizeof values[0], by_size);
    CHECK(h.count == n && h.sum == sum && h.max == values[n - 1]);
    for (size_t k = 0; k < sizeof quantiles / sizeof *quantiles; k++) {
        double rank = quantiles[k] * (double)n;
        uint64_t at = (uint64_t)rank;
        if ((double)at < rank) at++;
        uint64_t exact = values[at ? at - 1 : 0], got = stk_histogram_quantile(&h, quantiles[k]);
        CHECK(got >= exact && got - exact <= exact / 32);
    }
}

int main(void) {
    static stk_histogram empty;
    CHECK(stk_histogram_quantile(&empty, 0.5) == 0);
    for (uint64_t seed = 1; seed < 6; seed++) {
        against_exact(1, 40, seed);
        against_exact(2, 44, seed);
        against_exact(N, 59, seed);     /* below 32: exact */
        against_exact(N, 44, seed);     /* up to a millisecond */
        against_exact(N, 24, seed);     /* up to 18 minutes */
        against_exact(N - 1, -1, seed); /* every magnitude */
    }
    static stk_histogram beyond; /* out of range: in the last bucket, the maximum still exact */
    stk_histogram_add(&beyond, UINT64_MAX);
    CHECK(beyond.max == UINT64_MAX && stk_histogram_quantile(&beyond, 1.0) >= ((uint64_t)1 << 40) - 1);
    return 0;
}
