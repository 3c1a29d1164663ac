/* The sleep of Linux: in the kernel's own blocking call, which the wake-up signal ends. */

#include "wait_internal.h"

#ifdef __linux__

#include <errno.h>

/* Look once more when the deadline has passed: while a process is stopped (SIGSTOP) nothing is
 * handed to it, and what came in time lies in the queue. */
static int
mqc_last_try(const mqc_wait *wait)
{
    int error;

    do { /* the timer's own signal may fall into this try */
        error = wait->attempt(wait->context, MQC_MUST_RETURN);
    } while (error == EINTR);
    return error;
}

static int
mqc_is_overdue(const mqc_wait *wait)
{
    return wait->deadline != MQC_FOREVER && mqc_now() >= wait->deadline;
}

/* Sleep in the kernel's blocking call; the signal is let through and the timer is armed. */
static int
mqc_block(const mqc_wait *wait)
{
    int error;

    if (atomic_load(&wait->gate->closed)) {
        return EBADF;
    }
    if (mqc_is_overdue(wait)) {
        return mqc_last_try(wait);
    }
    error = wait->attempt(wait->context, MQC_MAY_SLEEP);
    if (error == EINTR && mqc_is_overdue(wait)) {
        return mqc_last_try(wait);
    }
    return error;
}

static int
mqc_block_with_timer(const mqc_wait *wait, mqc_thread *thread)
{
    int error = mqc_timer_arm(thread, wait->deadline);

    if (error == 0) {
        error = mqc_block(wait);
        mqc_timer_set(thread, 0);
    }
    return error;
}

int
mqc_sleep_linux(mqc_wait *wait, mqc_thread *thread)
{
    sigset_t before;
    int error = 0;

    /* Without a deadline only close() sends the signal, which makes sure of it itself. */
    if (wait->deadline != MQC_FOREVER || !mqc_signal_is_claimed()) {
        error = mqc_claim_signal();
    }
    if (error == 0) {
        error = mqc_unblock_signal(&before);
    }
    if (error != 0) {
        return error;
    }
    error = wait->deadline == MQC_FOREVER ? mqc_block(wait) : mqc_block_with_timer(wait, thread);
    mqc_restore_signal(&before);
    return error;
}

#endif /* __linux__ */
