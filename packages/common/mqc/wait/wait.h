/* How a call waits. Both packages share it; none of it calls Python.
 *
 * A call that would block first spins: it tries again for some tens of microseconds, because
 * waking a sleeping process costs far more than a try. Then it sleeps in the kernel's own
 * blocking call, where each message goes to exactly one waiter, first come first served.
 *
 * Two things must end such a sleep, and the kernel offers neither: a deadline on CLOCK_MONOTONIC
 * (mq_timedreceive(3) takes CLOCK_REALTIME, msgrcv(2) no timeout at all) and close() in another
 * thread. Both send one real-time signal to the sleeping thread. Its handler is empty, but the
 * system call returns EINTR. A signal that arrives just before the system call is lost, so both
 * send it again every millisecond until the call has returned.
 *
 * Only Linux can send such a signal to one thread. Other systems poll: their sleep is a loop of
 * tries and short naps, and looks at the deadline and at the gate between them. It needs no
 * signal, but a message arrives later, and not always at the thread that came first. A build with
 * -DMQC_POLLS polls on Linux, too, which is how that is tested.
 *
 * A wait is made of these steps, all between mqc_wait_begin() and mqc_wait_end() and without the
 * GIL: mqc_spin_on() until mqc_spin_end(), then mqc_sleep(). The caller runs Python's signal
 * handlers between them.
 */

#ifndef MQC_WAIT_H
#define MQC_WAIT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#include "attempt.h"

/* Calls of hidden functions need no table of the linker's. The flag -fvisibility=hidden is about
 * definitions only, so the declarations say it, too. */
#pragma GCC visibility push(hidden)

#define MQC_FOREVER INT64_MAX
#define MQC_MILLISECOND INT64_C(1000000)
#define MQC_LOOK_NS 50000 /* how often the main thread looks for signals while it spins */

/* ***** gates, threads, waits ***** */

/* A thread's number in the kernel, whatever type the system has for it. */
typedef uint64_t mqc_tid_t;

/* A thread that is inside a gate without the GIL. It lives on that thread's stack. */
typedef struct mqc_waiter {
    struct mqc_waiter *next, *previous;
    mqc_tid_t tid;
} mqc_waiter;

/* What one direction of a queue has learnt about spinning. */
typedef struct {
    atomic_uint misses;       /* spins in a row that did not pay, up to MQC_MOST_MISSES */
    atomic_uint skip;         /* this many waits will not spin */
    atomic_uint long_sleeps;  /* sleeps of MQC_RARE_NS and more in a row */
    atomic_int strikes;       /* evidence that other programs take the CPU: mqc_spin_judge */
    atomic_uint barred_until; /* no spin before this moment, in microseconds modulo 2^32; or 0 */
    atomic_int has_begun;     /* the first spin has looked how busy the machine is */
} mqc_spin;

enum { MQC_GET, MQC_PUT };

/* Each Queue object has one gate: it knows who is inside, and whether anybody may enter. */
typedef struct mqc_gate {
    struct mqc_gate *next, *previous; /* all gates of the process, for the child of a fork */
    mqc_waiter *waiters;
    atomic_int inside; /* calls that use the descriptor without the GIL */
    atomic_int closed;
    atomic_int claimed;    /* by a constructor: a Queue is opened only once, so that a waiting
                            * call never finds another descriptor in the place of its own */
    atomic_int single_cpu; /* spinning would keep the other process from running */
    int64_t spin_ns;
    mqc_spin spin[2]; /* indices: MQC_GET, MQC_PUT */
} mqc_gate;

/* A call that waits: what it waits for, and how long. */
typedef struct {
    mqc_gate *gate;
    mqc_spin *spin; /* of the gate, for the direction of the transfer */
    mqc_attempt attempt;
    void *context;
    int64_t deadline;     /* by the clock of mqc_now(), or MQC_FOREVER */
    int64_t asleep_since; /* when the sleep began that MQC_LOOK interrupts; 0 otherwise */
    int os_errno;         /* why it ended with MQC_FAILED */
} mqc_wait;

/* What a thread keeps from one sleep to the next. */
typedef struct mqc_thread {
    mqc_tid_t tid;
    int is_main; /* Python runs signal handlers in this thread */
    int has_timer;
    int timer;
    unsigned forks; /* how many forks came before; a copy in the child of a fork has too few */
    mqc_outcome (*sleep)(mqc_wait *wait, struct mqc_thread *thread); /* its way to sleep */
} mqc_thread;

/* ***** the clock ***** */

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

/* ***** functions ***** */

/* The lock guards the lists of gates and waiters and the claiming of the signal. No thread holds
 * it while it sleeps, waits for the GIL or runs Python. */
extern pthread_mutex_t mqc_lock;

/* gate.c: A gate is closed when it is registered, and stays registered until its queue is freed. */
void mqc_gate_register(mqc_gate *gate);
void mqc_gate_unregister(mqc_gate *gate);
void mqc_gate_open(mqc_gate *gate);
int mqc_gate_shut(mqc_gate *gate);
void mqc_gate_drain(mqc_gate *gate);
mqc_outcome mqc_wait_begin(mqc_gate *gate, mqc_waiter *waiter, mqc_tid_t tid);
void mqc_wait_end(mqc_gate *gate, mqc_waiter *waiter);

/* spin.c */
int64_t mqc_spin_end(mqc_gate *gate, mqc_spin *spin, int64_t deadline);
mqc_outcome mqc_spin_on(mqc_wait *wait, int64_t slice_end, int64_t spin_end);

/* sleep.c: the sleep, and whether the threads of this build poll in it */
mqc_outcome mqc_sleep(mqc_wait *wait, mqc_thread *thread);
int mqc_polls(void);

/* wake.c: which signal the user wants for the wake-up. -1 means any. */
int mqc_signal_is_claimed(void);
void mqc_want_signal(long number);

/* thread.c */
mqc_tid_t mqc_tid(void);
int mqc_in_main_thread(void);
void mqc_thread_init(mqc_thread *thread);
int mqc_thread_is_this(const mqc_thread *thread);
void mqc_thread_clear(mqc_thread *thread);
void mqc_watch_forks(void);

#pragma GCC visibility pop

#endif /* MQC_WAIT_H */
