/* Arguments: parameters by position and by name, numbers, timeouts, options. */

#include "mqc.h"

#include <math.h>

#include "argument.h"
#include "error.h"
#include "names.h"

#define MQC_DEFAULT_SPIN_US 50 /* what it costs to wake a sleeping process */
#define MQC_MOST_SPIN_US 1000000

/* ***** parameters ***** */

/* Find which parameter a keyword names. Returns its index among them, or their count. */
static int
mqc_find_keyword(const mqc_state *state, const mqc_parameters *parameters, PyObject *key)
{
    int i;

    for (i = 0; i < parameters->count; i++) {
        if (key == state->words[parameters->words[i]]) {
            return i;
        }
    }
    for (i = 0; i < parameters->count; i++) { /* an equal string that is not the interned one */
        if (PyUnicode_Compare(key, state->words[parameters->words[i]]) == 0) {
            break;
        }
    }
    return i;
}

static int
mqc_parse_keyword(const mqc_state *state, const mqc_parameters *parameters, PyObject *key,
                  PyObject *value, PyObject **values)
{
    int i = mqc_find_keyword(state, parameters, key);
    int word;

    if (i == parameters->count) {
        PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'",
                     parameters->method, key);
        return -1;
    }
    word = parameters->words[i];
    if (values[word] != NULL) {
        PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%U'",
                     parameters->method, key);
        return -1;
    }
    values[word] = value;
    return 0;
}

/* Fill values[MQC_WORDS] with borrowed references, NULL for what was not given. */
int
mqc_parse(const mqc_state *state, const mqc_arguments *given, PyObject **values)
{
    const mqc_parameters *parameters = given->parameters;
    Py_ssize_t keywords = given->kwnames == NULL ? 0 : PyTuple_Size(given->kwnames);

    if (given->nargs > parameters->positional) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %d positional arguments (%zd given)",
                     parameters->method, parameters->positional, given->nargs);
        return -1;
    }
    for (int i = 0; i < MQC_WORDS; i++) {
        values[i] = NULL;
    }
    for (Py_ssize_t i = 0; i < given->nargs; i++) {
        values[parameters->words[i]] = given->args[i];
    }
    for (Py_ssize_t i = 0; i < keywords; i++) {
        if (mqc_parse_keyword(state, parameters, PyTuple_GetItem(given->kwnames, i),
                              given->args[given->nargs + i], values) < 0) {
            return -1;
        }
    }
    if (parameters->required && values[parameters->words[0]] == NULL) {
        PyErr_Format(PyExc_TypeError, "%s() missing required argument '%U'", parameters->method,
                     state->words[parameters->words[0]]);
        return -1;
    }
    return 0;
}

/* ***** numbers and timeouts ***** */

/* Read an integer in a range. A wrong type is TypeError, a wrong value INVALID_VALUE. */
int
mqc_read_long(PyObject *value, const mqc_range *range, long *result)
{
    int overflow = 0;
    PyObject *index = PyNumber_Index(value);

    if (index == NULL) {
        if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Format(PyExc_TypeError, "%s must be an integer, not %R", range->parameter,
                         (PyObject *)Py_TYPE(value));
        }
        return -1;
    }
    *result = PyLong_AsLongAndOverflow(index, &overflow);
    if (overflow == 0 && *result == -1 && PyErr_Occurred()) {
        Py_DECREF(index);
        return -1;
    }
    if (overflow != 0 || *result < range->low || *result > range->high) {
        mqc_raise_value(range->parameter, index, range->words);
        Py_DECREF(index);
        return -1;
    }
    Py_DECREF(index);
    return 0;
}

/* The same of a parameter that may be left out or None: then the result stays as it is. */
int
mqc_read_optional(PyObject *value, const mqc_range *range, long *result)
{
    return value == NULL || value == Py_None ? 0 : mqc_read_long(value, range, result);
}

/* Seconds to nanoseconds, rounded up so that a wait never ends early. */
static int
mqc_read_timeout(PyObject *value, int64_t *timeout)
{
    double seconds = PyFloat_AsDouble(value);

    if (seconds == -1.0 && PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Format(PyExc_TypeError, "timeout must be a number or None, not %R",
                         (PyObject *)Py_TYPE(value));
        }
        return -1;
    }
    if (isnan(seconds) || seconds < 0) {
        PyErr_SetString(PyExc_ValueError, "'timeout' must be a non-negative number");
        return -1;
    }
    if (seconds > 9223372036.0) { /* what int64_t holds, threading.TIMEOUT_MAX */
        PyErr_SetString(PyExc_OverflowError,
                        "timeout value is too large; use None to wait for ever");
        return -1;
    }
    *timeout = (int64_t)ceil(seconds * 1e9);
    return 0;
}

/* How long a call may wait: 0 to try once, MQC_FOREVER, or nanoseconds. */
int
mqc_read_wait(PyObject *block, PyObject *timeout, int64_t *wait_ns)
{
    int may_block = 1;

    if (block != NULL && block != Py_True) {
        may_block = PyObject_IsTrue(block);
        if (may_block < 0) {
            return -1;
        }
    }
    if (!may_block) { /* documented: then the timeout is ignored */
        *wait_ns = 0;
        return 0;
    }
    if (timeout == NULL || timeout == Py_None) {
        *wait_ns = MQC_FOREVER;
        return 0;
    }
    return mqc_read_timeout(timeout, wait_ns);
}

/* ***** options ***** */

/* The number in an environment variable: -1 where it is unset or empty, LONG_MAX where it is not a
 * number. (strtol would tie the wheel to the newest glibc.) */
long
mqc_environment_number(const char *name)
{
    const char *text = getenv(name);
    long number = 0;

    if (text == NULL || *text == '\0') {
        return -1;
    }
    for (; *text >= '0' && *text <= '9' && number < 100000000; text++) {
        number = number * 10 + (*text - '0');
    }
    return *text == '\0' ? number : LONG_MAX;
}

/* Read the keyword spin_us, in microseconds. */
static int
mqc_read_spin_us(PyObject *spin_us, long *budget)
{
    *budget = PyLong_AsLong(spin_us);
    if (*budget == -1 && PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_OverflowError)) {
        if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Format(PyExc_TypeError, "spin_us must be an integer or None, not %R",
                         (PyObject *)Py_TYPE(spin_us));
        }
        return -1;
    }
    if (*budget < 0 || *budget > MQC_MOST_SPIN_US) {
        PyErr_Format(PyExc_ValueError, "spin_us must be 0 to %d microseconds, not %R",
                     MQC_MOST_SPIN_US, spin_us);
        return -1;
    }
    return 0;
}

/* The spin budget in nanoseconds: the keyword, else the environment, else the default. */
static int
mqc_read_spin(PyObject *spin_us, int64_t *spin_ns)
{
    const char *variable = mqc_names.spin_variable;
    long budget = mqc_environment_number(variable);

    if (spin_us != NULL && spin_us != Py_None) {
        if (mqc_read_spin_us(spin_us, &budget) < 0) {
            return -1;
        }
    }
    else if (budget > MQC_MOST_SPIN_US) {
        PyErr_Format(PyExc_ValueError, "%s must be 0 to %d microseconds, not '%s'", variable,
                     MQC_MOST_SPIN_US, getenv(variable));
        return -1;
    }
    *spin_ns = (int64_t)(budget < 0 ? MQC_DEFAULT_SPIN_US : budget) * 1000;
    return 0;
}

static int
mqc_read_on_signal(PyObject *value, int *raises)
{
    if (value != NULL && !PyUnicode_Check(value)) {
        PyErr_Format(PyExc_TypeError, "on_signal must be a str, not %R",
                     (PyObject *)Py_TYPE(value));
        return -1;
    }
    if (value == NULL || PyUnicode_CompareWithASCIIString(value, "raise") == 0) {
        *raises = 1;
        return 0;
    }
    if (PyUnicode_CompareWithASCIIString(value, "retry") == 0) {
        *raises = 0;
        return 0;
    }
    PyErr_Format(PyExc_ValueError, "on_signal must be 'raise' or 'retry', not %R", value);
    return -1;
}

int
mqc_read_options(const mqc_options *options, mqc_gate *gate, mqc_policy *policy)
{
    policy->trusted = options->trusted;
    if (mqc_read_on_signal(options->on_signal, &policy->on_signal_raises) < 0) {
        return -1;
    }
    return mqc_read_spin(options->spin_us, &gate->spin_ns);
}
