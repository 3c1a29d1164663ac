/* The language of the wait: what it asks of an attempt to send or receive, and how that ends. */

#ifndef MQC_ATTEMPT_H
#define MQC_ATTEMPT_H

#include <errno.h>

/* How an attempt, a step or a whole wait ends. */
typedef enum {
    MQC_DONE,
    MQC_PROGRESS,    /* a part of a batch was transferred: the wait for the rest begins anew */
    MQC_WOULD_BLOCK, /* no message, or no room for one; after a sleep: the deadline has passed */
    MQC_LOOK,        /* the caller runs signal handlers, then it continues the sleep */
    MQC_INTERRUPTED, /* a signal arrived */
    MQC_CLOSED,      /* the gate is closed */
    MQC_FAILED,      /* a system call failed, and os_errno says why */
    MQC_RAISED,      /* a Python exception is set: only the callers of the wait return this */
} mqc_outcome;

/* What an attempt does where it would block: the values of its parameter may_sleep. */
enum {
    MQC_MUST_RETURN, /* return: the wait spins, or there is none */
    MQC_MUST_POLL,   /* return: the wait has come to its sleep and naps between attempts */
    MQC_MAY_SLEEP,   /* sleep in the kernel's own blocking call */
};

/* Whether an attempt sleeps in the kernel. Attempts use this macro: may_sleep alone is true of an
 * attempt that polls, too. */
#define MQC_SLEEPS(may_sleep) ((may_sleep) == MQC_MAY_SLEEP)

/* One attempt at the transfer that context describes. With MQC_FAILED it sets *os_errno. An
 * attempt that may sleep never returns MQC_WOULD_BLOCK. */
typedef mqc_outcome (*mqc_attempt)(void *context, int may_sleep, int *os_errno);

/* The outcome of a system call that sends or receives, by its errno, or 0 where it succeeded. */
static inline mqc_outcome
mqc_outcome_of(int error, int *os_errno)
{
    switch (error) {
    case 0:
        return MQC_DONE;
    case EAGAIN:
    case ENOMSG:    /* msgrcv(2) with IPC_NOWAIT */
    case ETIMEDOUT: /* mq_timedsend(3) and mq_timedreceive(3) with a deadline in the past */
        return MQC_WOULD_BLOCK;
    case EINTR:
        return MQC_INTERRUPTED;
    default:
        *os_errno = error;
        return MQC_FAILED;
    }
}

#endif /* MQC_ATTEMPT_H */
