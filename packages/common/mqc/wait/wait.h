/* How a call waits: shared by posixmq and sysvmq, and free of Python's calls.
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
 * Only Linux has all that this takes. Other systems poll: a sleep is made of tries with short
 * naps between them, each of which looks at the deadline and at the gate. It needs no signal, but
 * a message finds its receiver later, and not first come first served. A build with -DMQC_POLLS
 * does so on Linux, too, which is how it is tested.
 *
 * This is what the callers of the wait need to know; wait_internal.h is what its units share.
 */

#ifndef MQC_WAIT_H
#define MQC_WAIT_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

/* Calls between the units need no table of symbols, whatever flags compile them. */
#pragma GCC visibility push(hidden)

/* A thread's number in the kernel, whatever type that has. */
typedef uint64_t mqc_tid_t;

#define MQC_FOREVER INT64_MAX
#define MQC_MILLISECOND 1000000
#define MQC_LOOK EALREADY /* what a sleep returns to go on after a look for signals */
#define MQC_LOOK_NS 50000 /* between two looks for signals while the main thread spins */

/* What an attempt does where it would block: the values of its may_sleep. */
enum {
    MQC_MUST_RETURN, /* it returns: the wait spins, or does not wait */
    MQC_MUST_POLL,   /* it returns: the wait has come to its sleep, and naps between attempts */
    MQC_MAY_SLEEP,   /* it sleeps in the kernel's own blocking call */
};

/* Whether an attempt shall sleep in the kernel. It is true of some values of may_sleep only, so
 * attempts use this macro. */
#define MQC_SLEEPS(may_sleep) ((may_sleep) == MQC_MAY_SLEEP)

/* One attempt at the transfer that context describes. Returns 0 or an errno; EAGAIN where it
 * would block, which an attempt that may sleep never returns, and EINPROGRESS where a batch has
 * moved on and is not done. */
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

/* A call that waits: what it waits for, and how long. */
typedef struct {
    mqc_gate *gate;
    mqc_spin *spin; /* of the gate, for the direction of the transfer */
    mqc_attempt attempt;
    void *context;
    int64_t deadline;     /* by the clock of mqc_now(), or MQC_FOREVER */
    int64_t asleep_since; /* when the sleep began that goes on after MQC_LOOK; 0 if none does */
} mqc_wait;

/* What a thread keeps between its sleeps. */
typedef struct mqc_thread {
    mqc_tid_t tid;
    int is_main; /* Python runs signal handlers in this thread */
    int has_timer;
    int timer;
    unsigned forks; /* mqc_forks when this was made: another number means a copy in a child */
    int (*sleep)(mqc_wait *wait, struct mqc_thread *thread); /* how this thread sleeps */
} mqc_thread;

static inline int64_t
mqc_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline int64_t
mqc_deadline(int64_t timeout)
{
    int64_t now = mqc_now();

    return timeout >= MQC_FOREVER - now ? MQC_FOREVER : now + timeout;
}

/* The lock guards the lists of gates and waiters and the claiming of the signal. It is never
 * held while a thread sleeps, waits for the GIL or runs Python. */
extern pthread_mutex_t mqc_lock;

/* gate.c: from its making to its end a gate is registered; it begins shut. */
void mqc_gate_register(mqc_gate *gate);
void mqc_gate_unregister(mqc_gate *gate);
void mqc_gate_open(mqc_gate *gate);
int mqc_enter(mqc_gate *gate, mqc_waiter *waiter, mqc_tid_t tid);
void mqc_leave(mqc_gate *gate, mqc_waiter *waiter);
int mqc_shut(mqc_gate *gate);
void mqc_drain(mqc_gate *gate);

/* spin.c: when a spin shall end, and the spin. */
int64_t mqc_spin_end(mqc_gate *gate, mqc_spin *spin, int64_t deadline);
int mqc_spin_on(mqc_wait *wait, int64_t slice_end, int64_t spin_end);

/* sleep.c: the sleep, and whether threads of this build poll in it. */
int mqc_sleep(mqc_wait *wait, mqc_thread *thread);
int mqc_polls(void);

/* wake.c: the number of the wake-up signal that the user wants, -1 for any. */
int mqc_signal_is_claimed(void);
void mqc_want_signal(long number);

/* thread.c: the record of a thread, and what a fork does to it. */
mqc_tid_t mqc_tid(void);
int mqc_in_main_thread(void);
void mqc_thread_init(mqc_thread *thread);
int mqc_thread_is_this(const mqc_thread *thread);
void mqc_thread_clear(mqc_thread *thread);
void mqc_watch_forks(void);

#pragma GCC visibility pop

#endif /* MQC_WAIT_H */
