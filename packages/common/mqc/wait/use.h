/* A short use of a queue's descriptor, by a thread that does not release the GIL meanwhile.
 *
 * Include Python.h first: it says whether there is a GIL.
 */

#ifndef MQC_USE_H
#define MQC_USE_H

#ifndef Py_PYTHON_H
#error "include Python.h before wait/use.h"
#endif

#include <errno.h>

#include "wait.h"

/* A short use of the descriptor that never releases the GIL needs no entry, unless there is
 * no GIL that keeps close() away. */
static inline int
mqc_hold(mqc_gate *gate)
{
#ifdef Py_GIL_DISABLED
    atomic_fetch_add(&gate->inside, 1);
    if (atomic_load(&gate->closed)) {
        atomic_fetch_sub(&gate->inside, 1);
        return EBADF;
    }
    return 0;
#else
    return atomic_load_explicit(&gate->closed, memory_order_relaxed) ? EBADF : 0;
#endif
}

static inline void
mqc_unhold(mqc_gate *gate)
{
#ifdef Py_GIL_DISABLED
    atomic_fetch_sub(&gate->inside, 1);
#else
    (void)gate;
#endif
}

#endif /* MQC_USE_H */
