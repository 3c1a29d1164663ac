/* Arguments: parameters by place and by name, numbers, timeouts, options. */

#ifndef MQC_ARGUMENT_H
#define MQC_ARGUMENT_H

#include "state.h"

/* A method's parameters, as indices of words: the first `positional` may stand by place. */
typedef struct {
    const char *method;
    int required, positional, count;
    unsigned char words[5];
} mqc_parameters;

/* What every way to open a queue takes besides. */
typedef struct {
    PyObject *serializer, *on_signal, *spin_us;
    int trusted;
} mqc_options;

/* Where those end up that need no more than to be kept. */
typedef struct {
    int on_signal_raises;
    int trusted;
} mqc_manners;

int mqc_parse_keyword(const mqc_state *state, const mqc_parameters *parameters, PyObject *key,
                      PyObject *value, PyObject **values);
int mqc_read_long(PyObject *value, const char *parameter, long low, long high, const char *range,
                  long *result);
int mqc_read_most(PyObject *max_items, long *most);
int mqc_read_timeout(PyObject *value, int64_t *timeout);
long mqc_environment_number(const char *name);
int mqc_read_options(const mqc_options *options, mqc_gate *gate, mqc_manners *manners);

/* Fill values with borrowed references, and NULL for what was not given. */
static inline int
mqc_parse(const mqc_state *state, const mqc_parameters *parameters, PyObject *const *args,
          Py_ssize_t nargs, PyObject *kwnames, PyObject **values)
{
    if (nargs > parameters->positional) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %d positional arguments (%zd given)",
                     parameters->method, parameters->positional, nargs);
        return -1;
    }
    for (Py_ssize_t i = 0; i < parameters->count; i++) {
        values[i] = i < nargs ? args[i] : NULL;
    }
    if (kwnames != NULL) {
        Py_ssize_t keywords = PyTuple_Size(kwnames);
        for (Py_ssize_t i = 0; i < keywords; i++) {
            if (mqc_parse_keyword(state, parameters, PyTuple_GetItem(kwnames, i), args[nargs + i],
                                  values) < 0) {
                return -1;
            }
        }
    }
    if (parameters->required && values[0] == NULL) {
        PyErr_Format(PyExc_TypeError, "%s() missing required argument '%U'", parameters->method,
                     state->words[parameters->words[0]]);
        return -1;
    }
    return 0;
}

/* Whether a call gave no more than what its method requires: then there is nothing to parse. */
static inline int
mqc_is_plain(const mqc_parameters *parameters, Py_ssize_t nargs, PyObject *kwnames)
{
    return nargs == parameters->required && kwnames == NULL;
}

/* How long a call may wait: 0 to try once, MQC_FOREVER, or nanoseconds. */
static inline int
mqc_read_patience(PyObject *block, PyObject *timeout, int64_t *patience)
{
    int may_block = 1;

    if (block != NULL && block != Py_True) {
        may_block = PyObject_IsTrue(block);
        if (may_block < 0) {
            return -1;
        }
    }
    if (!may_block) { /* documented: then the timeout is ignored */
        *patience = 0;
        return 0;
    }
    if (timeout == NULL || timeout == Py_None) {
        *patience = MQC_FOREVER;
        return 0;
    }
    return mqc_read_timeout(timeout, patience);
}

#endif /* MQC_ARGUMENT_H */
