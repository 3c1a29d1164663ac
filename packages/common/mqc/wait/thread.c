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

static unsigned mqc_forks; /* how many forks lie between this process and the first one */

/* ***** threads ***** */

#if defined(__linux__)

static mqc_tid_t
mqc_thread_number(void)
{
    return (mqc_tid_t)syscall(SYS_gettid);
}

#elif defined(__FreeBSD__)

static mqc_tid_t
mqc_thread_number(void)
{
    return (mqc_tid_t)pthread_getthreadid_np();
}

#else /* __APPLE__ */

static mqc_tid_t
mqc_thread_number(void)
{
    uint64_t number = 0;

    pthread_threadid_np(NULL, &number);
    return number;
}

#endif

#ifdef __linux__

static int
mqc_is_first_thread(mqc_tid_t tid)
{
    return tid == (mqc_tid_t)getpid();
}

#else

static int
mqc_is_first_thread(mqc_tid_t tid)
{
    (void)tid;
    return pthread_main_np() == 1;
}

#endif /* __linux__ */

/* Return this thread's number. Only a thread's first call, and the first one in the child of a
 * fork, asks the kernel. */
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

/* Whether Python runs signal handlers in this thread: it is the process's first one, which in the
 * child of a fork is the thread that forked. */
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

/* Whether this is the record of the calling thread. */
int
mqc_thread_is_this(const mqc_thread *thread)
{
    return thread->forks == mqc_forks && thread->tid == mqc_tid();
}

/* Free what the record holds. The child of a fork inherits the record, but not the timer. */
void
mqc_thread_clear(mqc_thread *thread)
{
    if (thread->has_timer && thread->forks == mqc_forks) {
        mqc_timer_delete(thread);
    }
}

/* ***** fork ***** */

/* The child has only the thread that forked, and that thread was outside every gate. The lock is
 * held during the fork, so the child never sees a list that is half changed. */

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

/* Register the handlers of fork. Each interpreter that loads the module calls this, and the
 * process needs them once. */
void
mqc_watch_forks(void)
{
    static atomic_flag watched = ATOMIC_FLAG_INIT;

    if (!atomic_flag_test_and_set(&watched)) {
        pthread_atfork(mqc_before_fork, mqc_in_parent, mqc_in_child);
    }
}
