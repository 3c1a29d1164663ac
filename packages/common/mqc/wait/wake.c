/* The signal that wakes a sleeping thread, and the timer that sends it. Only Linux has both. */

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

static atomic_int mqc_signal; /* 0 until it is claimed */
static atomic_long mqc_wanted_signal = -1;

/* ***** the signal ***** */

/* Whether the process has a wake-up signal. Then mqc_want_signal() has no effect any more. */
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
    (void)number; /* the handler need do nothing: the system call returns EINTR */
}

static int
mqc_is_free(int number)
{
    struct sigaction action;

    return sigaction(number, NULL, &action) == 0 && !(action.sa_flags & SA_SIGINFO) &&
           action.sa_handler == SIG_DFL;
}

/* Return the number to claim, or 0: the wanted one, else the highest free one. Signals that this
 * thread blocks come last: the program may receive them by sigwait(3) or signalfd(2). */
static int
mqc_choose_signal(void)
{
    long chosen = atomic_load(&mqc_wanted_signal);
    sigset_t blocked;

    if (chosen >= 0) {
        int usable = chosen >= SIGRTMIN && chosen <= SIGRTMAX && mqc_is_free((int)chosen);
        return usable ? (int)chosen : 0;
    }
    mqc_sigmask(SIG_SETMASK, NULL, &blocked);
    for (int any = 0; any <= 1; any++) {
        /* Debuggers and memory checkers use the two highest. */
        for (int number = SIGRTMAX - 2; number >= SIGRTMIN; number--) {
            if (mqc_is_free(number) && (any || !sigismember(&blocked, number))) {
                return number;
            }
        }
    }
    return 0;
}

/* Whether a signal has lost its handler. Some programs reset all signals, before exec(2) say. */
static int
mqc_is_reset(int number)
{
    struct sigaction action;

    return sigaction(number, NULL, &action) == 0 && !(action.sa_flags & SA_SIGINFO) &&
           (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN);
}

/* Install the handler when the signal is first needed, and again if the program has reset it.
 * Returns 0, or EBUSY if no signal is free. */
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
        struct sigaction action = {.sa_handler = mqc_wake}; /* and not SA_RESTART */
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

/* Unblock the signal in this thread: the program may have blocked all signals. */
int
mqc_unblock_signal(sigset_t *before)
{
    sigset_t wanted;

    sigemptyset(&wanted);
    sigaddset(&wanted, atomic_load(&mqc_signal));
    return mqc_sigmask(SIG_UNBLOCK, &wanted, before) < 0 ? errno : 0;
}

/* Block the signal again if it was blocked before. */
void
mqc_restore_signal(const sigset_t *before)
{
    if (sigismember(before, atomic_load(&mqc_signal)) == 1) {
        mqc_sigmask(SIG_SETMASK, before, NULL);
    }
}

/* Send the signal to the threads inside a gate. */
void
mqc_wake_all(mqc_gate *gate)
{
    /* Threads that sleep have claimed the signal. If it was reset since, it would end the process,
     * so claim it again. */
    if (atomic_load(&mqc_signal) > 0 && mqc_claim_signal() == 0) {
        pthread_mutex_lock(&mqc_lock);
        for (mqc_waiter *waiter = gate->waiters; waiter != NULL; waiter = waiter->next) {
            syscall(SYS_tgkill, getpid(), (pid_t)waiter->tid, atomic_load(&mqc_signal));
        }
        pthread_mutex_unlock(&mqc_lock);
    }
}

/* ***** the timer ***** */

/* Arm the thread's timer for a moment of CLOCK_MONOTONIC; 0 disarms it. */
static int
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

/* Make the thread's timer, unless it has one, and arm it. It sends the signal at the deadline and
 * every millisecond after that. */
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
            return errno == EAGAIN ? ENOMEM : errno; /* RLIMIT_SIGPENDING */
        }
        thread->has_timer = 1;
    }
    return mqc_timer_set(thread, deadline);
}

void
mqc_timer_disarm(const mqc_thread *thread)
{
    mqc_timer_set(thread, 0);
}

void
mqc_timer_delete(const mqc_thread *thread)
{
    syscall(SYS_timer_delete, thread->timer);
}

#else /* not __linux__: all sleeps poll, so no signal is needed, and threads have no timers */

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
    (void)gate; /* threads that poll look at the gate every few milliseconds */
}

#endif /* __linux__ */
