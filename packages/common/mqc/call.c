/* One call in progress, and what it returns: the bytes, the item, the Message, the DecodeError. */

#include "mqc.h"

#include "call.h"
#include "family.h"
#include "names.h"

mqc_outcome
mqc_call_fail(mqc_call *call, int os_errno)
{
    call->os_errno = os_errno;
    return MQC_FAILED;
}

/* The errno of a transfer that did not succeed: EAGAIN where the time ran out. */
int
mqc_call_error(const mqc_call *call, mqc_outcome outcome)
{
    switch (outcome) {
    case MQC_FAILED:
        return call->os_errno;
    case MQC_CLOSED:
        return EBADF;
    case MQC_INTERRUPTED:
        return EINTR;
    default:
        return EAGAIN;
    }
}

/* Raise the error by which the queue itself refused a get, and note it. */
void
mqc_call_refuse(mqc_call *call, int error)
{
    call->refusal = error;
    mqc_raise(call->operation, error, (PyObject *)call->queue, NULL);
}

/* ***** DecodeError ***** */

static PyObject *
mqc_try_decode_error(const mqc_call *call, PyObject *cause, PyObject *data)
{
    PyObject *queue_text = mqc_family.repr((PyObject *)call->queue);
    PyObject *args = Py_BuildValue("NOO", queue_text, cause, data);
    PyObject *kwargs = args == NULL ? NULL : Py_BuildValue("{sl}", mqc_names.mark, call->mark);
    PyObject *exception = NULL;

    if (kwargs != NULL) {
        exception = PyObject_Call(call->queue->state->decode_error, args, kwargs);
    }
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    return exception;
}

/* Attach the lost message to an exception that is not a DecodeError, where that is possible. */
static void
mqc_attach_message(const mqc_call *call, PyObject *exception, PyObject *data)
{
    PyObject *mark = PyLong_FromLong(call->mark);

    if (mqc_set_attribute(exception, "data", data) < 0) {
        PyErr_Clear();
    }
    if (mqc_set_attribute(exception, mqc_names.mark, mark) < 0) {
        PyErr_Clear();
    }
    Py_XDECREF(mark);
}

/* Return the DecodeError for a message that the serializer refused by raising cause. Where memory
 * lacks or recursion is too deep to make one, return the cause, with the message attached. Where a
 * signal handler raises meanwhile, set *foreign and return its exception, which must not be lost,
 * with the message attached. */
PyObject *
mqc_call_decode_error(mqc_call *call, PyObject *cause, PyObject *data, int *foreign)
{
    PyObject *exception;

    *foreign = 0;
    do {
        exception = mqc_try_decode_error(call, cause, data);
    } while (exception == NULL && mqc_reserve_retry(&call->reserve));
    if (exception != NULL) {
        return exception;
    }
    if (PyErr_ExceptionMatches(PyExc_MemoryError) || PyErr_ExceptionMatches(PyExc_RecursionError)) {
        PyErr_Clear();
        exception = Py_NewRef(cause);
    }
    else {
        exception = mqc_take_exception();
        PyException_SetContext(exception, Py_NewRef(cause));
        *foreign = 1;
    }
    mqc_attach_message(call, exception, data);
    return exception;
}

/* Replace the exception of the serializer by a DecodeError that holds the message. One that is not
 * an Exception (KeyboardInterrupt, SystemExit) stays, with the message attached. */
void
mqc_call_raise_decode(mqc_call *call, PyObject *data)
{
    int is_error = PyErr_ExceptionMatches(PyExc_Exception);
    PyObject *cause = mqc_take_exception();

    if (is_error) {
        int foreign;
        PyObject *exception = mqc_call_decode_error(call, cause, data, &foreign);
        if (foreign) {
            mqc_raise_again(exception);
        }
        else {
            mqc_raise_object(exception);
        }
        Py_DECREF(cause);
    }
    else {
        mqc_attach_message(call, cause, data);
        mqc_raise_again(cause);
    }
    mqc_reserve_free(&call->reserve); /* the traceback needs memory, too */
}

/* ***** results ***** */

/* (first, mark); a NULL passes through. Py_BuildValue would take three times as long. */
static PyObject *
mqc_try_pair(PyObject *first, long mark)
{
    PyObject *second = first == NULL ? NULL : PyLong_FromLong(mark);
    PyObject *pair = second == NULL ? NULL : PyTuple_Pack(2, first, second);

    Py_XDECREF(second);
    return pair;
}

/* The __new__ of tuple avoids a call of the namedtuple's, which is written in Python. */
static PyObject *
mqc_try_message(const mqc_call *call, PyObject *item)
{
    newfunc tuple_new = PyType_GetSlot(&PyTuple_Type, Py_tp_new);
    PyTypeObject *type = (PyTypeObject *)call->queue->state->Message;
    PyObject *pair = mqc_try_pair(item, call->mark);
    PyObject *args = pair == NULL ? NULL : PyTuple_Pack(1, pair);
    PyObject *message = args == NULL ? NULL : tuple_new(type, args, NULL);

    Py_XDECREF(args);
    Py_XDECREF(pair);
    return message;
}

/* Message(item, mark); takes over the reference to the item. NULL passes through. */
PyObject *
mqc_call_message(mqc_call *call, PyObject *item)
{
    PyObject *message;

    if (item == NULL) {
        return NULL;
    }
    do {
        message = mqc_try_message(call, item);
    } while (message == NULL && mqc_reserve_retry(&call->reserve));
    Py_DECREF(item);
    return message;
}

static PyObject *
mqc_new_size_and_mark(mqc_call *call)
{
    PyObject *result;

    do {
        PyObject *number = PyLong_FromSize_t(call->size);
        result = mqc_try_pair(number, call->mark);
        Py_XDECREF(number);
    } while (result == NULL && mqc_reserve_retry(&call->reserve));
    return result;
}

/* (size, mark) of a message that was received into a buffer. Such messages tend to have one size:
 * then this returns the tuple that it returned before, and get_into() makes no object. */
PyObject *
mqc_call_size_and_mark(mqc_call *call)
{
#ifdef Py_GIL_DISABLED /* two threads would need a lock, which takes as long as a new tuple */
    return mqc_new_size_and_mark(call);
#else
    mqc_queue *queue = call->queue;
    PyObject *answer = queue->answer;

    if (answer != NULL && queue->answer_size == call->size && queue->answer_mark == call->mark) {
        return Py_NewRef(answer);
    }
    answer = mqc_new_size_and_mark(call);
    if (answer != NULL) {
        /* Read it again: a new object may start the garbage collector, which may run any code. */
        PyObject *before = queue->answer;
        queue->answer = Py_NewRef(answer);
        queue->answer_size = call->size;
        queue->answer_mark = call->mark;
        Py_XDECREF(before);
    }
    return answer;
#endif
}
