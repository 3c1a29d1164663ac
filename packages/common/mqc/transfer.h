/* Moving a message: a try, and the wait after it. */

#ifndef MQC_TRANSFER_H
#define MQC_TRANSFER_H

#include "error.h"
#include "queue.h"

/* One message to move, and how. */
typedef struct {
    mqc_wait wait;
    int64_t patience; /* nanoseconds, 0 or MQC_FOREVER */
    int on_signal_raises;
} mqc_transfer;

enum { MQC_TRY, MQC_SPIN, MQC_SLEEP };

/* Where a wait stands: its step, the one that was last where it stopped, and when its spin ends. */
typedef struct {
    int step;
    int64_t spin_end;
} mqc_progress;

/* What a call does: an attempt with its context, and whether that alone is worth releasing the
 * GIL, so that not even the first try is made under it. */
typedef struct {
    mqc_attempt attempt;
    void *context;
    int large;
} mqc_work;

mqc_outcome mqc_move_slowly(const mqc_state *state, mqc_transfer *transfer, mqc_outcome outcome);
void mqc_raise_put(const mqc_state *state, PyObject *queue, int error, size_t size);

/* The outcome of a whole call as mqc_move() returns it. */
static inline int
mqc_error_of(mqc_outcome outcome, int os_errno)
{
    switch (outcome) {
    case MQC_DONE:
        return 0;
    case MQC_FAILED:
        return os_errno;
    case MQC_CLOSED:
        return EBADF;
    case MQC_INTERRUPTED:
        return EINTR;
    case MQC_RAISED:
        return -1;
    default:
        return EAGAIN;
    }
}

/* Move the message. Returns 0, EAGAIN when it was not to be had in time, another errno, or -1
 * with an exception set. The common case is one system call under the GIL: what a wait needs is
 * put together only after that. */
static inline Py_ALWAYS_INLINE int
mqc_move(mqc_queue *queue, int direction, mqc_work work, int64_t patience, int on_signal_raises)
{
    mqc_transfer transfer;
    mqc_outcome outcome = MQC_DONE;

    if (!work.large) {
        int os_errno = 0;
        int error = mqc_use_begin(&queue->gate);
        if (error != 0) {
            return error;
        }
        outcome = work.attempt(work.context, MQC_MUST_RETURN, &os_errno);
        mqc_use_end(&queue->gate);
        if (outcome == MQC_DONE || outcome == MQC_FAILED ||
            (outcome == MQC_WOULD_BLOCK && patience == 0)) {
            return mqc_error_of(outcome, os_errno);
        }
    }
    transfer = (mqc_transfer){
        .wait.gate = &queue->gate,
        .wait.spin = &queue->gate.spin[direction],
        .wait.attempt = work.attempt,
        .wait.context = work.context,
        .patience = patience,
        .on_signal_raises = on_signal_raises,
    };
    outcome = mqc_move_slowly(queue->state, &transfer, outcome);
    return mqc_error_of(outcome, transfer.wait.os_errno);
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
