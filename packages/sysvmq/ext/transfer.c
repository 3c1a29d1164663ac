/* Attempts to send and to receive a message, and what mqc/family.h asks besides; peek(). */

#include "sysvmq.h"

#include <stddef.h> /* offsetof */

#include "mqc/argument.h"
#include "mqc/transfer.h"

#define TEXT_OFFSET offsetof(mqc_message, text)

static int
id_of(const mqc_queue *queue)
{
    return ((const Queue *)queue)->id;
}

/* ***** sending ***** */

int
never_fits(const mqc_queue *queue, size_t size)
{
    return system_never_fits(id_of(queue), size);
}

int
send_message(const mqc_call *call, int may_sleep)
{
    int id = id_of(call->queue);
    int error;

    if (may_sleep) { /* the kernel would let a message wait that is longer than the queue */
        error = system_never_fits(id, call->size);
        if (error != 0) {
            return error;
        }
    }
    if (msgsnd(id, call->data - TEXT_OFFSET, call->size, MQC_SLEEPS(may_sleep) ? 0 : IPC_NOWAIT) ==
        0) {
        return 0;
    }
    error = errno;
    if (error == EINVAL) {
        error = system_never_fits(id, call->size);
        return error != 0 ? error : EIDRM;
    }
    return error;
}

int
read_type(PyObject *msg_type, long *type)
{
    static const mqc_range range = {"msg_type", 1, LONG_MAX, "1 or more, within a C long"};

    return mqc_read_long(msg_type, &range, type);
}

/* ***** receiving ***** */

/* Why a message was refused with EINVAL. A copy is made in room for kernel.msgmax bytes, which may
 * have been lowered since the message was sent. */
static int
explain_refusal(const mqc_call *call)
{
    struct msqid_ds status;
    int error = call->flags & MSG_COPY ? system_stat(id_of(call->queue), &status) : EIDRM;

    return error != 0 ? error : EMSGSIZE;
}

int
receive_message(mqc_call *call, int may_sleep)
{
    mqc_message *message = (mqc_message *)(call->text - TEXT_OFFSET);
    int flags = call->flags | (MQC_SLEEPS(may_sleep) ? 0 : IPC_NOWAIT);
    ssize_t size = system_receive(id_of(call->queue), message, call->capacity, call->wanted, flags);

    if (size < 0) {
        return errno == EINVAL ? explain_refusal(call) : errno;
    }
    call->size = (size_t)size;
    call->mark = message->mark;
    return 0;
}

/* How many messages are in the queue, 0 where this user may not look. */
size_t
count_messages(const mqc_queue *queue)
{
    struct msqid_ds status;

    return system_stat(id_of(queue), &status) == 0 ? status.msg_qnum : 0;
}

/* Read what a reader asks for: one type, 0 for any, or any but one (exclude). */
int
select_type(mqc_call *call, PyObject *msg_type, PyObject *exclude)
{
    static const mqc_range range = {"msg_type", LONG_MIN, LONG_MAX, "within a C long"};
    int excluding;

    if (msg_type != NULL && mqc_read_long(msg_type, &range, &call->wanted) < 0) {
        return -1;
    }
    if (exclude == NULL) {
        return 0;
    }
    excluding = PyObject_IsTrue(exclude);
    if (excluding > 0 && call->wanted < 1) { /* the kernel would ignore MSG_EXCEPT */
        PyObject *value = PyLong_FromLong(call->wanted);
        if (value != NULL) {
            mqc_raise_value("msg_type", value, "1 or more where exclude=True");
            Py_DECREF(value);
        }
        return -1;
    }
    call->flags = excluding > 0 ? MSG_EXCEPT : 0;
    return excluding < 0 ? -1 : 0;
}

/* Check who else writes to a queue that was opened without the right to see that. */
int
recheck_writers(mqc_call *call)
{
    mqc_queue *queue = call->queue;
    mqc_writers writers = {0};
    int error = mqc_use_begin(&queue->gate);

    if (error == 0) {
        error = check_writers(id_of(queue), &writers);
        mqc_use_end(&queue->gate);
    }
    if (error == 0) {
        atomic_store(&queue->unchecked, 0);
        return 0;
    }
    if (error == MQC_UNTRUSTED) {
        raise_untrusted("id", id_of(queue), &writers);
    }
    else {
        mqc_call_refuse(call, error);
    }
    return -1;
}

PyObject *
Queue_peek(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const mqc_parameters parameters = {"peek", 0, 1, 1, {MQC_INDEX}};
    static const mqc_range range = {"index", 0, LONG_MAX, "0 or more, within a C long"};
    const mqc_arguments given = {&parameters, args, nargs, kwnames};
    PyObject *values[MQC_WORDS];
    mqc_call call;

    mqc_call_begin(&call, op, MQC_OP_PEEK, 0); /* a call with this flag must not sleep */
    call.flags = MSG_COPY;                     /* wanted is then an index */
    if (mqc_parse(call.queue->state, &given, values) < 0) {
        return NULL;
    }
    if (values[MQC_INDEX] != NULL && mqc_read_long(values[MQC_INDEX], &range, &call.wanted) < 0) {
        return NULL;
    }
    return mqc_receive_message(&call);
}
