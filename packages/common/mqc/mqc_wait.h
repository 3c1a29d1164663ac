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
 *
 * Only Linux has all that this takes. Elsewhere MQC_POLLS stands for a plainer way: a sleep is
 * made of tries with short naps between them, each of which looks at the deadline and at the
 * gate. It needs no signal, but a message finds its receiver later, and not first come first
 * served. It can be asked for on Linux too, which is how it is tested.
 */

#ifndef MQC_WAIT_H
#define MQC_WAIT_H

#if !defined(__linux__) && !defined(MQC_POLLS)
#define MQC_POLLS 1
#endif

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/syscall.h>
#elif defined(__FreeBSD__)
#include <pthread_np.h> /* pthread_getthreadid_np, pthread_main_np */
#elif !defined(__APPLE__)
#error "this package knows Linux, FreeBSD and macOS: mqc_thread_number is missing for this system"
#endif

#if !defined(MQC_POLLS) && !defined(sigev_notify_thread_id)
#define sigev_notify_thread_id _sigev_un._tid /* older libcs have only the field */
#endif

/* A thread's number in the kernel, whatever type that has. */
typedef uint64_t mqc_tid_t;

#ifdef __linux__
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
#endif /* __linux__ */

/* Whether an attempt that may sleep shall do so in the kernel: with MQC_POLLS it never does, and
 * no other word than this may decide it. */
#ifdef MQC_POLLS
#define MQC_SLEEPS(may_sleep) ((void)(may_sleep), 0)
#else
#define MQC_SLEEPS(may_sleep) (may_sleep)
#endif

#define MQC_FOREVER INT64_MAX
#define MQC_MILLISECOND 1000000
#define MQC_LOOK EALREADY /* what a sleep returns to go on after a look for signals */
#define MQC_LOOK_NS 50000 /* between two looks for signals while the main thread spins */

/* One attempt at the transfer that context describes. Returns 0 or an errno; EAGAIN where it
 * would block, which a sleeping attempt never returns unless MQC_POLLS, and EINPROGRESS where a
 * batch has moved on and is not done. */
typedef int (*mqc_attempt)(void *context, int may_sleep);

/* A thread that is inside a queue with the GIL released; lives on that thread's stack. */
typedef struct mqc_waiter {
    struct mqc_waiter *next, *previous;
    mqc_tid_t tid;
} mqc_waiter;

/* What a direction of a queue has learnt about spinning. */
typedef struct {
    atomic_uint misses;       /* spins in a row that did not pay, up to MQC_MOST_MISSES */
    atomic_uint skip;         /* waits that will not spin at all */
    atomic_uint long_sleeps;  /* sleeps of MQC_RARE_NS and more in a row */
    atomic_int strikes;       /* evidence that other programs take the CPU: mqc_spin_judge */
    atomic_uint barred_until; /* no spin before this moment, in microseconds modulo 2^32; or 0 */
    atomic_int has_begun;     /* the first spin has looked how busy the machine is */
} mqc_spin;

#define MQC_MOST_MISSES 10
#define MQC_RARE_NS 10000000 /* between messages that no spin waits for */

/* Programs that wait for the same queue yield again sooner; one that computes does not. */
#define MQC_LONG_YIELD_NS MQC_MILLISECOND
#define MQC_STRIKE 64 /* weighs as much as so many short yields that brought a message */
#define MQC_MOST_STRIKES (2 * MQC_STRIKE)
#define MQC_BAR_US 80000

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
    mqc_tid_t tid;
    int is_main; /* Python runs signal handlers in this thread */
#ifndef MQC_POLLS
    int has_timer;
    int timer;
#else
    int sleeps_on; /* the sleep that begins goes on after MQC_LOOK */
#endif
    unsigned forks; /* mqc_forks when this was made: another number means a copy in a child */
} mqc_thread;

/* The lock guards the lists of gates and waiters and the claiming of the signal. It is never
 * held while a thread sleeps, waits for the GIL or runs Python. */
static pthread_mutex_t mqc_lock = PTHREAD_MUTEX_INITIALIZER;
static mqc_gate *mqc_gates;
static unsigned mqc_forks;
#ifndef MQC_POLLS
static atomic_int mqc_signal;
static atomic_long mqc_wanted_signal = -1; /* what the environment names, once it was asked */
#endif

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

/* ***** threads ***** */

/* This thread's number in the kernel; mqc_tid asks only once a thread. */
static mqc_tid_t
mqc_thread_number(void)
{
#if defined(__linux__)
    return (mqc_tid_t)syscall(SYS_gettid);
#elif defined(__FreeBSD__)
    return (mqc_tid_t)pthread_getthreadid_np();
#else
    uint64_t number = 0;

    pthread_threadid_np(NULL, &number);
    return number;
#endif
}

/* Whether this is the process's first thread, or the one that forked. */
static int
mqc_is_first_thread(mqc_tid_t tid)
{
#ifdef __linux__
    return tid == (mqc_tid_t)getpid();
#else
    (void)tid;
    return pthread_main_np() == 1;
#endif
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
#ifdef __linux__
    cpu_set_t cpus;

    /* It fails where the mask is too small for the machine, which then has CPUs enough. */
    return sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) < 2;
#else
    return sysconf(_SC_NPROCESSORS_ONLN) == 1;
#endif
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
mqc_enter(mqc_gate *gate, mqc_waiter *waiter, mqc_tid_t tid)
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

/* ***** environment ***** */

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

/* ***** the wake-up signal ***** */

#ifndef MQC_POLLS

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
        event.sigev_notify_thread_id = (pid_t)thread->tid;
        if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &thread->timer) < 0) {
            return errno == EAGAIN ? ENOMEM : errno; /* EAGAIN has a meaning of its own here */
        }
        thread->has_timer = 1;
    }
    return mqc_timer_set(thread, deadline);
}

static void
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

#else /* MQC_POLLS */

static void
mqc_wake_all(mqc_gate *gate)
{
    (void)gate; /* whoever is inside will look at it within a few milliseconds */
}

#endif /* MQC_POLLS */

/* Wake everybody inside a shut gate until all have left. Call it without the GIL. */
static void
mqc_drain(mqc_gate *gate)
{
    const struct timespec pause = {.tv_nsec = MQC_MILLISECOND};

    while (atomic_load(&gate->inside) > 0) {
        mqc_wake_all(gate);
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

/* Learn from a sleep that brought a message. After a short one, halve the waits that will not
 * spin: a spin would probably have caught the message. Where messages come so rarely that all
 * sleeps are long, and spins have missed, leave the spin out for as many waits as possible. */
static void
mqc_spin_learn(mqc_gate *gate, mqc_spin *spin, int64_t slept)
{
    if (slept < 4 * gate->spin_ns) {
        atomic_store(&spin->skip, atomic_load(&spin->skip) / 2);
    }
    if (slept < MQC_RARE_NS) {
        atomic_store(&spin->long_sleeps, 0);
    }
    else if (atomic_fetch_add(&spin->long_sleeps, 1) >= 2 && atomic_load(&spin->misses) > 1) {
        atomic_store(&spin->misses, MQC_MOST_MISSES);
        atomic_store(&spin->skip, (1u << MQC_MOST_MISSES) - 1);
    }
}

/* Whether more threads want to run than there are CPUs. It is the number before the slash in
 * /proc/loadavg, "0.42 0.36 0.31 3/211 4711"; where there is no such file, nobody knows. */
static int
mqc_is_overloaded(void)
{
    int file = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
    char text[80] = "";
    long runnable = 0;

    if (file < 0 || read(file, text, sizeof(text) - 1) <= 0) {
        text[0] = '/';
    }
    if (file >= 0) {
        close(file);
    }
    for (const char *next = text; *next != '/' && *next != '\0'; next++) {
        runnable = *next == ' ' ? 0 : 10 * runnable + (*next - '0');
    }
    return runnable > sysconf(_SC_NPROCESSORS_ONLN);
}

static void
mqc_spin_bar(mqc_spin *spin, int64_t now)
{
    atomic_store(&spin->barred_until, (unsigned)(now / 1000) + MQC_BAR_US);
}

/* A yield may give the CPU to a program that computes, for a whole slice of the scheduler. That
 * shows by what a long yield brought. If a message has waited for this thread, a sleep in the
 * kernel would have been quicker. If there is none, other readers or writers of the queue were at
 * work, and nothing was lost. (The try after the yield counts as a part of it; where that takes
 * long, the message is so large that a spin saves nothing.) */
static void
mqc_spin_judge(mqc_spin *spin, int64_t now, int64_t yielded, int brought)
{
    int strikes = atomic_load_explicit(&spin->strikes, memory_order_relaxed);

    if (yielded < MQC_LONG_YIELD_NS) {
        strikes -= brought;
    }
    else {
        strikes += brought ? MQC_STRIKE : -2 * MQC_STRIKE;
    }
    if (strikes > MQC_MOST_STRIKES) {
        strikes -= MQC_STRIKE; /* the next strike bars again */
        mqc_spin_bar(spin, now);
    }
    atomic_store_explicit(&spin->strikes, strikes > 0 ? strikes : 0, memory_order_relaxed);
}

/* Whether there is no spin yet, as other programs take the CPU. When the time is up and there are
 * still too many of them, it begins anew: to try costs a slice of the scheduler. */
static int
mqc_spin_is_barred(mqc_spin *spin, int64_t now)
{
    unsigned until = atomic_load_explicit(&spin->barred_until, memory_order_relaxed);

    if (until == 0) {
        return 0;
    }
    if (until - (unsigned)(now / 1000) <= MQC_BAR_US) {
        return 1;
    }
    if (mqc_is_overloaded()) {
        mqc_spin_bar(spin, now);
        return 1;
    }
    atomic_store(&spin->barred_until, 0);
    return 0;
}

/* Before the first spin. On a busy machine two losses shall end the spin, not three. */
static void
mqc_spin_begin(mqc_spin *spin)
{
    if (!atomic_load_explicit(&spin->has_begun, memory_order_relaxed)) {
        atomic_store(&spin->has_begun, 1);
        atomic_store(&spin->strikes, mqc_is_overloaded() ? MQC_STRIKE : 0);
    }
}

/* When a spin that begins now shall end; 0 to go to sleep at once. */
static int64_t
mqc_spin_end(mqc_gate *gate, mqc_spin *spin, int64_t deadline)
{
    unsigned skip = atomic_load_explicit(&spin->skip, memory_order_relaxed);
    int64_t now, end;

    if (gate->spin_ns == 0 || atomic_load_explicit(&gate->alone, memory_order_relaxed)) {
        return 0;
    }
    if (skip > 0) {
        atomic_store(&spin->skip, skip - 1);
        return 0;
    }
    now = mqc_now();
    if (mqc_spin_is_barred(spin, now)) {
        return 0;
    }
    mqc_spin_begin(spin);
    end = now + gate->spin_ns;
    return end < deadline ? end : deadline;
}

/* Try until slice_end. The spin has missed when spin_end has passed, too. */
static int
mqc_spin_on(mqc_gate *gate, mqc_spin *spin, mqc_attempt attempt, void *context, int64_t slice_end,
            int64_t spin_end)
{
    int64_t now = mqc_now();

    do {
        int64_t before = now;
        int error, brought;
        sched_yield();
        error = attempt(context, 0);
        brought = error == 0 || error == EINPROGRESS;
        now = mqc_now();
        mqc_spin_judge(spin, now, now - before, brought);
        if (brought) {
            atomic_store_explicit(&spin->misses, 0, memory_order_relaxed);
        }
        if (error != EAGAIN) {
            return error;
        }
        if (atomic_load_explicit(&gate->closed, memory_order_relaxed)) {
            return EBADF;
        }
    } while (now < slice_end);
    if (now >= spin_end) {
        mqc_spin_missed(gate, spin);
    }
    return EAGAIN;
}

/* ***** sleep ***** */

#ifndef MQC_POLLS

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

#else /* MQC_POLLS */

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
static int
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

#endif /* MQC_WAIT_H */
