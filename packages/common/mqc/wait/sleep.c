/* The sleep: what both ways to sleep have in common. */

#include "wait_internal.h"

/* Whether this build polls instead of sleeping in the kernel. */
int
mqc_polls(void)
{
    return MQC_USUAL_SLEEP == mqc_sleep_poll;
}

/* Sleep until one of these ends it:
 * - MQC_DONE, MQC_PROGRESS: the attempt succeeded
 * - MQC_WOULD_BLOCK: the deadline has passed
 * - MQC_CLOSED: the gate was closed
 * - MQC_INTERRUPTED: a signal arrived, or close() sent the wake-up signal
 * - MQC_LOOK: run signal handlers and call again; only the main thread is told this
 * - MQC_FAILED */
mqc_outcome
mqc_sleep(mqc_wait *wait, mqc_thread *thread)
{
    int64_t now = mqc_now();
    mqc_outcome outcome;

    if (now >= wait->deadline) { /* what came while a signal handler ran, came in time */
        return wait->attempt(wait->context, MQC_MUST_RETURN, &wait->os_errno);
    }
    if (atomic_load(&wait->gate->single_cpu)) { /* the process may have been given more CPUs */
        mqc_count_cpus(wait->gate);
    }
    if (wait->asleep_since == 0) {
        wait->asleep_since = now;
    }
    outcome = thread->sleep(wait, thread);
    if (outcome == MQC_DONE || outcome == MQC_PROGRESS) {
        mqc_spin_learn(wait->gate, wait->spin, mqc_now() - wait->asleep_since);
    }
    if (outcome != MQC_LOOK) {
        wait->asleep_since = 0;
    }
    return outcome;
}
