/* The wait of a call whose first try did not succeed. */

#include "mqc.h"

#include "names.h"
#include "thread_record.h"
#include "transfer.h"

enum { MQC_TRY, MQC_SPIN, MQC_SLEEP };

/* Where a wait stands: its step, which is the last one once it has stopped, and when its spin
 * ends. */
typedef struct {
    int step;
    int64_t spin_end;
} mqc_progress;

/* One step of the wait, inside the gate and without the GIL. The main thread returns to Python
 * between steps, as a handler whose signal arrived during a spin must not wait for the message.
 * Other threads go from the spin to the sleep in one step. */
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

/* Run steps for as long as a batch makes progress: its wait then begins anew, with a spin. The
 * main thread returns every millisecond to look for signals. */
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

/* Enter the gate, release the GIL and run steps. */
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
        mqc_want_signal(mqc_environment_number(mqc_names.signal_variable));
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
mqc_handle_signals(const mqc_call *call, mqc_outcome outcome)
{
    int raises = call->queue->policy.on_signal_raises && !call->ignores_signals;

    if (PyErr_CheckSignals() < 0) {
        return MQC_RAISED;
    }
    if (outcome == MQC_INTERRUPTED && raises && call->wait_ns != 0 && mqc_in_main_thread()) {
        return MQC_INTERRUPTED;
    }
    return MQC_DONE;
}

/* Choose the next step after one that did not end the wait. */
static void
mqc_choose_step(const mqc_call *call, const mqc_wait *wait, mqc_progress *progress,
                mqc_outcome outcome)
{
    if (outcome == MQC_PROGRESS) {
        progress->spin_end = mqc_spin_end(wait->gate, wait->spin, wait->deadline);
    }
    if (outcome != MQC_LOOK && call->wait_ns != 0) {
        progress->step = mqc_now() < progress->spin_end ? MQC_SPIN : MQC_SLEEP;
    }
}

/* Whether the wait goes on after a step with this outcome. */
static int
mqc_goes_on(const mqc_call *call, const mqc_progress *progress, mqc_outcome outcome)
{
    if (outcome == MQC_WOULD_BLOCK) {
        return call->wait_ns != 0 && progress->step != MQC_SLEEP;
    }
    return outcome == MQC_PROGRESS || outcome == MQC_LOOK || outcome == MQC_INTERRUPTED;
}

/* Wait, after a first try that ended with outcome (MQC_WOULD_BLOCK, MQC_PROGRESS or
 * MQC_INTERRUPTED), or after none (MQC_DONE). */
mqc_outcome
mqc_transfer_wait(mqc_call *call, const mqc_work *work, mqc_outcome outcome)
{
    mqc_gate *gate = &call->queue->gate;
    mqc_progress progress = {.step = MQC_TRY};
    mqc_wait wait = {
        .gate = gate,
        .spin = &gate->spin[work->direction],
        .attempt = work->attempt,
        .context = work->context,
        .deadline = call->wait_ns == MQC_FOREVER ? MQC_FOREVER : mqc_deadline(call->wait_ns),
    };

    if (call->wait_ns != 0) {
        progress.spin_end = mqc_spin_end(gate, wait.spin, wait.deadline);
    }
    do {
        if (outcome != MQC_DONE) {
            mqc_outcome stop = mqc_handle_signals(call, outcome);
            if (stop != MQC_DONE) {
                return stop;
            }
            mqc_choose_step(call, &wait, &progress, outcome);
        }
        outcome = mqc_step_inside(call->queue->state, &wait, &progress);
    } while (mqc_goes_on(call, &progress, outcome));
    call->os_errno = wait.os_errno;
    return outcome;
}
