/* One call in progress, and what it returns. */

#ifndef MQC_CALL_H
#define MQC_CALL_H

#include "error.h"
#include "queue.h"

#define MQC_LARGE 65536   /* calls release the GIL to copy messages of more bytes than this */
#define MQC_SCRATCH 16384 /* messages of up to this many bytes are received on the stack */

/* It lives on the stack of the method that Python called. */
typedef struct {
    mqc_queue *queue;
    mqc_operation operation;
    int64_t wait_ns;      /* 0 to try once, MQC_FOREVER, or nanoseconds */
    int ignores_signals;  /* go on after a signal whatever the queue's policy says */
    long mark;            /* the message's priority or type: the one to send, or that came */
    long wanted;          /* System V: the type to receive, or the index to peek at */
    int flags;            /* System V: MSG_EXCEPT or MSG_COPY */
    size_t size;          /* of the message's text */
    const char *data;     /* the text to send */
    char *text;           /* where the text is received */
    size_t capacity;      /* how much of it has room there */
    size_t most;          /* how far that may grow, where the kernel keeps a longer message */
    void *heap;           /* where text is in memory of its own */
    Py_buffer *view;      /* get_into() alone */
    mqc_reserve *reserve; /* memory for the result */
    int os_errno;         /* why the transfer failed */
    int refusal;          /* the errno that a get was refused with, 0 if it was not */
} mqc_call;

/* Begin a call that waits this long. Fields that are not set here have no meaning yet. (An initialiser
 * would clear the whole object, which takes longer than all the rest that a call does before its
 * system call.) */
static inline void
mqc_call_begin(mqc_call *call, PyObject *queue, mqc_operation operation, int64_t wait_ns)
{
    call->queue = (mqc_queue *)queue;
    call->operation = operation;
    call->wait_ns = wait_ns;
    call->ignores_signals = 0;
    call->wanted = 0;
    call->flags = 0;
    call->heap = NULL;
    call->view = NULL;
    call->reserve = NULL;
    call->refusal = 0;
}

mqc_outcome mqc_call_fail(mqc_call *call, int os_errno);
int mqc_call_error(const mqc_call *call, mqc_outcome outcome);
void mqc_call_refuse(mqc_call *call, int error);

void mqc_call_raise_decode(mqc_call *call, PyObject *data);
PyObject *mqc_call_message(mqc_call *call, PyObject *item);
PyObject *mqc_call_size_and_mark(mqc_call *call);
PyObject *mqc_call_decode_error(mqc_call *call, PyObject *cause, PyObject *data, int *foreign);

/* The bytes of the message that was received. */
static inline PyObject *
mqc_call_bytes(mqc_call *call)
{
    PyObject *bytes;

    do {
        bytes = PyBytes_FromStringAndSize(call->text, (Py_ssize_t)call->size);
    } while (bytes == NULL && mqc_reserve_retry(&call->reserve));
    return bytes;
}

/* Turn a message's bytes into its item, and take over the reference. NULL passes through. */
static inline PyObject *
mqc_call_decode(mqc_call *call, PyObject *bytes)
{
    const mqc_serializer *serializer = &call->queue->serializer;
    PyObject *item;

    if (bytes == NULL || serializer->kind == MQC_RAW) {
        return bytes;
    }
    item = PyObject_CallFunctionObjArgs(serializer->loads, bytes, NULL);
    if (item == NULL) {
        mqc_call_raise_decode(call, bytes);
    }
    Py_DECREF(bytes);
    return item;
}

#endif /* MQC_CALL_H */
