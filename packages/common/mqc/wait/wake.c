/* The signal that wakes a sleeping thread, and the timer that sends it. */

#include "wait_internal.h"

#ifdef __linux__

#include <errno.h>
#include <limits.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel_time.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid /* older libcs have only the field */
#endif

static atomic_int mqc_signal;
static atomic_long mqc_wanted_signal = -1; /* what the environment names, once it was asked */

/* Whether mqc_want_signal() comes too late to matter. */
int
mqc_signal_is_claimed(void)
{
    return atomic_load(&mqc_signal) != 0;
}

void
mqc_want_signal(long number)
{
    atomic_store(&mqc_wanted_signal, number);
}

static void
mqc_wake(int number)
{
    (void)number; /* that the system call returns EINTR is all that is wanted */
}

static int
mqc_is_free(int number)
{
    struct sigaction action;

    return sigaction(number, NULL, &action) == 0 && !(action.sa_flags & SA_SIGINFO) &&
           action.sa_handler == SIG_DFL;
}

/* The number to claim: what the environment names, else the highest free one. One that this
 * thread blocks is left alone at first: the program may take it by sigwait(3) or signalfd(2). */
static int
mqc_choose_signal(void)
{
    long chosen = atomic_load(&mqc_wanted_signal);
    sigset_t blocked;

    if (chosen >= 0) {
        int usable = chosen >= SIGRTMIN && chosen <= SIGRTMAX && mqc_is_free((int)chosen);
        return usable ? (int)chosen : 0;
    }
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    for (int any = 0; any <= 1; any++) {
        /* The two highest are left to debuggers and memory checkers, which like them. */
        for (int number = SIGRTMAX - 2; number >= SIGRTMIN; number--) {
            if (mqc_is_free(number) && (any || !sigismember(&blocked, number))) {
                return number;
            }
        }
    }
    return 0;
}

/* Whether a signal has lost its handler: programs reset them all, before exec(2) for one. */
static int
mqc_is_reset(int number)
{
    struct sigaction action;

    return sigaction(number, NULL, &action) == 0 && !(action.sa_flags & SA_SIGINFO) &&
           (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN);
}

/* Claim the signal when it is first needed, and again if the program took our handler away.
 * Returns 0, or EBUSY where none is to be had. */
int
mqc_claim_signal(void)
{
    int number = atomic_load(&mqc_signal);
    int error = 0;

    if (number > 0 && !mqc_is_reset(number)) {
        return 0;
    }
    pthread_mutex_lock(&mqc_lock);
    number = atomic_load(&mqc_signal);
    if (number == 0 || mqc_is_reset(number)) {
        struct sigaction action = {.sa_handler = mqc_wake}; /* no SA_RESTART: that is the point */
        if (number == 0) {
            number = mqc_choose_signal();
        }
        if (number == 0 || sigaction(number, &action, NULL) < 0) {
            error = EBUSY;
        }
        else {
            atomic_store(&mqc_signal, number);
        }
    }
    pthread_mutex_unlock(&mqc_lock);
    return error;
}

/* Arm the thread's timer for a moment of CLOCK_MONOTONIC, 0 to disarm it. */
int
mqc_timer_set(const mqc_thread *thread, int64_t moment)
{
    const struct {
        struct mqc_timespec interval, value;
    } setting = {
        .interval = {.nanoseconds = moment > 0 ? MQC_MILLISECOND : 0},
        .value = {.seconds = moment / 1000000000, .nanoseconds = moment % 1000000000},
    };

    if (syscall(MQC_SYS_timer_settime, thread->timer, TIMER_ABSTIME, &setting, NULL) < 0) {
        return errno;
    }
    return 0;
}

int
mqc_timer_arm(mqc_thread *thread, int64_t deadline)
{
    if (!thread->has_timer) {
        struct sigevent event = {
            .sigev_notify = SIGEV_THREAD_ID,
            .sigev_signo = atomic_load(&mqc_signal),
        };
        event.sigev_notify_thread_id = (pid_t)thread->tid;
        if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &thread->timer) < 0) {
            return errno == EAGAIN ? ENOMEM : errno; /* EAGAIN has a meaning of its own here */
        }
        thread->has_timer = 1;
    }
    return mqc_timer_set(thread, deadline);
}

/* Let the wake-up signal through in this thread, whatever the program has blocked. On Linux
 * sigprocmask(2) is the thread's own; pthread_sigmask would ask for a newer glibc. */
int
mqc_unblock_signal(sigset_t *before)
{
    sigset_t wanted;

    sigemptyset(&wanted);
    sigaddset(&wanted, atomic_load(&mqc_signal));
    return sigprocmask(SIG_UNBLOCK, &wanted, before) < 0 ? errno : 0;
}

void
mqc_restore_signal(const sigset_t *before)
{
    if (sigismember(before, atomic_load(&mqc_signal)) == 1) {
        sigprocmask(SIG_SETMASK, before, NULL);
    }
}

void
mqc_timer_delete(const mqc_thread *thread)
{
    syscall(SYS_timer_delete, thread->timer);
}

void
mqc_wake_all(mqc_gate *gate)
{
    /* Who sleeps has claimed it; it must not have been reset, or it would kill. */
    if (atomic_load(&mqc_signal) > 0 && mqc_claim_signal() == 0) {
        pthread_mutex_lock(&mqc_lock);
        for (mqc_waiter *waiter = gate->waiters; waiter != NULL; waiter = waiter->next) {
            syscall(SYS_tgkill, getpid(), (pid_t)waiter->tid, atomic_load(&mqc_signal));
        }
        pthread_mutex_unlock(&mqc_lock);
    }
}

#else /* no signal can be sent to one thread: its sleeps poll, and none is claimed */

int
mqc_signal_is_claimed(void)
{
    return 1;
}

void
mqc_want_signal(long number)
{
    (void)number;
}

void
mqc_timer_delete(const mqc_thread *thread)
{
    (void)thread;
}

void
mqc_wake_all(mqc_gate *gate)
{
    (void)gate; /* whoever is inside will look at it within a few milliseconds */
}

#endif /* __linux__ */
