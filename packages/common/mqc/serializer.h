/* Serializers: dumps, loads, who runs code, and who may write to a queue. */

#ifndef MQC_SERIALIZER_H
#define MQC_SERIALIZER_H

#include "argument.h"

enum { MQC_CUSTOM, MQC_PICKLE, MQC_RAW };

typedef struct {
    int kind;
    PyObject *object; /* what the constructor was given */
    PyObject *dumps;
    PyObject *loads;
} mqc_serializer;

/* Who may put a message into a queue: its owner, its creator, and whom the mode lets. */
typedef struct {
    uid_t owner, creator;
    mode_t mode;
} mqc_writers;

/* Instead of an errno: somebody else could have code run here by a message. */
#define MQC_UNTRUSTED (-2)

/* The bytes to send, and who keeps them alive. */
typedef struct {
    const char *data;
    Py_ssize_t size;
    PyObject *owner;
    int has_view;
    Py_buffer view;
} mqc_payload;

void mqc_serializer_clear(mqc_serializer *serializer);
int mqc_serializer_prepare(mqc_state *state, const mqc_manners *manners, mqc_serializer *serializer,
                           PyObject *object);
int mqc_others_write(const mqc_writers *writers);

static inline void
mqc_payload_release(mqc_payload *payload)
{
    if (payload->has_view) {
        PyBuffer_Release(&payload->view);
    }
    Py_XDECREF(payload->owner);
}

/* Point the payload into its owner, which is what a serializer returned. */
static inline int
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

/* Serialize an item. The protocol may be NULL and counts for pickle alone. */
static inline int
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

#endif /* MQC_SERIALIZER_H */
