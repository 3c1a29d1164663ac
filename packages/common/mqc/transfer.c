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
static int
mqc_step_once(const mqc_transfer *transfer, mqc_progress *progress, mqc_thread *thread)
{
    mqc_spin *spin = &transfer->gate->spin[transfer->direction];
    int64_t spin_end = progress->spin_end;
    int error = EAGAIN;

    if (progress->step == MQC_TRY) {
        return transfer->attempt(transfer->context, 0);
    }
    if (progress->step == MQC_SPIN && spin_end > 0) {
        int64_t look = mqc_now() + MQC_LOOK_NS;
        int64_t slice_end = thread->is_main && look < spin_end ? look : spin_end;
        error = mqc_spin_on(transfer->gate, spin, transfer->attempt, transfer->context, slice_end,
                            spin_end);
    }
    if (error == EAGAIN && (progress->step >= MQC_SLEEP || !thread->is_main)) {
        thread->sleeps_on = progress->step == MQC_SLEEP_ON;
        progress->step = MQC_SLEEP;
        error = mqc_sleep_until(transfer->gate, spin, transfer->attempt, transfer->context,
                                progress->deadline, thread);
    }
    return error;
}

/* A batch that made progress begins its wait anew, with a spin, and without the GIL in between:
 * but the main thread looks for signals every millisecond. */
static int
mqc_step(const mqc_transfer *transfer, mqc_progress *progress, mqc_thread *thread)
{
    mqc_spin *spin = &transfer->gate->spin[transfer->direction];
    int64_t look = 0;

    for (;;) {
        int error = mqc_step_once(transfer, progress, thread);
        int64_t now;
        if (error != EINPROGRESS) {
            return error;
        }
        now = mqc_now();
        if (atomic_load(&transfer->gate->closed)) {
            return EBADF;
        }
        if (now >= progress->deadline) {
            return EAGAIN;
        }
        if (look == 0) {
            look = now + MQC_MILLISECOND;
        }
        else if (thread->is_main && now >= look) {
            return EINPROGRESS;
        }
        progress->step = MQC_SPIN;
        progress->spin_end = mqc_spin_end(transfer->gate, spin, progress->deadline);
    }
}

static int
mqc_step_inside(const mqc_state *state, const mqc_transfer *transfer, mqc_progress *progress)
{
    PyObject *record = mqc_this_thread(state);
    mqc_thread *thread;
    mqc_waiter waiter;
    int error;

    if (record == NULL) {
        return -1;
    }
    thread = PyCapsule_GetPointer(record, NULL);
    if (!mqc_signal_is_claimed()) { /* under a GIL getenv(3) is safe from os.environ */
        mqc_want_signal(mqc_environment_number(mqc_family.signal_variable));
    }
    error = mqc_enter(transfer->gate, &waiter, thread->tid);
    if (error == 0) {
        Py_BEGIN_ALLOW_THREADS
        error = mqc_step(transfer, progress, thread);
        if (error == EINTR && atomic_load(&transfer->gate->closed)) {
            error = EBADF; /* that was close(), not a signal of the program's own */
        }
        mqc_leave(transfer->gate, &waiter);
        Py_END_ALLOW_THREADS
    }
    /* A daemon thread that outlives the interpreter ends above and keeps its record. */
    Py_DECREF(record);
    return error;
}

/* Run the handlers of signals that arrived. Returns 0 to go on, EINTR to stop, -1 when a
 * handler raised. Only the main thread runs handlers, so only there is a call interrupted. */
static int
mqc_handle_signals(const mqc_transfer *transfer)
{
    if (PyErr_CheckSignals() < 0) {
        return -1;
    }
    return transfer->on_signal_raises && transfer->patience != 0 && mqc_in_main_thread() ? EINTR
                                                                                         : 0;
}

/* Go on after a first try that returned error (EAGAIN, EINTR or EINPROGRESS), or after none (0). */
int
mqc_move_slowly(const mqc_state *state, const mqc_transfer *transfer, int error)
{
    mqc_spin *spin = &transfer->gate->spin[transfer->direction];
    mqc_progress progress = {
        .step = MQC_TRY,
        .deadline =
            transfer->patience == MQC_FOREVER ? MQC_FOREVER : mqc_deadline(transfer->patience),
    };

    if (transfer->patience != 0) {
        progress.spin_end = mqc_spin_end(transfer->gate, spin, progress.deadline);
    }
    for (;;) {
        if (error == EINTR) {
            int stop = mqc_handle_signals(transfer);
            if (stop != 0) {
                return stop;
            }
        }
        else if (error != 0 && PyErr_CheckSignals() < 0) {
            return -1;
        }
        if (error == EINPROGRESS) {
            progress.spin_end = mqc_spin_end(transfer->gate, spin, progress.deadline);
        }
        if (error == MQC_LOOK) {
            progress.step = MQC_SLEEP_ON;
        }
        else if (error != 0 && transfer->patience != 0) {
            progress.step = mqc_now() < progress.spin_end ? MQC_SPIN : MQC_SLEEP;
        }
        error = mqc_step_inside(state, transfer, &progress);
        if (error == EAGAIN && (transfer->patience == 0 || progress.step == MQC_SLEEP)) {
            return error;
        }
        if (error != EAGAIN && error != EINTR && error != EINPROGRESS && error != MQC_LOOK) {
            return error;
        }
    }
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
