/* What a call returns: the bytes, the item, the Message, the DecodeError. */

#ifndef MQC_CALL_H
#define MQC_CALL_H

#include "queue.h"

PyObject *mqc_decode_error(const mqc_state *state, PyObject *queue, PyObject *cause, PyObject *data,
                           const char *place, long value, mqc_spare **spare, int *foreign);
void mqc_raise_decode(const mqc_state *state, PyObject *queue, PyObject *data, const char *place,
                      long value, mqc_spare **spare);
PyObject *mqc_message(const mqc_state *state, PyObject *item, long place, mqc_spare **spare);
PyObject *mqc_size_and_place(mqc_queue *queue, size_t size, long place, mqc_spare **spare);

/* The bytes of a message that was received. */
static inline PyObject *
mqc_bytes(const char *text, size_t size, mqc_spare **spare)
{
    PyObject *bytes;

    do {
        bytes = PyBytes_FromStringAndSize(text, (Py_ssize_t)size);
    } while (bytes == NULL && mqc_give_back(spare));
    return bytes;
}

/* Turn a received message into an item, taking over the reference to its bytes (NULL passes
 * through); place and value say where it stood. */
static inline PyObject *
mqc_decode(const mqc_state *state, const mqc_serializer *serializer, PyObject *queue,
           PyObject *bytes, const char *place, long value, mqc_spare **spare)
{
    PyObject *item;

    if (bytes == NULL || serializer->kind == MQC_RAW) {
        return bytes;
    }
    item = PyObject_CallFunctionObjArgs(serializer->loads, bytes, NULL);
    if (item == NULL) {
        mqc_raise_decode(state, queue, bytes, place, value, spare);
    }
    Py_DECREF(bytes);
    return item;
}

#endif /* MQC_CALL_H */
