/* Errors: the one way to raise, and exceptions taken and raised again. */

#include "mqc.h"

#include "error.h"
#include "import.h"

/* Take the exception that is set: a new reference to it, whole with its traceback. */
PyObject *
mqc_take_exception(void)
{
    PyObject *type, *exception, *traceback;

    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(exception, traceback);
    }
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return exception;
}

/* Raise the exception that was taken, as it was: PyErr_SetObject would change its __context__. */
void
mqc_raise_again(PyObject *exception)
{
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(exception)), exception,
                  PyException_GetTraceback(exception));
}

/* Give an exception an attribute, whatever its class makes of that: 0, or -1 with an exception. */
int
mqc_set_attribute(PyObject *exception, const char *name, PyObject *value)
{
    PyObject *key = value == NULL ? NULL : PyUnicode_FromString(name);
    int result = key == NULL ? -1 : PyObject_GenericSetAttr(exception, key, value);

    Py_XDECREF(key);
    return result;
}

/* Raise an exception object, whose reference is taken over; NULL leaves what is raised. */
void
mqc_raise_object(PyObject *exception)
{
    if (exception != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
        Py_DECREF(exception);
    }
}

/* Whether what was raised says that something cannot be explained: no memory, no descriptor for
 * a file, no stack, or an import that a signal handler has left half done. By the class itself:
 * what derives from it (TimeoutError) may be a signal handler's own, and is passed on. */
static int
mqc_cannot_explain(void)
{
    const PyObject *raised = PyErr_Occurred();

    return raised == PyExc_MemoryError || raised == PyExc_OSError || raised == PyExc_ImportError ||
           raised == PyExc_ModuleNotFoundError || raised == PyExc_AttributeError ||
           raised == PyExc_RuntimeError || raised == PyExc_RecursionError;
}

/* Where nothing can be explained the bare error must do. */
static PyObject *
mqc_plain_error(const char *operation, int error)
{
    PyObject *system_error, *exception;

    PyErr_Clear();
    system_error = mqc_import("._errors", "system_error");
    if (system_error == NULL) {
        return NULL;
    }
    exception =
        PyObject_CallFunction(system_error, "iN", error,
                              PyUnicode_FromFormat("cannot %s: %s", operation, strerror(error)));
    Py_DECREF(system_error);
    return exception;
}

/* Raise the QueueError for a system error. What to say is policy and lives in _explain.py: it
 * is given the operation's name, the errno, the queue (or None) and a detail. */
void
mqc_raise(const char *operation, int error, PyObject *queue, PyObject *detail)
{
    PyObject *explain = mqc_import("._explain", "failure");
    PyObject *exception = NULL;

    if (explain != NULL) {
        exception = PyObject_CallFunction(explain, "siOO", operation, error,
                                          queue == NULL ? Py_None : queue,
                                          detail == NULL ? Py_None : detail);
        Py_DECREF(explain);
    }
    if (exception == NULL && mqc_cannot_explain()) {
        exception = mqc_plain_error(operation, error);
    }
    mqc_raise_object(exception);
}

/* Raise QueueError.INVALID_VALUE for an argument: parameter, its value, what it may be. */
void
mqc_raise_value(const char *parameter, PyObject *value, const char *range)
{
    PyObject *detail = Py_BuildValue("sOs", parameter, value, range);

    if (detail != NULL) {
        mqc_raise("argument", EINVAL, NULL, detail);
        Py_DECREF(detail);
    }
}

/* Make a QueueError of the exception by which an import has ended, if that is about a file. */
void
mqc_raise_import(void)
{
    PyObject *cause = mqc_take_exception();
    PyObject *explain = mqc_import("._errors", "import_failure");
    PyObject *exception = NULL;

    if (explain != NULL) {
        exception = PyObject_CallFunctionObjArgs(explain, cause, NULL);
        Py_DECREF(explain);
    }
    if (exception == NULL && !mqc_cannot_explain()) { /* raised by a signal handler */
        Py_DECREF(cause);
    }
    else if (exception == NULL || exception == Py_None) {
        Py_XDECREF(exception);
        PyErr_Clear();
        mqc_raise_again(cause);
    }
    else {
        mqc_raise_object(exception);
        Py_DECREF(cause);
    }
}
