/* Moving a message: a try, and the wait after it. */

#ifndef MQC_TRANSFER_H
#define MQC_TRANSFER_H

#include "error.h"
#include "queue.h"

/* One message to move, and how. */
typedef struct {
    mqc_gate *gate;
    int direction; /* MQC_GET or MQC_PUT */
    mqc_attempt attempt;
    void *context;
    int64_t patience; /* nanoseconds, 0 or MQC_FOREVER */
    int on_signal_raises;
} mqc_transfer;

enum { MQC_TRY, MQC_SPIN, MQC_SLEEP, MQC_SLEEP_ON };

/* Where a wait stands: its step, the one that was last where it stopped, and when its spin and
 * the whole of it end. */
typedef struct {
    int step;
    int64_t spin_end, deadline;
} mqc_progress;

/* What a call does: an attempt with its context, and whether that alone is worth releasing the
 * GIL, so that not even the first try is made under it. */
typedef struct {
    mqc_attempt attempt;
    void *context;
    int large;
} mqc_work;

int mqc_move_slowly(const mqc_state *state, const mqc_transfer *transfer, int error);
void mqc_raise_put(const mqc_state *state, PyObject *queue, int error, size_t size);

/* Move the message. Returns 0, EAGAIN when it was not to be had in time, another errno, or -1
 * with an exception set. The common case is one system call under the GIL: what a wait needs is
 * put together only after that. */
static inline Py_ALWAYS_INLINE int
mqc_move(mqc_queue *queue, int direction, mqc_work work, int64_t patience, int on_signal_raises)
{
    int error = 0;

    if (!work.large) {
        error = mqc_hold(&queue->gate);
        if (error != 0) {
            return error;
        }
        error = work.attempt(work.context, 0);
        mqc_unhold(&queue->gate);
        if ((error != EAGAIN && error != EINTR && error != EINPROGRESS) ||
            (error == EAGAIN && patience == 0)) {
            return error;
        }
    }
    return mqc_move_slowly(queue->state,
                           &(mqc_transfer){
                               .gate = &queue->gate,
                               .direction = direction,
                               .attempt = work.attempt,
                               .context = work.context,
                               .patience = patience,
                               .on_signal_raises = on_signal_raises,
                           },
                           error);
}

/* Put what the work sends, and return what mqc_move returns. */
static inline Py_ALWAYS_INLINE int
mqc_put(mqc_queue *queue, mqc_work work, int64_t patience)
{
    return mqc_move(queue, MQC_PUT, work, patience, queue->manners.on_signal_raises);
}

/* Wait for one message or more: 0, or -1 with an exception where there is none; *refusal is then
 * the error by which the queue itself refused, if it did. */
static inline Py_ALWAYS_INLINE int
mqc_get(mqc_queue *queue, mqc_work work, int64_t patience, const char *operation, int *refusal)
{
    int error = mqc_move(queue, MQC_GET, work, patience, queue->manners.on_signal_raises);

    if (error == 0) {
        return 0;
    }
    if (error == EAGAIN) {
        PyErr_SetNone(queue->state->Empty);
    }
    else if (error > 0) {
        *refusal = error;
        mqc_raise(operation, error, (PyObject *)queue, NULL);
    }
    return -1;
}

#endif /* MQC_TRANSFER_H */
