/* Transfer: a try under the GIL, and the wait after it. The methods that transfer one message. */

#ifndef MQC_TRANSFER_H
#define MQC_TRANSFER_H

#include "call.h"
#include "family.h"

/* What a call attempts. Where it is large, not even the first try is made under the GIL. */
typedef struct {
    mqc_attempt attempt;
    void *context;
    int direction; /* MQC_GET or MQC_PUT */
    int large;
} mqc_work;

/* transfer_wait.c */
mqc_outcome mqc_transfer_wait(mqc_call *call, const mqc_work *work, mqc_outcome outcome);

/* Attempt the work until it is done or the time has run out. Returns MQC_DONE, MQC_WOULD_BLOCK,
 * MQC_INTERRUPTED, MQC_CLOSED, MQC_FAILED or MQC_RAISED. The common case is one system call under
 * the GIL. Always inlined, so that the attempt is, too. */
static inline Py_ALWAYS_INLINE mqc_outcome
mqc_transfer(mqc_call *call, mqc_work work)
{
    mqc_outcome outcome = MQC_DONE;
    mqc_work work_of_wait;

    if (!work.large) {
        if (mqc_use_begin(&call->queue->gate) != 0) {
            return MQC_CLOSED;
        }
        outcome = work.attempt(work.context, MQC_MUST_RETURN, &call->os_errno);
        mqc_use_end(&call->queue->gate);
        if (outcome == MQC_DONE || outcome == MQC_FAILED ||
            (outcome == MQC_WOULD_BLOCK && call->wait_ns == 0)) {
            return outcome;
        }
    }
    work_of_wait = work; /* the address of work itself would keep the attempt from being inlined */
    return mqc_transfer_wait(call, &work_of_wait, outcome);
}

/* Transfer one message or more. Returns 0, or -1 with an exception. */
static inline Py_ALWAYS_INLINE int
mqc_receive_work(mqc_call *call, mqc_work work)
{
    mqc_outcome outcome = mqc_transfer(call, work);

    if (outcome == MQC_DONE) {
        return 0;
    }
    if (outcome == MQC_WOULD_BLOCK) {
        PyErr_SetNone(call->queue->state->Empty);
    }
    else if (outcome != MQC_RAISED) {
        mqc_call_refuse(call, mqc_call_error(call, outcome));
    }
    return -1;
}

/* The parts that other methods are made of. */
int mqc_read_selection(mqc_call *call, PyObject *const *values);
int mqc_recheck_writers(mqc_call *call);
mqc_outcome mqc_check_size(mqc_call *call, size_t size);
void mqc_raise_put(mqc_call *call, mqc_outcome outcome, size_t size);
PyObject *mqc_receive_message(mqc_call *call);

/* Methods. */
PyObject *mqc_put(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *mqc_put_nowait(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *mqc_put_many(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *mqc_get(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *mqc_get_nowait(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *mqc_get_many(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *mqc_get_into(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *mqc_receive(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *mqc_next(PyObject *op);

#endif /* MQC_TRANSFER_H */
