/* What every Queue object has. */

#ifndef MQC_QUEUE_H
#define MQC_QUEUE_H

#include "argument.h"
#include "reserve.h"
#include "serializer.h"
#include "state.h"

/* A Queue object of either family begins with this. */
typedef struct {
    PyObject_HEAD
    PyObject *module; /* keeps the state alive; the type may have been cleared before its objects */
    mqc_state *state;
    mqc_gate gate;
    mqc_policy policy;
    mqc_kept_reserve reserve;
    mqc_serializer serializer;
    int opened;            /* it was open once, perhaps it still is */
    atomic_int unchecked;  /* System V: who writes to it is to be checked before a get decodes */
    atomic_size_t longest; /* the receive buffer to start with */
    size_t check_above;    /* larger messages than this may never fit: ask before sending */
    size_t most_at_once;   /* how many messages get_many() takes at most */
    PyObject *answer;      /* what get_into() returned last, a tuple of these two numbers */
    size_t answer_size;
    long answer_mark;
} mqc_queue;

void mqc_queue_bind(mqc_queue *queue, PyObject *module);
int mqc_queue_claim(mqc_queue *queue);
void mqc_queue_unclaim(mqc_queue *queue);
int mqc_queue_begin(mqc_queue *queue, const mqc_options *options);
void mqc_queue_install(mqc_queue *queue, const mqc_serializer *serializer);
int mqc_queue_close(mqc_queue *queue);
void mqc_queue_free(PyObject *op);
int mqc_queue_traverse(PyObject *op, visitproc visit, void *arg);
int mqc_queue_clear(PyObject *op);

PyObject *mqc_queue_enter(PyObject *op, PyObject *ignored);
PyObject *mqc_queue_exit(PyObject *queue, const char *method);
PyObject *mqc_queue_reduce(PyObject *op, const char *module_name, const char *function);
PyObject *mqc_type_name(PyObject *op);
PyObject *mqc_get_serializer(PyObject *op, void *closure);
PyObject *mqc_get_closed(PyObject *op, void *closure);
PyObject *mqc_get_on_signal(PyObject *op, void *closure);
PyObject *mqc_get_spin_us(PyObject *op, void *closure);
PyObject *mqc_get_trusted(PyObject *op, void *closure);

#endif /* MQC_QUEUE_H */
