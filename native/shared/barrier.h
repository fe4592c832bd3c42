/* The memory-order vocabulary of the native code: the only file that names atomics.
 *
 *   acquire   what the other side did before it stored the value I read is visible to me
 *   release   what I did before this store is visible to a reader that acquires the value
 *   fence     stores before it are visible before loads after it are satisfied: the one
 *             ordering that release and acquire do not give, and the one that a
 *             "publish, then check whether the peer sleeps" protocol needs
 *
 * Every order that a protocol needs has a name of its own (STK_ORD_*), so that the model
 * checker can weaken each alone and show that the failure is found.
 */
#ifndef STK_BARRIER_H
#define STK_BARRIER_H

#ifdef STK_MODEL /* the model checker brings its own atomics: see native/model */
#include "model_atomics.h"
#else
#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic(uint64_t) stk_a64;
typedef _Atomic(uint32_t) stk_a32;

#define STK_RELAXED memory_order_relaxed
#define STK_ACQUIRE memory_order_acquire
#define STK_RELEASE memory_order_release

#define stk_load(p, order) atomic_load_explicit((p), (order))
#define stk_store(p, v, order) atomic_store_explicit((p), (v), (order))
#define stk_add(p, v, order) atomic_fetch_add_explicit((p), (v), (order))
#define stk_or(p, v, order) atomic_fetch_or_explicit((p), (v), (order))
#define stk_and(p, v, order) atomic_fetch_and_explicit((p), (v), (order))
#define stk_swap(p, v) atomic_exchange_explicit((p), (v), memory_order_acq_rel)
#define stk_swap_if(p, was, v) atomic_compare_exchange_strong_explicit((p), (was), (v), memory_order_acq_rel, memory_order_relaxed)
#define stk_fence() atomic_thread_fence(memory_order_seq_cst)

/* Plain bytes that these orders protect are read or written next: checked by the model checker alone. */
#define STK_READS(p, n) ((void)0)
#define STK_WRITES(p, n) ((void)0)
#endif

/* Prefetch hints, not orders: fetch a line before it is read, or own it before it is written. Any address is
 * valid. (prefetchw is a no-op where the processor has none.) */
#define stk_soon_read(p) __builtin_prefetch((p), 0)
#if defined(__x86_64__)
#define stk_soon_written(p) __asm__ __volatile__("prefetchw %0" ::"m"(*(const char *)(p)))
#else
#define stk_soon_written(p) __builtin_prefetch((p), 1)
#endif

#ifndef STK_ORD_PUBLISH /* the producer's cursor: the record is whole before it is seen */
#define STK_ORD_PUBLISH STK_RELEASE
#endif
#ifndef STK_ORD_PEEK /* the consumer's read of that cursor */
#define STK_ORD_PEEK STK_ACQUIRE
#endif
#ifndef STK_ORD_FREE /* the consumer's cursor: it has read the record before it is overwritten */
#define STK_ORD_FREE STK_RELEASE
#endif
#ifndef STK_ORD_SPACE /* the producer's read of that cursor */
#define STK_ORD_SPACE STK_ACQUIRE
#endif
#ifndef STK_ORD_WRITTEN /* the producer's word of how far text reaches that it has not committed */
#define STK_ORD_WRITTEN STK_RELEASE
#endif
#ifndef STK_ORD_LEFT /* the consumer's read of that word, before it looks for what is committed */
#define STK_ORD_LEFT STK_ACQUIRE
#endif
#ifndef STK_FENCE_WAKE /* waker: publish, FENCE, read the sleep flag */
#define STK_FENCE_WAKE() stk_fence()
#endif
#ifndef STK_FENCE_SLEEP /* sleeper: raise the sleep flag, FENCE, check again */
#define STK_FENCE_SLEEP() stk_fence()
#endif
#ifndef STK_FENCE_START /* worker: announce the start, FENCE, read the revocation */
#define STK_FENCE_START() stk_fence()
#endif
#ifndef STK_FENCE_REVOKE /* engine: write the revocation, FENCE, read the start */
#define STK_FENCE_REVOKE() stk_fence()
#endif

#endif
