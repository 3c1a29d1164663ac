/* Serializers: dumps, loads, who runs code, and who may write to a queue. */

#include "mqc.h"

#include "import.h"
#include "serializer.h"

/* Which of the package's own serializers this is. A class attribute tells. It counts only in the
 * class that has it itself, as a subclass may override dumps or loads. */
static int
mqc_serializer_kind(PyObject *object)
{
    PyObject *type = PyType_Check(object) ? object : (PyObject *)Py_TYPE(object);
    PyObject *attributes = PyObject_GetAttrString(type, "__dict__");
    PyObject *kind_name = NULL;
    int kind = MQC_CUSTOM;

    if (attributes != NULL) {
        kind_name = PyMapping_GetItemString(attributes, "__mq_serializer__");
        Py_DECREF(attributes);
    }
    if (kind_name == NULL &&
        (PyErr_ExceptionMatches(PyExc_AttributeError) || PyErr_ExceptionMatches(PyExc_KeyError))) {
        PyErr_Clear();
    }
    if (kind_name != NULL && PyUnicode_Check(kind_name)) {
        if (PyUnicode_CompareWithASCIIString(kind_name, "pickle") == 0) {
            kind = MQC_PICKLE;
        }
        else if (PyUnicode_CompareWithASCIIString(kind_name, "raw") == 0) {
            kind = MQC_RAW;
        }
    }
    Py_XDECREF(kind_name);
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
    if (PyErr_Occurred()) { /* raised by the look at the class */
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

/* Whether loads may run code that a message holds. Then a queue that others write to is refused.
 * Returns -1 with an exception. */
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

/* Find the serializer's methods. Returns whether to check who else may write to the queue, or -1
 * with an exception. */
int
mqc_serializer_prepare(mqc_state *state, const mqc_policy *policy, mqc_serializer *serializer,
                       PyObject *object)
{
    int runs_code;

    if (mqc_state_need_queue(state) < 0 || mqc_serializer_init(state, serializer, object) < 0) {
        return -1;
    }
    runs_code = mqc_runs_code(serializer);
    if (runs_code > 0 && mqc_state_need_pickle(state) < 0) { /* it may use PickleSerializer */
        runs_code = -1;
    }
    if (runs_code < 0) {
        mqc_serializer_clear(serializer);
        return -1;
    }
    return runs_code && !policy->trusted;
}

/* Whether somebody else than this user can put messages there. Root does not count, as it can
 * run code here anyway. */
int
mqc_others_write(const mqc_writers *writers)
{
    uid_t user = geteuid();

    return (writers->owner != user && writers->owner != 0) ||
           (writers->creator != user && writers->creator != 0) || (writers->mode & 0022) != 0;
}

/* ***** encoding ***** */

/* Point the payload into its owner, which is what a serializer returned. */
static int
mqc_payload_view(mqc_payload *payload, int kind)
{
    PyObject *owner = payload->owner;

    if (PyBytes_CheckExact(owner)) {
        char *data;
        int result = PyBytes_AsStringAndSize(owner, &data, &payload->size);
        payload->data = data;
        return result;
    }
    if (PyUnicode_Check(owner) && kind != MQC_RAW) {
        payload->data = PyUnicode_AsUTF8AndSize(owner, &payload->size);
        return payload->data == NULL ? -1 : 0;
    }
    if (!PyObject_CheckBuffer(owner)) {
        PyErr_Format(PyExc_TypeError,
                     kind == MQC_RAW ? "RawSerializer takes a bytes-like object, not %R"
                                     : "the serializer must return bytes or str, not %R",
                     (PyObject *)Py_TYPE(owner));
        return -1;
    }
    if (PyObject_GetBuffer(owner, &payload->view, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    payload->has_view = 1;
    payload->data = payload->view.buf;
    payload->size = payload->view.len;
    return 0;
}

/* Serialize an item. The protocol is for pickle only, and NULL for the default. */
int
mqc_encode(const mqc_state *state, const mqc_serializer *serializer, PyObject *item,
           PyObject *protocol, mqc_payload *payload)
{
    payload->has_view = 0;
    switch (serializer->kind) {
    case MQC_RAW:
        payload->owner = Py_NewRef(item);
        break;
    case MQC_PICKLE:
        payload->owner = PyObject_CallFunctionObjArgs(
            serializer->dumps, item, protocol == NULL ? state->protocol : protocol, NULL);
        break;
    default:
        payload->owner = PyObject_CallFunctionObjArgs(serializer->dumps, item, NULL);
    }
    if (payload->owner == NULL) {
        return -1;
    }
    if (mqc_payload_view(payload, serializer->kind) < 0) {
        mqc_payload_release(payload);
        return -1;
    }
    return 0;
}
