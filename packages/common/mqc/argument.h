/* Arguments: parameters by position and by name, numbers, timeouts, options. */

#ifndef MQC_ARGUMENT_H
#define MQC_ARGUMENT_H

#include "mqc.h"
#include "state.h"

/* A method's parameters, as indices of words. The first `positional` may be given by position. */
typedef struct {
    const char *method;
    int required, positional, count;
    unsigned char words[5];
} mqc_parameters;

/* What a method was called with, as METH_FASTCALL | METH_KEYWORDS passes it. */
typedef struct {
    const mqc_parameters *parameters;
    PyObject *const *args;
    Py_ssize_t nargs;
    PyObject *kwnames;
} mqc_arguments;

/* A parameter that is an integer, and what it may be: in numbers and in words. */
typedef struct {
    const char *parameter;
    long low, high;
    const char *words;
} mqc_range;

/* Options that all constructors share. */
typedef struct {
    PyObject *serializer, *on_signal, *spin_us;
    int trusted;
} mqc_options;

/* The options that a Queue keeps as they are. */
typedef struct {
    int on_signal_raises;
    int trusted;
} mqc_policy;

/* Whether a call gave only what its method requires. Then there is nothing to parse. */
static inline int
mqc_is_plain(const mqc_parameters *parameters, Py_ssize_t nargs, PyObject *kwnames)
{
    return nargs == parameters->required && kwnames == NULL;
}

int mqc_parse(const mqc_state *state, const mqc_arguments *given, PyObject **values);
int mqc_read_long(PyObject *value, const mqc_range *range, long *result);
int mqc_read_optional(PyObject *value, const mqc_range *range, long *result);
int mqc_read_wait(PyObject *block, PyObject *timeout, int64_t *wait_ns);
int mqc_read_options(const mqc_options *options, mqc_gate *gate, mqc_policy *policy);
long mqc_environment_number(const char *name);

#endif /* MQC_ARGUMENT_H */
