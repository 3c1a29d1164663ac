/* The sleep that needs no signal: a loop of tries and short naps. Systems other than Linux use it,
 * and builds with -DMQC_POLLS. */

#include "wait_internal.h"

#include <sys/select.h>

#define MQC_SHORTEST_NAP_NS 50000
#define MQC_LONGEST_NAP_NS 5000000
#define MQC_SLICE_NS 20000000 /* how often the main thread looks for signals */

/* Nap for an eighth of the time that the call has waited, so that a short wait ends soon and a
 * long one costs little. The nap ends at `end` at the latest. During it the thread blocks the
 * signals in mask (NULL: no change). Returns 0 if a signal interrupted the nap, and 1 if none did. */
static int
mqc_nap(int64_t waited, int64_t end, const sigset_t *mask)
{
    int64_t left = end - mqc_now();
    int64_t nap = waited / 8;
    struct timespec pause = {.tv_sec = 0};

    nap = nap < MQC_SHORTEST_NAP_NS ? MQC_SHORTEST_NAP_NS : nap;
    nap = nap > MQC_LONGEST_NAP_NS ? MQC_LONGEST_NAP_NS : nap;
    nap = nap < left ? nap : left;
    if (nap <= 0) {
        return 1;
    }
    pause.tv_nsec = (long)nap;
    return pselect(0, NULL, NULL, NULL, &pause, mask) >= 0;
}

/* Try and nap by turns. Only the main thread has a mask for its naps, and is told MQC_LOOK. */
static mqc_outcome
mqc_doze(mqc_wait *wait, const sigset_t *mask)
{
    int64_t started = mqc_now();

    for (;;) {
        int64_t now = mqc_now();
        mqc_outcome outcome;

        if (atomic_load(&wait->gate->closed)) {
            return MQC_CLOSED;
        }
        outcome = wait->attempt(wait->context, MQC_MUST_POLL, &wait->os_errno);
        if (outcome != MQC_WOULD_BLOCK || now >= wait->deadline) {
            return outcome;
        }
        if (mask != NULL && now - started >= MQC_SLICE_NS) {
            return MQC_LOOK;
        }
        if (!mqc_nap(now - wait->asleep_since, wait->deadline, mask)) {
            return MQC_INTERRUPTED;
        }
    }
}

/* The main thread blocks all signals except in its naps: a signal that comes between two naps
 * interrupts the next one. But another thread may receive the signal. So the main thread returns
 * MQC_LOOK now and then, runs the handlers and calls again. */
mqc_outcome
mqc_sleep_poll(mqc_wait *wait, mqc_thread *thread)
{
    sigset_t all, before;
    mqc_outcome outcome;

    if (!thread->is_main) {
        return mqc_doze(wait, NULL);
    }
    sigfillset(&all);
    mqc_sigmask(SIG_BLOCK, &all, &before);
    outcome = mqc_doze(wait, &before);
    mqc_sigmask(SIG_SETMASK, &before, NULL);
    return outcome;
}
