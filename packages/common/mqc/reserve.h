/* Memory set aside.
 *
 * What has been received must be handed over even where memory has just run out (RLIMIT_AS, a
 * cgroup without overcommitment). So enough for its bytes, and for an exception that holds them,
 * is set aside before anything is received, and given back to malloc(3) when memory lacks. It is
 * never touched, so it costs address space alone. A Queue keeps it from one call to the next. */

#ifndef MQC_RESERVE_H
#define MQC_RESERVE_H

#include "mqc.h"

typedef struct {
    size_t size;
} mqc_spare;

typedef _Atomic(mqc_spare *) mqc_kept_spare;

#define MQC_EXCEPTION ((size_t)2048) /* what a DecodeError needs, and some more */
#define MQC_MOST_KEPT (1 << 20)      /* bytes that a Queue keeps between calls */

int mqc_give_back(mqc_spare **spare);

static inline mqc_spare *
mqc_spare_swap(mqc_kept_spare *kept, mqc_spare *spare)
{
#ifdef Py_GIL_DISABLED
    return atomic_exchange(kept, spare);
#else
    mqc_spare *before = atomic_load_explicit(kept, memory_order_relaxed);
    atomic_store_explicit(kept, spare, memory_order_relaxed);
    return before;
#endif
}

/* Make sure of this many bytes: 0, or -1 without an exception, as the GIL may not be held. Then
 * what was set aside before still is. */
static inline int
mqc_spare_grow(mqc_spare **spare, size_t size)
{
    mqc_spare *larger;

    if (*spare != NULL && (*spare)->size >= size) {
        return 0;
    }
    larger = malloc(sizeof(mqc_spare) + size);
    if (larger == NULL) {
        return -1;
    }
    larger->size = size;
    free(*spare);
    *spare = larger;
    return 0;
}

/* Before a message of up to longest bytes is received; NULL with MemoryError. */
static inline mqc_spare *
mqc_spare_take(mqc_kept_spare *kept, size_t longest)
{
    mqc_spare *spare = mqc_spare_swap(kept, NULL);

    if (mqc_spare_grow(&spare, longest + 4 * MQC_EXCEPTION) < 0) {
        free(spare);
        PyErr_NoMemory();
        return NULL;
    }
    return spare;
}

/* Keep it for the next call. */
static inline void
mqc_spare_keep(mqc_kept_spare *kept, mqc_spare *spare)
{
    if (spare != NULL && spare->size > MQC_MOST_KEPT) {
        free(spare);
        spare = NULL;
    }
    spare = mqc_spare_swap(kept, spare);
    if (spare != NULL) { /* that of a call in another thread */
        free(spare);
    }
}

#endif /* MQC_RESERVE_H */
