/* The sleep of Linux: in the kernel's own blocking call, which the wake-up signal ends. */

#include "wait_internal.h"

#ifdef __linux__

/* Try once more after the deadline. While a process is stopped (SIGSTOP) it receives nothing, but
 * a message that came in time is in the queue. */
static mqc_outcome
mqc_last_try(mqc_wait *wait)
{
    mqc_outcome outcome;

    do { /* the timer's own signal may interrupt this try */
        outcome = wait->attempt(wait->context, MQC_MUST_RETURN, &wait->os_errno);
    } while (outcome == MQC_INTERRUPTED);
    return outcome;
}

static int
mqc_is_overdue(const mqc_wait *wait)
{
    return wait->deadline != MQC_FOREVER && mqc_now() >= wait->deadline;
}

/* Sleep in the kernel. The wake-up signal is not blocked any more, and the timer is armed. */
static mqc_outcome
mqc_block(mqc_wait *wait)
{
    mqc_outcome outcome;

    if (atomic_load(&wait->gate->closed)) {
        return MQC_CLOSED;
    }
    if (mqc_is_overdue(wait)) {
        return mqc_last_try(wait);
    }
    outcome = wait->attempt(wait->context, MQC_MAY_SLEEP, &wait->os_errno);
    if (outcome == MQC_INTERRUPTED && mqc_is_overdue(wait)) {
        return mqc_last_try(wait);
    }
    return outcome;
}

static mqc_outcome
mqc_fail(mqc_wait *wait, int error)
{
    wait->os_errno = error;
    return MQC_FAILED;
}

static mqc_outcome
mqc_block_with_timer(mqc_wait *wait, mqc_thread *thread)
{
    int error = mqc_timer_arm(thread, wait->deadline);
    mqc_outcome outcome;

    if (error != 0) {
        return mqc_fail(wait, error);
    }
    outcome = mqc_block(wait);
    mqc_timer_disarm(thread);
    return outcome;
}

mqc_outcome
mqc_sleep_linux(mqc_wait *wait, mqc_thread *thread)
{
    mqc_outcome outcome;
    sigset_t before;
    int error = 0;

    /* Without a deadline only close() sends the signal, and claims it again if need be. */
    if (wait->deadline != MQC_FOREVER || !mqc_signal_is_claimed()) {
        error = mqc_claim_signal();
    }
    if (error == 0) {
        error = mqc_unblock_signal(&before);
    }
    if (error != 0) {
        return mqc_fail(wait, error);
    }
    outcome = wait->deadline == MQC_FOREVER ? mqc_block(wait) : mqc_block_with_timer(wait, thread);
    mqc_restore_signal(&before);
    return outcome;
}

#endif /* __linux__ */
