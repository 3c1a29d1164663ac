/* Short uses of a queue's descriptor, which keep the GIL. This is the one file of the wait that
 * includes Python.h, which says whether this build has a GIL. */

#ifndef MQC_USE_H
#define MQC_USE_H

#include <Python.h>

#include "wait.h"

#ifndef Py_GIL_DISABLED

/* The GIL keeps close() away until mqc_use_end(). Returns 0, or EBADF where the queue is closed. */
static inline int
mqc_use_begin(mqc_gate *gate)
{
    return atomic_load_explicit(&gate->closed, memory_order_relaxed) ? EBADF : 0;
}

static inline void
mqc_use_end(mqc_gate *gate)
{
    (void)gate;
}

#else /* Py_GIL_DISABLED */

/* Without a GIL, close() waits for mqc_use_end(). Returns 0, or EBADF where the queue is closed. */
static inline int
mqc_use_begin(mqc_gate *gate)
{
    atomic_fetch_add(&gate->inside, 1);
    if (atomic_load(&gate->closed)) {
        atomic_fetch_sub(&gate->inside, 1);
        return EBADF;
    }
    return 0;
}

static inline void
mqc_use_end(mqc_gate *gate)
{
    atomic_fetch_sub(&gate->inside, 1);
}

#endif /* Py_GIL_DISABLED */

#endif /* MQC_USE_H */
