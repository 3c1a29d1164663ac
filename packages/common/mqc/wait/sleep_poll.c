/* The sleep of systems without the wake-up signal: tries with short naps between them. */

#include "wait_internal.h"

#include <errno.h>
#include <sys/select.h>

#define MQC_SHORTEST_NAP_NS 50000
#define MQC_LONGEST_NAP_NS (5 * MQC_MILLISECOND)
#define MQC_SLICE_NS (20 * MQC_MILLISECOND) /* between two looks for signals while it sleeps */

/* Nap for a part of what was waited already, so that a short wait ends soon and a long one
 * costs little; at most until end. Signals in mask are held off (NULL: as they are). Returns 0,
 * or EINTR if one arrived or had been held off before. */
static int
mqc_nap(int64_t waited, int64_t end, const sigset_t *mask)
{
    int64_t left = end - mqc_now();
    int64_t nap = waited / 8;
    struct timespec pause = {.tv_sec = 0};

    nap = nap < MQC_SHORTEST_NAP_NS ? MQC_SHORTEST_NAP_NS : nap;
    nap = nap > MQC_LONGEST_NAP_NS ? MQC_LONGEST_NAP_NS : nap;
    pause.tv_nsec = (long)(nap < left ? nap : left);
    return left > 0 && pselect(0, NULL, NULL, NULL, &pause, mask) < 0 ? errno : 0;
}

/* The loop of tries and naps. Where mask is given, it ends by MQC_LOOK after a slice of time. */
static int
mqc_doze(const mqc_wait *wait, const sigset_t *mask)
{
    int64_t started = mqc_now();

    for (;;) {
        int64_t now = mqc_now();
        int error;

        if (atomic_load(&wait->gate->closed)) {
            return EBADF;
        }
        error = wait->attempt(wait->context, MQC_MUST_POLL);
        if (error != EAGAIN || now >= wait->deadline) {
            return error;
        }
        if (mask != NULL && now - started >= MQC_SLICE_NS) {
            return MQC_LOOK;
        }
        error = mqc_nap(now - wait->asleep_since, wait->deadline, mask);
        if (error != 0) {
            return error;
        }
    }
}

/* The main thread holds signals off but in its naps, so that one between two naps ends the next.
 * Another thread may take it nevertheless: so the main thread returns MQC_LOOK now and then to run
 * its handler, and comes again. */
int
mqc_sleep_poll(mqc_wait *wait, mqc_thread *thread)
{
    sigset_t all, before;
    int error;

    if (!thread->is_main) {
        return mqc_doze(wait, NULL);
    }
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    error = mqc_doze(wait, &before);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}
