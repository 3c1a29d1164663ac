/* Serializers: dumps, loads, who runs code, and who may write to a queue. */

#ifndef MQC_SERIALIZER_H
#define MQC_SERIALIZER_H

#include <sys/types.h> /* uid_t, mode_t */

#include "argument.h"
#include "state.h"

enum { MQC_CUSTOM, MQC_PICKLE, MQC_RAW };

typedef struct {
    int kind;
    PyObject *object; /* what the constructor was given */
    PyObject *dumps;
    PyObject *loads;
} mqc_serializer;

/* Who may put a message into a queue: its owner, its creator, and those whom its mode permits. */
typedef struct {
    uid_t owner, creator;
    mode_t mode;
} mqc_writers;

/* What functions that open a queue return instead of an errno: others may write to it, and the
 * serializer would run the code in their messages. */
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
int mqc_serializer_prepare(mqc_state *state, const mqc_policy *policy, mqc_serializer *serializer,
                           PyObject *object);
int mqc_others_write(const mqc_writers *writers);

int mqc_encode(const mqc_state *state, const mqc_serializer *serializer, PyObject *item,
               PyObject *protocol, mqc_payload *payload);

static inline void
mqc_payload_release(mqc_payload *payload)
{
    if (payload->has_view) {
        PyBuffer_Release(&payload->view);
    }
    Py_XDECREF(payload->owner);
}

#endif /* MQC_SERIALIZER_H */
