/* Memory that is reserved for the result of a call.
 *
 * A message that was received must reach the caller even when memory runs out at that moment
 * (RLIMIT_AS, a cgroup without overcommitment). Therefore a call reserves enough for the message's
 * bytes, and for an exception that holds them, before it receives anything. It frees the reserve
 * when Python lacks memory. Nobody writes to the reserve, so it costs address space only. A Queue
 * keeps it from one call to the next.
 */

#ifndef MQC_RESERVE_H
#define MQC_RESERVE_H

#include "mqc.h"

typedef struct {
    size_t size;
} mqc_reserve;

typedef _Atomic(mqc_reserve *) mqc_kept_reserve;

#define MQC_EXCEPTION_BYTES ((size_t)2048) /* what a DecodeError needs, and some more */
#define MQC_MOST_KEPT (1 << 20)            /* bytes that a Queue keeps between calls */

int mqc_reserve_replace(mqc_reserve **reserve, size_t size);
void mqc_reserve_free(mqc_reserve **reserve);
int mqc_reserve_retry(mqc_reserve **reserve);

static inline mqc_reserve *
mqc_reserve_swap(mqc_kept_reserve *kept, mqc_reserve *reserve)
{
#ifdef Py_GIL_DISABLED
    return atomic_exchange(kept, reserve);
#else
    mqc_reserve *before = atomic_load_explicit(kept, memory_order_relaxed);
    atomic_store_explicit(kept, reserve, memory_order_relaxed);
    return before;
#endif
}

/* Reserve at least this many bytes. Returns 0, or -1 without an exception, as the caller may not
 * hold the GIL; then the reserve is as it was. */
static inline int
mqc_reserve_grow(mqc_reserve **reserve, size_t size)
{
    if (*reserve != NULL && (*reserve)->size >= size) {
        return 0;
    }
    return mqc_reserve_replace(reserve, size);
}

/* Return a reserve for a message of up to longest bytes, or NULL with MemoryError. */
static inline mqc_reserve *
mqc_reserve_take(mqc_kept_reserve *kept, size_t longest)
{
    mqc_reserve *reserve = mqc_reserve_swap(kept, NULL);

    if (mqc_reserve_grow(&reserve, longest + 4 * MQC_EXCEPTION_BYTES) < 0) {
        free(reserve);
        PyErr_NoMemory();
        return NULL;
    }
    return reserve;
}

/* Keep the reserve, which may be NULL, for the next call. */
static inline void
mqc_reserve_keep(mqc_kept_reserve *kept, mqc_reserve *reserve)
{
    if (reserve != NULL && reserve->size > MQC_MOST_KEPT) {
        free(reserve);
        reserve = NULL;
    }
    reserve = mqc_reserve_swap(kept, reserve);
    if (reserve != NULL) { /* another thread has kept one meanwhile */
        free(reserve);
    }
}

#endif /* MQC_RESERVE_H */
