/* The sleep of other systems: tries with short naps between them. */

#include "wait_internal.h"

#ifdef MQC_POLLS

#include <errno.h>
#include <signal.h>
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

/* The loop of tries and naps, until look (MQC_LOOK) at the latest. */
static int
mqc_doze(mqc_gate *gate, mqc_attempt attempt, void *context, int64_t deadline,
         const mqc_thread *thread, const sigset_t *mask)
{
    int64_t started = mqc_now();
    int64_t before = thread->sleeps_on ? 8 * MQC_LONGEST_NAP_NS : 0;

    for (;;) {
        int64_t now = mqc_now();
        int error;

        if (atomic_load(&gate->closed)) {
            return EBADF;
        }
        error = attempt(context, 1);
        if (error != EAGAIN || now >= deadline) {
            return error;
        }
        if (thread->is_main && now - started >= MQC_SLICE_NS) {
            return MQC_LOOK;
        }
        error = mqc_nap(before + now - started, deadline, mask);
        if (error != 0) {
            return error;
        }
    }
}

/* Try until the attempt succeeds, the deadline passes (EAGAIN), the gate is closed (EBADF), or
 * a signal of the program's own arrives (EINTR). The main thread holds signals off but in its
 * naps, so that one between two naps ends the next. Another thread may take it nevertheless:
 * so the main thread returns MQC_LOOK now and then to run its handler, and comes again. */
int
mqc_sleep_until(mqc_gate *gate, mqc_spin *spin, mqc_attempt attempt, void *context,
                int64_t deadline, mqc_thread *thread)
{
    int64_t started = mqc_now();
    sigset_t all, before;
    int error;

    if (thread->is_main) {
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, &before);
    }
    error = mqc_doze(gate, attempt, context, deadline, thread, thread->is_main ? &before : NULL);
    if (thread->is_main) {
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (error == 0 && !thread->sleeps_on) {
        mqc_spin_learn(gate, spin, mqc_now() - started);
    }
    return error;
}

#endif /* MQC_POLLS */
