/* What the units of the wait call of each other. They include it first: it defines _GNU_SOURCE. */

#ifndef MQC_WAIT_INTERNAL_H
#define MQC_WAIT_INTERNAL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity, SIGEV_THREAD_ID */
#endif

#include "wait.h"

#include <signal.h>

#pragma GCC visibility push(hidden)

/* Linux has one mask to each thread, whichever function sets it, and glibc versions one of them. */
#ifdef __linux__
#define mqc_sigmask sigprocmask /* pthread_sigmask of glibc 2.32 and later ties a wheel to it */
#else
#define mqc_sigmask pthread_sigmask
#endif

/* gate.c */
void mqc_gates_empty(void);

/* spin.c */
void mqc_count_cpus(mqc_gate *gate);
void mqc_spin_learn(mqc_gate *gate, mqc_spin *spin, int64_t slept);

/* The two ways to sleep; mqc_sleep() says what they return. A thread sleeps as its record says,
 * and mqc_thread_init() writes the usual way of this build there. */
mqc_outcome mqc_sleep_linux(mqc_wait *wait, mqc_thread *thread);
mqc_outcome mqc_sleep_poll(mqc_wait *wait, mqc_thread *thread);
#if defined(__linux__) && !defined(MQC_POLLS)
#define MQC_USUAL_SLEEP mqc_sleep_linux
#else
#define MQC_USUAL_SLEEP mqc_sleep_poll
#endif

/* wake.c */
void mqc_wake_all(mqc_gate *gate);
void mqc_timer_delete(const mqc_thread *thread);

/* wake.c, on Linux only. Call mqc_claim_signal() before the others. Those that return int return
 * 0 or an errno. */
int mqc_claim_signal(void);
int mqc_unblock_signal(sigset_t *before);
void mqc_restore_signal(const sigset_t *before);
int mqc_timer_arm(mqc_thread *thread, int64_t deadline);
void mqc_timer_disarm(const mqc_thread *thread);

#pragma GCC visibility pop

#endif /* MQC_WAIT_INTERNAL_H */
