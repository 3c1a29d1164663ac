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

int
send_message(const mqc_call *call, int may_sleep)
{
    int fd = ((const Queue *)call->queue)->fd;
    const mq_timespec *timeout = MQC_SLEEPS(may_sleep) ? NULL : &LONG_PAST;

    for (;;) {
        if (syscall(MQC_SYS_mq_timedsend, fd, call->data, call->size, (unsigned)call->mark,
                    timeout) >= 0) {
            return 0;
        }
        if (errno != EAGAIN || !MQC_SLEEPS(may_sleep)) {
            return errno;
        }
        if (sleep_on_descriptor(fd, POLLOUT) != 0) {
            return errno;
        }
    }
}

int
receive_message(mqc_call *call, int may_sleep)
{
    int fd = ((const Queue *)call->queue)->fd;
    const mq_timespec *timeout = MQC_SLEEPS(may_sleep) ? NULL : &LONG_PAST;
    unsigned priority;

    for (;;) {
        ssize_t size =
            syscall(MQC_SYS_mq_timedreceive, fd, call->text, call->capacity, &priority, timeout);
        if (size >= 0) {
            call->size = (size_t)size;
            call->mark = (long)priority;
            return 0;
        }
        if (errno != EAGAIN || !MQC_SLEEPS(may_sleep)) {
            return errno;
        }
        if (sleep_on_descriptor(fd, POLLIN) != 0) {
            return errno;
        }
    }
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
