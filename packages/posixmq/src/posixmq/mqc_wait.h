/* How a call waits: shared word for word by posixmq and sysvmq, and free of Python's calls.
 *
 * A call that would block first spins: it tries again for some tens of microseconds, because
 * waking a sleeping process costs far more than a try. Then it sleeps in the kernel's own
 * blocking call, where a message is handed to exactly one waiter, first come first served.
 *
 * Two things must end such a sleep that the kernel does not offer: a deadline on
 * CLOCK_MONOTONIC (mq_timedreceive(3) knows CLOCK_REALTIME alone, msgrcv(2) no timeout at all)
 * and close() in another thread. Both send one real-time signal to the sleeping thread, whose
 * empty handler makes the system call return EINTR. A signal that lands just before the system
 * call is lost, so both repeat it every millisecond until the call has returned.
 */

#ifndef MQC_WAIT_H
#define MQC_WAIT_H

#ifndef __linux__
#error "this package needs Linux: thread-directed timers (SIGEV_THREAD_ID) end its waits"
#endif

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id /* glibc has the field but not its documented name */
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* The kernel's own layout, so that a 32-bit build outlives 2038 and no libc version matters. */
struct mqc_timespec {
    int64_t seconds;
    int64_t nanoseconds;
};

/* 32-bit systems have calls of their own for it since Linux 5.1, everywhere by these numbers,
 * which older headers lack. */
#if LONG_MAX == 2147483647 && !defined(__x86_64__)
#define MQC_SYS_timer_settime 409
#define MQC_SYS_mq_timedsend 418
#define MQC_SYS_mq_timedreceive 419
#else
#define MQC_SYS_timer_settime SYS_timer_settime
#define MQC_SYS_mq_timedsend SYS_mq_timedsend
#define MQC_SYS_mq_timedreceive SYS_mq_timedreceive
#endif

#define MQC_FOREVER INT64_MAX
#define MQC_MILLISECOND 1000000
#define MQC_LOOK_NS 50000 /* between two looks for signals while the main thread spins */

/* One attempt at the transfer that context describes. Returns 0 or an errno; EAGAIN where it
 * would block, which a sleeping attempt never returns, and EINPROGRESS where a batch has moved
 * on and would block now. */
typedef int (*mqc_attempt)(void *context, int may_sleep);

/* A thread that is inside a queue with the GIL released; lives on that thread's stack. */
typedef struct mqc_waiter {
    struct mqc_waiter *next, *previous;
    pid_t tid;
} mqc_waiter;

/* What a direction of a queue has learnt about spinning. */
typedef struct {
    atomic_uint misses; /* spins in a row that did not pay, up to MQC_MOST_MISSES */
    atomic_uint skip;   /* waits that will not spin at all */
} mqc_spin;

#define MQC_MOST_MISSES 10

enum { MQC_GET, MQC_PUT };

/* One to each Queue object: who is inside it, and whether anybody may still enter. */
typedef struct mqc_gate {
    struct mqc_gate *next, *previous; /* all gates of the process, for the child of a fork */
    mqc_waiter *waiters;
    atomic_int inside; /* calls that use the descriptor without the GIL */
    atomic_int closed;
    atomic_int claimed; /* by the constructor: a Queue is opened once, so that a call which
                         * waits need not fear another descriptor in the place of its own */
    atomic_int alone;   /* one CPU only: spinning would keep the partner from running */
    int64_t spin_ns;
    mqc_spin spin[2];
} mqc_gate;

/* What a thread keeps between its sleeps. */
typedef struct {
    pid_t tid;
    int is_main; /* Python runs signal handlers in this thread */
    int has_timer;
    int timer;
    unsigned forks; /* mqc_forks when this was made: another number means a copy in a child */
} mqc_thread;

/* The lock guards the lists of gates and waiters and the claiming of the signal. It is never
 * held while a thread sleeps, waits for the GIL or runs Python. */
static pthread_mutex_t mqc_lock = PTHREAD_MUTEX_INITIALIZER;
static mqc_gate *mqc_gates;
static unsigned mqc_forks;
static atomic_int mqc_signal;
static atomic_long mqc_wanted_signal = -1; /* what the environment names, once it was asked */

static int64_t
mqc_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t
mqc_deadline(int64_t timeout)
{
    int64_t now = mqc_now();

    return timeout >= MQC_FOREVER - now ? MQC_FOREVER : now + timeout;
}

/* ***** fork ***** */

/* The child has only the thread that forked, and that one was outside every queue. Holding the
 * lock over the fork means that the child never sees a list half changed. */

static void
mqc_before_fork(void)
{
    pthread_mutex_lock(&mqc_lock);
}

static void
mqc_in_parent(void)
{
    pthread_mutex_unlock(&mqc_lock);
}

static void
mqc_in_child(void)
{
    mqc_forks++;
    for (mqc_gate *gate = mqc_gates; gate != NULL; gate = gate->next) {
        gate->waiters = NULL;
        atomic_store(&gate->inside, 0);
    }
    pthread_mutex_unlock(&mqc_lock);
}

/* Called by each interpreter that loads the module; the handlers are the process's. */
static void
mqc_watch_forks(void)
{
    static atomic_flag watched = ATOMIC_FLAG_INIT;

    if (!atomic_flag_test_and_set(&watched)) {
        pthread_atfork(mqc_before_fork, mqc_in_parent, mqc_in_child);
    }
}

/* ***** gates ***** */

static void
mqc_gate_register(mqc_gate *gate)
{
    pthread_mutex_lock(&mqc_lock);
    gate->previous = NULL;
    gate->next = mqc_gates;
    if (mqc_gates != NULL) {
        mqc_gates->previous = gate;
    }
    mqc_gates = gate;
    atomic_store(&gate->closed, 1);
    pthread_mutex_unlock(&mqc_lock);
}

static void
mqc_gate_unregister(mqc_gate *gate)
{
    pthread_mutex_lock(&mqc_lock);
    if (gate->previous != NULL) {
        gate->previous->next = gate->next;
    }
    else {
        mqc_gates = gate->next;
    }
    if (gate->next != NULL) {
        gate->next->previous = gate->previous;
    }
    pthread_mutex_unlock(&mqc_lock);
}

static int
mqc_has_one_cpu(void)
{
    cpu_set_t cpus;

    /* It fails where the mask is too small for the machine, which then has CPUs enough. */
    return sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) < 2;
}

/* Let callers in: everything that they use is in its place. */
static void
mqc_gate_open(mqc_gate *gate)
{
    atomic_store(&gate->alone, mqc_has_one_cpu());
    atomic_store(&gate->closed, 0);
}

/* Enter before the GIL is released; EBADF once the gate is closed. */
static int
mqc_enter(mqc_gate *gate, mqc_waiter *waiter, pid_t tid)
{
    int error = EBADF;

    waiter->tid = tid;
    pthread_mutex_lock(&mqc_lock);
    if (!atomic_load(&gate->closed)) {
        error = 0;
        waiter->previous = NULL;
        waiter->next = gate->waiters;
        if (waiter->next != NULL) {
            waiter->next->previous = waiter;
        }
        gate->waiters = waiter;
        atomic_fetch_add(&gate->inside, 1);
    }
    pthread_mutex_unlock(&mqc_lock);
    return error;
}

/* Leave before the GIL is taken: whoever closes the gate may wait for this with the GIL. */
static void
mqc_leave(mqc_gate *gate, mqc_waiter *waiter)
{
    pthread_mutex_lock(&mqc_lock);
    if (waiter->previous != NULL) {
        waiter->previous->next = waiter->next;
    }
    else {
        gate->waiters = waiter->next;
    }
    if (waiter->next != NULL) {
        waiter->next->previous = waiter->previous;
    }
    atomic_fetch_sub(&gate->inside, 1);
    pthread_mutex_unlock(&mqc_lock);
}

/* A short use of the descriptor that never releases the GIL needs no entry, unless there is
 * no GIL that keeps close() away. */
static inline int
mqc_hold(mqc_gate *gate)
{
#ifdef Py_GIL_DISABLED
    atomic_fetch_add(&gate->inside, 1);
    if (atomic_load(&gate->closed)) {
        atomic_fetch_sub(&gate->inside, 1);
        return EBADF;
    }
    return 0;
#else
    return atomic_load_explicit(&gate->closed, memory_order_relaxed) ? EBADF : 0;
#endif
}

static inline void
mqc_unhold(mqc_gate *gate)
{
#ifdef Py_GIL_DISABLED
    atomic_fetch_sub(&gate->inside, 1);
#else
    (void)gate;
#endif
}

/* Let nobody enter any more. Returns 0 if the gate was closed before. */
static int
mqc_shut(mqc_gate *gate)
{
    int was_closed;

    pthread_mutex_lock(&mqc_lock);
    was_closed = atomic_exchange(&gate->closed, 1);
    pthread_mutex_unlock(&mqc_lock);
    return !was_closed;
}

/* ***** the wake-up signal ***** */

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

/* The number in an environment variable: -1 where it is unset or empty, LONG_MAX where it is no
 * number. (strtol would tie the wheel to the newest glibc.) */
static long
mqc_environment_number(const char *name)
{
    const char *text = getenv(name);
    long number = 0;

    if (text == NULL || *text == '\0') {
        return -1;
    }
    for (; *text >= '0' && *text <= '9' && number < 100000000; text++) {
        number = number * 10 + (*text - '0');
    }
    return *text == '\0' ? number : LONG_MAX;
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
static int
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

static int
mqc_timer_arm(mqc_thread *thread, int64_t deadline)
{
    if (!thread->has_timer) {
        struct sigevent event = {
            .sigev_notify = SIGEV_THREAD_ID,
            .sigev_signo = atomic_load(&mqc_signal),
        };
        event.sigev_notify_thread_id = thread->tid;
        if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &thread->timer) < 0) {
            return errno == EAGAIN ? ENOMEM : errno; /* EAGAIN has a meaning of its own here */
        }
        thread->has_timer = 1;
    }
    return mqc_timer_set(thread, deadline);
}

/* Wake everybody inside a shut gate until all have left. Call it without the GIL. */
static void
mqc_drain(mqc_gate *gate)
{
    const struct timespec pause = {.tv_nsec = MQC_MILLISECOND};

    while (atomic_load(&gate->inside) > 0) {
        /* Who sleeps has claimed it; it must not have been reset, or it would kill. */
        if (atomic_load(&mqc_signal) > 0 && mqc_claim_signal() == 0) {
            pthread_mutex_lock(&mqc_lock);
            for (mqc_waiter *waiter = gate->waiters; waiter != NULL; waiter = waiter->next) {
                syscall(SYS_tgkill, getpid(), waiter->tid, atomic_load(&mqc_signal));
            }
            pthread_mutex_unlock(&mqc_lock);
        }
        sched_yield();
        if (atomic_load(&gate->inside) > 0) {
            nanosleep(&pause, NULL);
        }
    }
}

/* ***** spin ***** */

static void
mqc_spin_missed(mqc_gate *gate, mqc_spin *spin)
{
    unsigned misses = atomic_load(&spin->misses);

    if (misses < MQC_MOST_MISSES) {
        atomic_store(&spin->misses, ++misses);
    }
    atomic_store(&spin->skip, (1u << misses) - 1);
    atomic_store(&gate->alone, mqc_has_one_cpu());
}

/* A short sleep would perhaps have been spared by a spin: sooner spin again. */
static void
mqc_spin_learn(mqc_gate *gate, mqc_spin *spin, int64_t slept)
{
    if (slept < 4 * gate->spin_ns) {
        atomic_store(&spin->skip, atomic_load(&spin->skip) / 2);
    }
}

/* When a spin that begins now shall end; 0 to go to sleep at once. */
static int64_t
mqc_spin_end(mqc_gate *gate, mqc_spin *spin, int64_t deadline)
{
    unsigned skip = atomic_load_explicit(&spin->skip, memory_order_relaxed);
    int64_t end;

    if (gate->spin_ns == 0 || atomic_load_explicit(&gate->alone, memory_order_relaxed)) {
        return 0;
    }
    if (skip > 0) {
        atomic_store(&spin->skip, skip - 1);
        return 0;
    }
    end = mqc_deadline(gate->spin_ns);
    return end < deadline ? end : deadline;
}

/* Try until slice_end; if that is spin_end, the spin has missed. */
static int
mqc_spin_on(mqc_gate *gate, mqc_spin *spin, mqc_attempt attempt, void *context, int64_t slice_end,
            int64_t spin_end)
{
    do {
        int error;
        sched_yield();
        error = attempt(context, 0);
        if (error == 0 || error == EINPROGRESS) {
            atomic_store_explicit(&spin->misses, 0, memory_order_relaxed);
        }
        if (error != EAGAIN) {
            return error;
        }
        if (atomic_load_explicit(&gate->closed, memory_order_relaxed)) {
            return EBADF;
        }
    } while (mqc_now() < slice_end);
    if (slice_end == spin_end) {
        mqc_spin_missed(gate, spin);
    }
    return EAGAIN;
}

/* ***** sleep ***** */

/* Let the wake-up signal through in this thread, whatever the program has blocked. On Linux
 * sigprocmask(2) is the thread's own; pthread_sigmask would ask for a newer glibc. */
static int
mqc_unblock_signal(sigset_t *before)
{
    sigset_t wanted;

    sigemptyset(&wanted);
    sigaddset(&wanted, atomic_load(&mqc_signal));
    return sigprocmask(SIG_UNBLOCK, &wanted, before) < 0 ? errno : 0;
}

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
static int
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
        atomic_store(&gate->alone, mqc_has_one_cpu());
    }
    /* Without a deadline only close() sends the signal, which makes sure of it itself. */
    error = deadline == MQC_FOREVER && atomic_load(&mqc_signal) > 0 ? 0 : mqc_claim_signal();
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
    if (sigismember(&before, atomic_load(&mqc_signal)) == 1) {
        sigprocmask(SIG_SETMASK, &before, NULL);
    }
    if (error == 0 || error == EINPROGRESS) {
        mqc_spin_learn(gate, spin, mqc_now() - started);
    }
    return error;
}

#endif /* MQC_WAIT_H */
