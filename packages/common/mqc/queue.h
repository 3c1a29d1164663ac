/* What every Queue object has. */

#ifndef MQC_QUEUE_H
#define MQC_QUEUE_H

#include "reserve.h"
#include "serializer.h"

/* What both kinds of Queue object begin with. */
typedef struct {
    PyObject_HEAD
    PyObject *module; /* keeps the state alive; the type may have been cleared before its objects */
    mqc_state *state;
    mqc_gate gate;
    mqc_manners manners;
    mqc_kept_spare spare;
    mqc_serializer serializer;
    PyObject *answer; /* what get_into() returned last, a tuple of these two numbers, or NULL */
    size_t answer_size;
    long answer_place;
} mqc_queue;

PyObject *mqc_type_name(PyObject *op);
PyObject *mqc_end_block(PyObject *queue, const char *method);
void mqc_end_iteration(void);
int mqc_gate_claim(mqc_gate *gate);
void mqc_gate_unclaim(mqc_gate *gate);
int mqc_close_gate(mqc_gate *gate);
void mqc_queue_bind(mqc_queue *queue, PyObject *module);
void mqc_queue_free(PyObject *op);
int mqc_queue_traverse(PyObject *op, visitproc visit, void *arg);
int mqc_queue_clear(PyObject *op);
int mqc_queue_begin(mqc_queue *queue, const mqc_options *options);
PyObject *mqc_queue_reduce(PyObject *op, const char *module_name, const char *function);
PyObject *mqc_get_serializer(PyObject *op, void *Py_UNUSED(closure));
PyObject *mqc_get_closed(PyObject *op, void *Py_UNUSED(closure));
PyObject *mqc_get_on_signal(PyObject *op, void *Py_UNUSED(closure));
PyObject *mqc_get_spin_us(PyObject *op, void *Py_UNUSED(closure));
PyObject *mqc_get_trusted(PyObject *op, void *Py_UNUSED(closure));

#endif /* MQC_QUEUE_H */
