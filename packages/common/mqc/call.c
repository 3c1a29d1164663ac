/* What a call returns: the bytes, the item, the Message, the DecodeError. */

#include "mqc.h"

#include "call.h"
#include "error.h"
#include "family.h"

/* (first, place), in which a NULL passes through. Py_BuildValue would take three times as long. */
static PyObject *
mqc_try_pair(PyObject *first, long place)
{
    PyObject *second = first == NULL ? NULL : PyLong_FromLong(place);
    PyObject *pair = second == NULL ? NULL : PyTuple_Pack(2, first, second);

    Py_XDECREF(second);
    return pair;
}

static PyObject *
mqc_try_decode_error(const mqc_state *state, PyObject *queue, PyObject *cause, PyObject *data,
                     const char *place, long value)
{
    PyObject *args = Py_BuildValue("NOO", mqc_family.repr(queue), cause, data);
    PyObject *kwargs = args == NULL ? NULL : Py_BuildValue("{sl}", place, value);
    PyObject *exception = NULL;

    if (kwargs != NULL) {
        exception = PyObject_Call(state->decode_error, args, kwargs);
    }
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    return exception;
}

/* Let an exception that is no DecodeError carry the message that it cost, where it can. */
static void
mqc_attach_message(PyObject *exception, PyObject *data, const char *place, long value)
{
    PyObject *number = PyLong_FromLong(value);

    if (mqc_set_attribute(exception, "data", data) < 0) {
        PyErr_Clear();
    }
    if (mqc_set_attribute(exception, place, number) < 0) {
        PyErr_Clear();
    }
    Py_XDECREF(number);
}

/* The DecodeError for a message that the serializer refused by raising cause. Where it cannot be
 * made, by lack of memory or at the limit of recursion, the cause itself carries the data; and
 * where a signal handler raises meanwhile, what it raised, which must not be lost: *foreign. */
PyObject *
mqc_decode_error(const mqc_state *state, PyObject *queue, PyObject *cause, PyObject *data,
                 const char *place, long value, mqc_spare **spare, int *foreign)
{
    PyObject *exception;

    *foreign = 0;
    do {
        exception = mqc_try_decode_error(state, queue, cause, data, place, value);
    } while (exception == NULL && mqc_give_back(spare));
    if (exception == NULL) {
        int lacking = PyErr_ExceptionMatches(PyExc_MemoryError) ||
                      PyErr_ExceptionMatches(PyExc_RecursionError);
        if (lacking) {
            PyErr_Clear();
            exception = Py_NewRef(cause);
        }
        else {
            exception = mqc_take_exception();
            PyException_SetContext(exception, Py_NewRef(cause));
            *foreign = 1;
        }
        mqc_attach_message(exception, data, place, value);
    }
    return exception;
}

/* Replace what the serializer raised by a DecodeError that holds the message. An exception that
 * is no error of the serializer's (KeyboardInterrupt, SystemExit) stays what it is, and holds it. */
void
mqc_raise_decode(const mqc_state *state, PyObject *queue, PyObject *data, const char *place,
                 long value, mqc_spare **spare)
{
    int is_error = PyErr_ExceptionMatches(PyExc_Exception);
    PyObject *cause = mqc_take_exception();

    if (is_error) {
        int foreign;
        PyObject *exception =
            mqc_decode_error(state, queue, cause, data, place, value, spare, &foreign);
        if (foreign) {
            mqc_raise_again(exception);
        }
        else {
            mqc_raise_object(exception);
        }
        Py_DECREF(cause);
    }
    else {
        mqc_attach_message(cause, data, place, value);
        mqc_raise_again(cause);
    }
    free(*spare); /* the traceback needs memory, too */
    *spare = NULL;
}

/* tuple's own __new__ spares the call of the namedtuple's, which is written in Python. */
static PyObject *
mqc_try_message(const mqc_state *state, PyObject *item, long place)
{
    newfunc tuple_new = PyType_GetSlot(&PyTuple_Type, Py_tp_new);
    PyObject *pair = mqc_try_pair(item, place);
    PyObject *args = pair == NULL ? NULL : PyTuple_Pack(1, pair);
    PyObject *message = args == NULL ? NULL : tuple_new((PyTypeObject *)state->Message, args, NULL);

    Py_XDECREF(args);
    Py_XDECREF(pair);
    return message;
}

/* Message(item, place), taking over the item (NULL passes through). */
PyObject *
mqc_message(const mqc_state *state, PyObject *item, long place, mqc_spare **spare)
{
    PyObject *message;

    if (item == NULL) {
        return NULL;
    }
    do {
        message = mqc_try_message(state, item, place);
    } while (message == NULL && mqc_give_back(spare));
    Py_DECREF(item);
    return message;
}

/* (size, place) of a message, a new object. */
static PyObject *
mqc_new_size_and_place(size_t size, long place, mqc_spare **spare)
{
    PyObject *result;

    do {
        PyObject *number = PyLong_FromSize_t(size);
        result = mqc_try_pair(number, place);
        Py_XDECREF(number);
    } while (result == NULL && mqc_give_back(spare));
    return result;
}

/* (size, place) of a message that was received into a buffer. Messages for a buffer tend to be of
 * one size: then this returns the tuple that it returned before, and get_into() makes no object. */
PyObject *
mqc_size_and_place(mqc_queue *queue, size_t size, long place, mqc_spare **spare)
{
#ifdef Py_GIL_DISABLED /* two threads would need a lock, which takes as long as a new tuple */
    (void)queue;
    return mqc_new_size_and_place(size, place, spare);
#else
    PyObject *answer = queue->answer;

    if (answer != NULL && queue->answer_size == size && queue->answer_place == place) {
        return Py_NewRef(answer);
    }
    answer = mqc_new_size_and_place(size, place, spare);
    if (answer != NULL) {
        /* Read it again: a new object may start the garbage collector, and that any other code. */
        PyObject *before = queue->answer;
        queue->answer = Py_NewRef(answer);
        queue->answer_size = size;
        queue->answer_place = place;
        Py_XDECREF(before);
    }
    return answer;
#endif
}
