/* The state of a module, and what the first Queue imports into it. */

#ifndef MQC_STATE_H
#define MQC_STATE_H

#include "mqc.h"

/* The names of parameters, and where mqc_parse() puts their values. */
enum {
    MQC_ITEM,
    MQC_BLOCK,
    MQC_TIMEOUT,
    MQC_MARK, /* "priority" or "msg_type" */
    MQC_PROTOCOL,
    MQC_NAME,
    MQC_ITEMS,
    MQC_MAX_ITEMS,
    MQC_BUFFER,
    MQC_EXCLUDE,
    MQC_INDEX,
    MQC_WORDS,
};

typedef struct {
    PyObject *decode_error;
    PyObject *PickleSerializer;
    PyObject *protocol; /* the documented default: 1 */
    PyObject *thread_key;
    PyObject *words[MQC_WORDS];
    /* Set when the first Queue is made: what calls of any Queue need. */
    atomic_int has_queue;
    PyObject *Empty;
    PyObject *Full;
    PyObject *Message; /* the namedtuple that receive() returns */
    /* Set when the first Queue is made whose serializer uses pickle. */
    atomic_int has_pickle;
    PyObject *dumps;
    PyObject *loads;
} mqc_state;

/* The slots of a module without global Python objects. One binary serves all versions, and an older
 * runtime refuses slots that it does not know. Therefore the newest come first, and
 * mqc_module_slots skips those that the running Python does not know. */
#define MQC_MODULE_SLOTS(name, exec)                                                               \
    static PyModuleDef_Slot name[] = {                                                             \
        {4 /* Py_mod_gil, 3.13 */, (void *)1 /* Py_MOD_GIL_NOT_USED */},                           \
        {3 /* Py_mod_multiple_interpreters, 3.12 */, (void *)2 /* PER_INTERPRETER_GIL */},         \
        {Py_mod_exec, exec},                                                                       \
        {0, NULL},                                                                                 \
    }

int mqc_state_init(mqc_state *state);
int mqc_state_traverse(mqc_state *state, visitproc visit, void *arg);
void mqc_state_clear(mqc_state *state);
PyObject *mqc_module_of_type(PyTypeObject *type, struct PyModuleDef *definition);
int mqc_state_need_queue(mqc_state *state);
int mqc_state_need_pickle(mqc_state *state);
PyModuleDef_Slot *mqc_module_slots(PyModuleDef_Slot *slots);

#endif /* MQC_STATE_H */
