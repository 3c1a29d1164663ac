/* Notification; see mq_notify(3). */

#include "posixmq.h"

#include <signal.h> /* struct sigevent */

#include "mqc/argument.h"
#include "mqc/error.h"
#include "mqc/import.h"

static int
set_notification(Queue *self, const struct sigevent *event)
{
    int error = mqc_use_begin(&self->base.gate);

    if (error == 0) {
        error = system_notify(self->fd, event);
        mqc_use_end(&self->base.gate);
    }
    if (error != 0) {
        mqc_raise(MQC_OP_NOTIFY, error, (PyObject *)self, NULL);
        return -1;
    }
    return 0;
}

/* Call a function of _notify.py with one argument. */
static PyObject *
call_listener(const char *function, PyObject *argument)
{
    PyObject *listener = mqc_import("._notify", function);
    PyObject *result = NULL;

    if (listener != NULL) {
        result = PyObject_CallFunctionObjArgs(listener, argument, NULL);
        Py_DECREF(listener);
    }
    return result;
}

/* Ask for SIGEV_THREAD, most of which the kernel leaves to the C library: it only writes the cookie
 * to a netlink socket. The last byte says whether a message came or the registration ended. */
static int
notify_callback(Queue *self, PyObject *callback)
{
    PyObject *registered = call_listener("expect", callback);
    PyObject *type, *value, *traceback, *cookie;
    struct sigevent event = {.sigev_notify = SIGEV_THREAD};
    int result = -1;

    if (registered == NULL) {
        return -1;
    }
    if (PyArg_ParseTuple(registered, "iO!", &event.sigev_signo, &PyBytes_Type, &cookie)) {
        event.sigev_value.sival_ptr = PyBytes_AsString(cookie);
        result = set_notification(self, &event);
        if (result < 0) {
            PyErr_Fetch(&type, &value, &traceback);
            Py_XDECREF(call_listener("forget", cookie));
            PyErr_Restore(type, value, traceback);
        }
    }
    Py_DECREF(registered);
    return result;
}

static int
notify_signal(Queue *self, PyObject *number)
{
    const mqc_range range = {"signal", 1, SIGRTMAX, "1 to SIGRTMAX"};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL};
    long signal_number;

    if (mqc_read_long(number, &range, &signal_number) < 0) {
        return -1;
    }
    event.sigev_signo = (int)signal_number;
    return set_notification(self, &event);
}

PyObject *
Queue_notify(PyObject *op, PyObject *target)
{
    Queue *self = (Queue *)op;
    int result;

    if (target == Py_None) {
        result = set_notification(self, NULL);
    }
    else if (PyIndex_Check(target) && !PyBool_Check(target)) {
        result = notify_signal(self, target);
    }
    else if (PyCallable_Check(target)) {
        result = notify_callback(self, target);
    }
    else {
        PyErr_Format(PyExc_TypeError, "notify() takes a callable, a signal number or None, not %R",
                     (PyObject *)Py_TYPE(target));
        return NULL;
    }
    if (result < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}
