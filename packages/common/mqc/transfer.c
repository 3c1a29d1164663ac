/* Moving a message: a try, and the wait after it. */

#include "mqc.h"

#include "argument.h"
#include "error.h"
#include "family.h"
#include "thread.h"
#include "transfer.h"

/* One step of the wait, inside the gate and without the GIL. The main thread returns to Python
 * between steps, as a handler whose signal arrived during a spin must not wait for the message;
 * the others go from spin to sleep in one. */
static mqc_outcome
mqc_step_once(mqc_wait *wait, mqc_progress *progress, mqc_thread *thread)
{
    int64_t spin_end = progress->spin_end;
    mqc_outcome outcome = MQC_WOULD_BLOCK;

    if (progress->step == MQC_TRY) {
        return wait->attempt(wait->context, MQC_MUST_RETURN, &wait->os_errno);
    }
    if (progress->step == MQC_SPIN && spin_end > 0) {
        int64_t look = mqc_now() + MQC_LOOK_NS;
        int64_t slice_end = thread->is_main && look < spin_end ? look : spin_end;
        outcome = mqc_spin_on(wait, slice_end, spin_end);
    }
    if (outcome == MQC_WOULD_BLOCK && (progress->step == MQC_SLEEP || !thread->is_main)) {
        progress->step = MQC_SLEEP;
        outcome = mqc_sleep(wait, thread);
    }
    return outcome;
}

/* A batch that made progress begins its wait anew, with a spin, and without the GIL in between:
 * but the main thread looks for signals every millisecond. */
static mqc_outcome
mqc_step(mqc_wait *wait, mqc_progress *progress, mqc_thread *thread)
{
    int64_t look = 0;

    for (;;) {
        mqc_outcome outcome = mqc_step_once(wait, progress, thread);
        int64_t now;
        if (outcome != MQC_PROGRESS) {
            return outcome;
        }
        now = mqc_now();
        if (atomic_load(&wait->gate->closed)) {
            return MQC_CLOSED;
        }
        if (now >= wait->deadline) {
            return MQC_WOULD_BLOCK;
        }
        if (look == 0) {
            look = now + MQC_MILLISECOND;
        }
        else if (thread->is_main && now >= look) {
            return MQC_PROGRESS;
        }
        progress->step = MQC_SPIN;
        progress->spin_end = mqc_spin_end(wait->gate, wait->spin, wait->deadline);
    }
}

static mqc_outcome
mqc_step_inside(const mqc_state *state, mqc_wait *wait, mqc_progress *progress)
{
    PyObject *record = mqc_this_thread(state);
    mqc_thread *thread;
    mqc_waiter waiter;
    mqc_outcome outcome;

    if (record == NULL) {
        return MQC_RAISED;
    }
    thread = PyCapsule_GetPointer(record, NULL);
    if (!mqc_signal_is_claimed()) { /* under a GIL getenv(3) is safe from os.environ */
        mqc_want_signal(mqc_environment_number(mqc_family.signal_variable));
    }
    outcome = mqc_wait_begin(wait->gate, &waiter, thread->tid);
    if (outcome == MQC_DONE) {
        Py_BEGIN_ALLOW_THREADS
        outcome = mqc_step(wait, progress, thread);
        if (outcome == MQC_INTERRUPTED && atomic_load(&wait->gate->closed)) {
            outcome = MQC_CLOSED; /* close() sent the signal, not the program */
        }
        mqc_wait_end(wait->gate, &waiter);
        Py_END_ALLOW_THREADS
    }
    /* A daemon thread that outlives the interpreter ends above and keeps its record. */
    Py_DECREF(record);
    return outcome;
}

/* Run the handlers of signals that arrived. Returns MQC_DONE to go on, MQC_INTERRUPTED to stop, or
 * MQC_RAISED. Only the main thread runs handlers, so calls are interrupted only there. */
static mqc_outcome
mqc_handle_signals(const mqc_transfer *transfer, mqc_outcome outcome)
{
    if (PyErr_CheckSignals() < 0) {
        return MQC_RAISED;
    }
    if (outcome == MQC_INTERRUPTED && transfer->on_signal_raises && transfer->patience != 0 &&
        mqc_in_main_thread()) {
        return MQC_INTERRUPTED;
    }
    return MQC_DONE;
}

/* Choose the next step after one that did not end the wait. */
static void
mqc_choose_step(const mqc_transfer *transfer, mqc_progress *progress, mqc_outcome outcome)
{
    const mqc_wait *wait = &transfer->wait;

    if (outcome == MQC_PROGRESS) {
        progress->spin_end = mqc_spin_end(wait->gate, wait->spin, wait->deadline);
    }
    if (outcome != MQC_LOOK && transfer->patience != 0) {
        progress->step = mqc_now() < progress->spin_end ? MQC_SPIN : MQC_SLEEP;
    }
}

/* Whether a step that ended so does not end the wait. */
static int
mqc_goes_on(const mqc_transfer *transfer, const mqc_progress *progress, mqc_outcome outcome)
{
    if (outcome == MQC_WOULD_BLOCK) {
        return transfer->patience != 0 && progress->step != MQC_SLEEP;
    }
    return outcome == MQC_PROGRESS || outcome == MQC_LOOK || outcome == MQC_INTERRUPTED;
}

/* Wait, after a first try that ended with outcome (MQC_WOULD_BLOCK, MQC_PROGRESS or
 * MQC_INTERRUPTED), or after none (MQC_DONE). */
mqc_outcome
mqc_move_slowly(const mqc_state *state, mqc_transfer *transfer, mqc_outcome outcome)
{
    mqc_wait *wait = &transfer->wait;
    mqc_progress progress = {.step = MQC_TRY};

    wait->deadline =
        transfer->patience == MQC_FOREVER ? MQC_FOREVER : mqc_deadline(transfer->patience);
    if (transfer->patience != 0) {
        progress.spin_end = mqc_spin_end(wait->gate, wait->spin, wait->deadline);
    }
    do {
        if (outcome != MQC_DONE) {
            mqc_outcome stop = mqc_handle_signals(transfer, outcome);
            if (stop != MQC_DONE) {
                return stop;
            }
            mqc_choose_step(transfer, &progress, outcome);
        }
        outcome = mqc_step_inside(state, wait, &progress);
    } while (mqc_goes_on(transfer, &progress, outcome));
    return outcome;
}

/* Raise what a put of size bytes that returned error ended with. */
void
mqc_raise_put(const mqc_state *state, PyObject *queue, int error, size_t size)
{
    PyObject *detail;

    if (error == EAGAIN) {
        PyErr_SetNone(state->Full);
        return;
    }
    if (error < 0) {
        return; /* an exception is set */
    }
    detail = PyLong_FromSize_t(size);
    if (detail != NULL) {
        mqc_raise("put", error, queue, detail);
        Py_DECREF(detail);
    }
}
