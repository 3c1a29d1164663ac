/* What the units of the wait call of each other. Include it first: it asks libc for all it has. */

#ifndef MQC_WAIT_INTERNAL_H
#define MQC_WAIT_INTERNAL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity, SIGEV_THREAD_ID */
#endif

#include "wait.h"

#include <signal.h>

#pragma GCC visibility push(hidden)

/* gate.c: in the child of a fork, nobody is inside any queue. The caller has the lock. */
void mqc_gates_empty(void);

/* spin.c */
void mqc_count_cpus(mqc_gate *gate);
void mqc_spin_learn(mqc_gate *gate, mqc_spin *spin, int64_t slept);

/* The two ways to sleep: mqc_sleep() says what they return. A thread takes that of its record,
 * which mqc_thread_init() sets to the usual one of this build. */
int mqc_sleep_linux(mqc_wait *wait, mqc_thread *thread);
int mqc_sleep_poll(mqc_wait *wait, mqc_thread *thread);
#if defined(__linux__) && !defined(MQC_POLLS)
#define MQC_USUAL_SLEEP mqc_sleep_linux
#else
#define MQC_USUAL_SLEEP mqc_sleep_poll
#endif

/* wake.c, everywhere */
void mqc_wake_all(mqc_gate *gate);
void mqc_timer_delete(const mqc_thread *thread);

/* wake.c, on Linux: claim the signal before any other of these. */
int mqc_claim_signal(void);
int mqc_unblock_signal(sigset_t *before);
void mqc_restore_signal(const sigset_t *before);
int mqc_timer_set(const mqc_thread *thread, int64_t moment);
int mqc_timer_arm(mqc_thread *thread, int64_t deadline);

#pragma GCC visibility pop

#endif /* MQC_WAIT_INTERNAL_H */
