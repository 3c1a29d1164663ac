/* Attempts to send and to receive a message, and what mqc/family.h asks besides. */

#include "posixmq.h"

#include <poll.h>

/* MQ_PRIO_MAX of <limits.h> less one, the kernel's fixed value. */
#ifdef __FreeBSD__
#define MOST_PRIORITY 63
#define PRIORITY_RANGE "0 to 63 (MQ_PRIO_MAX - 1)"
#else
#define MOST_PRIORITY 32767
#define PRIORITY_RANGE "0 to 32767 (MQ_PRIO_MAX - 1)"
#endif

#ifdef __FreeBSD__
typedef struct timespec mq_timespec;
#define MQC_SYS_mq_timedsend SYS_kmq_timedsend
#define MQC_SYS_mq_timedreceive SYS_kmq_timedreceive
#else
typedef struct mqc_timespec mq_timespec;
#endif

/* A deadline long past: the call returns ETIMEDOUT where it would block. O_NONBLOCK would affect
 * every process that shares the open file description. */
static const mq_timespec LONG_PAST;

/* Wait until a descriptor is ready. One that came from elsewhere may be non-blocking. */
static int
sleep_on_descriptor(int fd, short events)
{
    struct pollfd ready = {.fd = fd, .events = events};

    return poll(&ready, 1, -1) < 0 ? errno : 0;
}

static inline int
try_send(const mqc_call *call, const mq_timespec *deadline)
{
    int fd = ((const Queue *)call->queue)->fd;
    unsigned priority = (unsigned)call->mark;

    return syscall(MQC_SYS_mq_timedsend, fd, call->data, call->size, priority, deadline) < 0 ? errno
                                                                                             : 0;
}

static inline int
try_receive(mqc_call *call, const mq_timespec *deadline)
{
    int fd = ((const Queue *)call->queue)->fd;
    unsigned priority;
    ssize_t size =
        syscall(MQC_SYS_mq_timedreceive, fd, call->text, call->capacity, &priority, deadline);

    if (size < 0) {
        return errno;
    }
    call->size = (size_t)size;
    call->mark = (long)priority;
    return 0;
}

int
send_message(const mqc_call *call, int may_sleep)
{
    int error;

    if (!MQC_SLEEPS(may_sleep)) {
        return try_send(call, &LONG_PAST);
    }
    error = try_send(call, NULL);
    while (error == EAGAIN) {
        error = sleep_on_descriptor(((const Queue *)call->queue)->fd, POLLOUT);
        error = error == 0 ? try_send(call, NULL) : error;
    }
    return error;
}

int
receive_message(mqc_call *call, int may_sleep)
{
    int error;

    if (!MQC_SLEEPS(may_sleep)) {
        return try_receive(call, &LONG_PAST);
    }
    error = try_receive(call, NULL);
    while (error == EAGAIN) {
        error = sleep_on_descriptor(((const Queue *)call->queue)->fd, POLLIN);
        error = error == 0 ? try_receive(call, NULL) : error;
    }
    return error;
}

/* The size that a message may have never changes. */
int
never_fits(const mqc_queue *queue, size_t size)
{
    return size > (size_t)((const Queue *)queue)->maxmsgsize ? EMSGSIZE : 0;
}

int
read_priority(PyObject *priority, long *mark)
{
    static const mqc_range range = {"priority", 0, MOST_PRIORITY, PRIORITY_RANGE};

    return mqc_read_long(priority, &range, mark);
}
