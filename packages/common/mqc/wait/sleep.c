/* A sleep: what both ways to sleep have in common, and which of them a thread takes. */

#include "wait_internal.h"

int
mqc_polls(void)
{
    return MQC_USUAL_SLEEP == mqc_sleep_poll;
}

/* Sleep until the attempt succeeds, the deadline passes (EAGAIN), the gate is closed (EBADF),
 * a signal of the program's own arrives (EINTR), or the caller shall look for one and come again
 * (MQC_LOOK). */
int
mqc_sleep(mqc_wait *wait, mqc_thread *thread)
{
    int64_t now = mqc_now();
    int error;

    if (now >= wait->deadline) {
        return wait->attempt(wait->context, MQC_MUST_RETURN); /* what came while a handler ran */
    }
    if (atomic_load(&wait->gate->alone)) {
        mqc_count_cpus(wait->gate);
    }
    if (wait->asleep_since == 0) {
        wait->asleep_since = now;
    }
    error = thread->sleep(wait, thread);
    if (error == 0 || error == EINPROGRESS) {
        mqc_spin_learn(wait->gate, wait->spin, mqc_now() - wait->asleep_since);
    }
    if (error != MQC_LOOK) {
        wait->asleep_since = 0;
    }
    return error;
}
