/* Serializers: dumps, loads, who runs code, and who may write to a queue. */

#include "mqc.h"

#include "import.h"
#include "serializer.h"

/* Which of the serializers that need no call this is. The mark counts only in the class that
 * made it: a subclass may well dump otherwise. */
static int
mqc_serializer_kind(PyObject *object)
{
    PyObject *type = PyType_Check(object) ? object : (PyObject *)Py_TYPE(object);
    PyObject *attributes = PyObject_GetAttrString(type, "__dict__");
    PyObject *mark = NULL;
    int kind = MQC_CUSTOM;

    if (attributes != NULL) {
        mark = PyMapping_GetItemString(attributes, "__mq_serializer__");
        Py_DECREF(attributes);
    }
    if (mark == NULL &&
        (PyErr_ExceptionMatches(PyExc_AttributeError) || PyErr_ExceptionMatches(PyExc_KeyError))) {
        PyErr_Clear();
    }
    if (mark != NULL && PyUnicode_Check(mark)) {
        if (PyUnicode_CompareWithASCIIString(mark, "pickle") == 0) {
            kind = MQC_PICKLE;
        }
        else if (PyUnicode_CompareWithASCIIString(mark, "raw") == 0) {
            kind = MQC_RAW;
        }
    }
    Py_XDECREF(mark);
    return kind;
}

static PyObject *
mqc_serializer_method(PyObject *object, const char *name)
{
    PyObject *method = PyObject_GetAttrString(object, name);

    if (method != NULL && !PyCallable_Check(method)) {
        Py_CLEAR(method);
        PyErr_Format(PyExc_TypeError, "%s of serializer %R is not callable", name, object);
    }
    else if (method == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Format(PyExc_TypeError, "a serializer needs dumps(obj) and loads(data); %R has no %s",
                     object, name);
    }
    return method;
}

void
mqc_serializer_clear(mqc_serializer *serializer)
{
    Py_CLEAR(serializer->object);
    Py_CLEAR(serializer->dumps);
    Py_CLEAR(serializer->loads);
}

static int
mqc_serializer_init(mqc_state *state, mqc_serializer *serializer, PyObject *object)
{
    if (object == NULL || object == Py_None) {
        object = state->PickleSerializer;
    }
    *serializer = (mqc_serializer){
        .kind = mqc_serializer_kind(object),
        .object = Py_NewRef(object),
    };
    if (PyErr_Occurred()) { /* from the look at a class of the program's own making */
        mqc_serializer_clear(serializer);
        return -1;
    }
    if (serializer->kind == MQC_PICKLE) {
        if (mqc_state_need_pickle(state) < 0) {
            mqc_serializer_clear(serializer);
            return -1;
        }
        serializer->dumps = Py_NewRef(state->dumps);
        serializer->loads = Py_NewRef(state->loads);
        return 0;
    }
    serializer->dumps = mqc_serializer_method(object, "dumps");
    if (serializer->dumps != NULL) {
        serializer->loads = mqc_serializer_method(object, "loads");
    }
    if (serializer->loads == NULL) {
        mqc_serializer_clear(serializer);
        return -1;
    }
    return 0;
}

/* Whether its loads may run code that a message holds: then a queue that others write to is
 * refused. -1 with an exception. */
static int
mqc_runs_code(const mqc_serializer *serializer)
{
    PyObject *judge, *verdict;
    int runs_code;

    if (serializer->kind != MQC_CUSTOM) {
        return serializer->kind == MQC_PICKLE;
    }
    judge = mqc_import(".serializers", "runs_code");
    if (judge == NULL) {
        return -1;
    }
    verdict = PyObject_CallFunctionObjArgs(judge, serializer->object, NULL);
    Py_DECREF(judge);
    if (verdict == NULL) {
        return -1;
    }
    runs_code = PyObject_IsTrue(verdict);
    Py_DECREF(verdict);
    return runs_code;
}

/* The serializer's methods, and whether to be wary of who else may write to the queue: -1 with
 * an exception. */
int
mqc_serializer_prepare(mqc_state *state, const mqc_manners *manners, mqc_serializer *serializer,
                       PyObject *object)
{
    int runs_code;

    if (mqc_state_need_queue(state) < 0 || mqc_serializer_init(state, serializer, object) < 0) {
        return -1;
    }
    runs_code = mqc_runs_code(serializer);
    if (runs_code > 0 && mqc_state_need_pickle(state) < 0) { /* it may rest on PickleSerializer */
        runs_code = -1;
    }
    if (runs_code < 0) {
        mqc_serializer_clear(serializer);
        return -1;
    }
    return runs_code && !manners->trusted;
}

/* Whether anybody but this user can put messages there. Root could have code run anyway. */
int
mqc_others_write(const mqc_writers *writers)
{
    uid_t user = geteuid();

    return (writers->owner != user && writers->owner != 0) ||
           (writers->creator != user && writers->creator != 0) || (writers->mode & 0022) != 0;
}
