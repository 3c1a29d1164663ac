/* The sleep of Linux: in the kernel's own blocking call, which the wake-up signal ends. */

#include "wait_internal.h"

#ifndef MQC_POLLS

#include <errno.h>

/* Look once more when the deadline has passed: while a process is stopped (SIGSTOP) nothing is
 * handed to it, and what came in time lies in the queue. */
static int
mqc_last_try(mqc_attempt attempt, void *context)
{
    int error;

    do { /* the timer's own signal may fall into this try */
        error = attempt(context, 0);
    } while (error == EINTR);
    return error;
}

static int
mqc_sleep(mqc_gate *gate, mqc_attempt attempt, void *context, int64_t deadline)
{
    int error;

    if (atomic_load(&gate->closed)) {
        return EBADF;
    }
    if (deadline != MQC_FOREVER && mqc_now() >= deadline) {
        return mqc_last_try(attempt, context);
    }
    error = attempt(context, 1);
    if (error == EINTR && deadline != MQC_FOREVER && mqc_now() >= deadline) {
        return mqc_last_try(attempt, context);
    }
    return error;
}

/* Sleep until the attempt succeeds, the deadline passes (EAGAIN), the gate is closed (EBADF),
 * or a signal of the program's own arrives (EINTR). */
int
mqc_sleep_until(mqc_gate *gate, mqc_spin *spin, mqc_attempt attempt, void *context,
                int64_t deadline, mqc_thread *thread)
{
    sigset_t before;
    int64_t started = mqc_now();
    int error;

    if (started >= deadline) {
        return attempt(context, 0); /* what came while a handler ran came in time */
    }
    if (atomic_load(&gate->alone)) { /* the process may be given more CPUs */
        mqc_count_cpus(gate);
    }
    /* Without a deadline only close() sends the signal, which makes sure of it itself. */
    error = deadline == MQC_FOREVER && mqc_signal_is_claimed() ? 0 : mqc_claim_signal();
    if (error == 0) {
        error = mqc_unblock_signal(&before);
    }
    if (error != 0) {
        return error;
    }
    if (deadline != MQC_FOREVER) {
        error = mqc_timer_arm(thread, deadline);
    }
    if (error == 0) {
        error = mqc_sleep(gate, attempt, context, deadline);
        if (deadline != MQC_FOREVER) {
            mqc_timer_set(thread, 0);
        }
    }
    mqc_restore_signal(&before);
    if (error == 0 || error == EINPROGRESS) {
        mqc_spin_learn(gate, spin, mqc_now() - started);
    }
    return error;
}

#endif /* MQC_POLLS */
