/* Errors: the one way to raise, and exceptions that are taken and raised again. */

#include "mqc.h"

#include "error.h"
#include "import.h"

static const char *const mqc_operation_words[MQC_OPERATIONS] = {
    [MQC_OP_ARGUMENT] = "argument", [MQC_OP_ATTRIBUTES] = "get the attributes",
    [MQC_OP_CLOSE] = "close",       [MQC_OP_ENTER] = "enter a with block",
    [MQC_OP_FROM_FD] = "from_fd",   [MQC_OP_FROM_ID] = "open by id",
    [MQC_OP_FTOK] = "ftok",         [MQC_OP_GET] = "get",
    [MQC_OP_GET_INTO] = "get_into", [MQC_OP_LIMITS] = "limits",
    [MQC_OP_NAME] = "name",         [MQC_OP_NOTIFY] = "notify",
    [MQC_OP_OPEN] = "open",         [MQC_OP_PEEK] = "peek",
    [MQC_OP_PICKLE] = "pickle",     [MQC_OP_PUT] = "put",
    [MQC_OP_REMOVE] = "remove",     [MQC_OP_SET] = "set",
    [MQC_OP_STAT] = "stat",         [MQC_OP_TRUST] = "trust",
    [MQC_OP_UNLINK] = "unlink",
};

/* ***** exceptions ***** */

/* Take the exception that is set. Returns a new reference; the exception has its traceback. */
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

/* Raise an exception that was taken, and take over the reference. PyErr_SetObject would change its
 * __context__. */
void
mqc_raise_again(PyObject *exception)
{
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(exception)), exception,
                  PyException_GetTraceback(exception));
}

/* Give an exception an attribute, even if its class has a __setattr__ of its own. Returns 0, or -1
 * with an exception, also where value is NULL. */
int
mqc_set_attribute(PyObject *exception, const char *name, PyObject *value)
{
    PyObject *key = value == NULL ? NULL : PyUnicode_FromString(name);
    int result = key == NULL ? -1 : PyObject_GenericSetAttr(exception, key, value);

    Py_XDECREF(key);
    return result;
}

/* Raise a new exception object, and take over the reference. Where it is NULL, an exception is set
 * already. */
void
mqc_raise_object(PyObject *exception)
{
    if (exception != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
        Py_DECREF(exception);
    }
}

/* ***** QueueError ***** */

/* Whether the exception that is set says that nothing can be explained: no memory, no descriptor
 * for a file, no stack, or an import that a signal handler has left unfinished. Only the class
 * itself counts: an exception of a derived class (TimeoutError) may be a signal handler's. */
static int
mqc_cannot_explain(void)
{
    const PyObject *raised = PyErr_Occurred();

    return raised == PyExc_MemoryError || raised == PyExc_OSError || raised == PyExc_ImportError ||
           raised == PyExc_ModuleNotFoundError || raised == PyExc_AttributeError ||
           raised == PyExc_RuntimeError || raised == PyExc_RecursionError;
}

/* Fallback when _explain.py cannot run: errno and strerror(3) only. */
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

/* Raise the QueueError for a system error. The package's _explain.py finds the words. It is given
 * the operation, the errno, the queue and a detail; either object may be NULL, which is None. */
void
mqc_raise(mqc_operation operation, int error, PyObject *queue, PyObject *detail)
{
    const char *word = mqc_operation_words[operation];
    PyObject *explain = mqc_import("._explain", "failure");
    PyObject *exception = NULL;

    if (explain != NULL) {
        exception =
            PyObject_CallFunction(explain, "siOO", word, error, queue == NULL ? Py_None : queue,
                                  detail == NULL ? Py_None : detail);
        Py_DECREF(explain);
    }
    if (exception == NULL && mqc_cannot_explain()) {
        exception = mqc_plain_error(word, error);
    }
    mqc_raise_object(exception);
}

/* The same with a detail that was just made, whose reference it takes over. Where that is NULL,
 * the exception that is set stays. */
void
mqc_raise_with(mqc_operation operation, int error, PyObject *queue, PyObject *detail)
{
    if (detail != NULL) {
        mqc_raise(operation, error, queue, detail);
        Py_DECREF(detail);
    }
}

/* Raise QueueError.INVALID_VALUE for an argument: its parameter, its value, what it may be. */
void
mqc_raise_value(const char *parameter, PyObject *value, const char *range)
{
    mqc_raise_with(MQC_OP_ARGUMENT, EINVAL, NULL, Py_BuildValue("sOs", parameter, value, range));
}

/* Turn the exception of an import that failed into a QueueError if it is about a file. */
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
