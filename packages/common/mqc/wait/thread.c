/* The record of a thread, and what a fork does to threads and queues. */

#include "wait_internal.h"

#include <unistd.h>

#if defined(__linux__)
#include <sys/syscall.h>
#elif defined(__FreeBSD__)
#include <pthread_np.h> /* pthread_getthreadid_np, pthread_main_np */
#elif !defined(__APPLE__)
#error "this package knows Linux, FreeBSD and macOS: mqc_thread_number is missing for this system"
#endif

static unsigned mqc_forks;

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

/* This thread's number, asked for once a thread and again in the child of a fork. */
mqc_tid_t
mqc_tid(void)
{
    static _Thread_local mqc_tid_t tid;
    static _Thread_local unsigned forks;

    if (tid == 0 || forks != mqc_forks) {
        tid = mqc_thread_number();
        forks = mqc_forks;
    }
    return tid;
}

/* Python runs signal handlers in the process's first thread, or in the one that forked. */
int
mqc_in_main_thread(void)
{
    return mqc_is_first_thread(mqc_tid());
}

void
mqc_thread_init(mqc_thread *thread)
{
    *thread = (mqc_thread){
        .tid = mqc_tid(),
        .is_main = mqc_in_main_thread(),
        .forks = mqc_forks,
        .sleep = MQC_USUAL_SLEEP,
    };
}

/* Whether this is the record of the thread that asks. */
int
mqc_thread_is_this(const mqc_thread *thread)
{
    return thread->forks == mqc_forks && thread->tid == mqc_tid();
}

/* Let go of what the record holds. A child of fork inherits the record but not the timer. */
void
mqc_thread_clear(mqc_thread *thread)
{
    if (thread->has_timer && thread->forks == mqc_forks) {
        mqc_timer_delete(thread);
    }
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
    mqc_gates_empty();
    pthread_mutex_unlock(&mqc_lock);
}

/* Called by each interpreter that loads the module; the handlers are the process's. */
void
mqc_watch_forks(void)
{
    static atomic_flag watched = ATOMIC_FLAG_INIT;

    if (!atomic_flag_test_and_set(&watched)) {
        pthread_atfork(mqc_before_fork, mqc_in_parent, mqc_in_child);
    }
}
