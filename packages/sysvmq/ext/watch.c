/* Watching, for sysvmq.asyncio. */

#include "sysvmq.h"

#include "mqc/transfer.h"

/* A message that is longer than the buffer stays in the queue; see E2BIG in msgrcv(2). Without any
 * buffer the call therefore sleeps until there is a message, and leaves it to whoever wants it. */
static mqc_outcome
watch_attempt(void *context, int may_sleep, int *os_errno)
{
    mqc_call *call = context;
    int id = ((const Queue *)call->queue)->id;
    int flags = call->flags | (MQC_SLEEPS(may_sleep) ? 0 : IPC_NOWAIT);
    mqc_message empty = {.mark = 0};

    if (system_receive(id, &empty, 0, call->wanted, flags) == 0 || errno == E2BIG) {
        call->mark = empty.mark;
        return MQC_DONE;
    }
    return mqc_outcome_of(removed_or(errno), os_errno);
}

PyObject *
Queue_watch(PyObject *op, PyObject *args)
{
    mqc_call call;
    mqc_outcome outcome;
    int exclude;

    mqc_call_begin(&call, op, MQC_OP_GET, MQC_FOREVER);
    call.ignores_signals = 1;
    if (!PyArg_ParseTuple(args, "lp:_watch", &call.wanted, &exclude)) {
        return NULL;
    }
    call.flags = exclude ? MSG_EXCEPT : 0;
    outcome = mqc_transfer(&call, (mqc_work){watch_attempt, &call, MQC_GET, 0});
    if (outcome == MQC_DONE) {
        return PyLong_FromLong(call.mark);
    }
    if (outcome != MQC_RAISED) {
        mqc_raise(call.operation, mqc_call_error(&call, outcome), op, NULL);
    }
    return NULL;
}
