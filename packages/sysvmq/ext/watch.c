/* Watching, for sysvmq.asyncio. */

#include "sysvmq.h"

#include "mqc/error.h"
#include "mqc/transfer.h"

typedef struct {
    int id, flags;
    long type;
    message_buffer empty;
} watching;

/* A message that is longer than the buffer stays queued, see E2BIG in msgrcv(2): so with no
 * buffer at all the call sleeps until there is a message, and leaves it to whoever wants it. */
static mqc_outcome
watch_attempt(void *context, int may_sleep, int *os_errno)
{
    watching *watch = context;
    int flags = watch->flags | (MQC_SLEEPS(may_sleep) ? 0 : IPC_NOWAIT);

    watch->empty.type = 0;
    if (system_receive(watch->id, &watch->empty, 0, watch->type, flags) == 0 || errno == E2BIG) {
        return MQC_DONE;
    }
    return mqc_outcome_of(removed_or(errno), os_errno);
}

PyObject *
Queue_watch(PyObject *op, PyObject *args)
{
    Queue *self = (Queue *)op;
    watching watch = {.id = self->id};
    int exclude, error;

    if (!PyArg_ParseTuple(args, "lp:_watch", &watch.type, &exclude)) {
        return NULL;
    }
    watch.flags = exclude ? MSG_EXCEPT : 0;
    error = mqc_move(&self->base, MQC_GET, (mqc_work){watch_attempt, &watch, 0}, MQC_FOREVER, 0);
    if (error > 0) {
        mqc_raise("get", error, op, NULL);
    }
    return error == 0 ? PyLong_FromLong(watch.empty.type) : NULL;
}
