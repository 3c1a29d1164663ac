/* Arguments: parameters by place and by name, numbers, timeouts, options. */

#include "mqc.h"

#include <math.h>

#include "argument.h"
#include "error.h"
#include "family.h"

#define MQC_SPIN_US 50 /* the default spin: what waking a sleeping process costs */
#define MQC_MOST_SPIN_US 1000000

int
mqc_parse_keyword(const mqc_state *state, const mqc_parameters *parameters, PyObject *key,
                  PyObject *value, PyObject **values)
{
    int i;

    for (i = 0; i < parameters->count; i++) {
        if (key == state->words[parameters->words[i]]) {
            break;
        }
    }
    if (i == parameters->count) { /* an equal string that is not the interned one */
        for (i = 0; i < parameters->count; i++) {
            if (PyUnicode_Compare(key, state->words[parameters->words[i]]) == 0) {
                break;
            }
        }
    }
    if (i == parameters->count) {
        PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'",
                     parameters->method, key);
        return -1;
    }
    if (values[i] != NULL) {
        PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%U'",
                     parameters->method, key);
        return -1;
    }
    values[i] = value;
    return 0;
}

/* Read an integer in [low, high]. A wrong type is TypeError, a wrong value INVALID_VALUE. */
int
mqc_read_long(PyObject *value, const char *parameter, long low, long high, const char *range,
              long *result)
{
    int overflow = 0;
    PyObject *index = PyNumber_Index(value);

    if (index == NULL) {
        if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Format(PyExc_TypeError, "%s must be an integer, not %R", parameter,
                         (PyObject *)Py_TYPE(value));
        }
        return -1;
    }
    *result = PyLong_AsLongAndOverflow(index, &overflow);
    if (overflow == 0 && *result == -1 && PyErr_Occurred()) {
        Py_DECREF(index);
        return -1;
    }
    if (overflow != 0 || *result < low || *result > high) {
        mqc_raise_value(parameter, index, range);
        Py_DECREF(index);
        return -1;
    }
    Py_DECREF(index);
    return 0;
}

/* How many messages a batch may have; 0 for all that are there. */
int
mqc_read_most(PyObject *max_items, long *most)
{
    *most = 0;
    if (max_items == NULL || max_items == Py_None) {
        return 0;
    }
    return mqc_read_long(max_items, "max_items", 1, LONG_MAX, "1 or more", most);
}

/* Seconds to nanoseconds, rounded up so that a wait never ends early. */
int
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

/* The number in an environment variable: -1 where it is unset or empty, LONG_MAX where it is no
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

/* The spin budget in nanoseconds: the keyword, else the environment, else the default. */
static int
mqc_read_spin(PyObject *spin_us, int64_t *spin_ns)
{
    const char *variable = mqc_family.spin_variable;
    long budget = mqc_environment_number(variable);

    if (spin_us != NULL && spin_us != Py_None) {
        budget = PyLong_AsLong(spin_us);
        if (budget == -1 && PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_OverflowError)) {
            if (PyErr_ExceptionMatches(PyExc_TypeError)) {
                PyErr_Format(PyExc_TypeError, "spin_us must be an integer or None, not %R",
                             (PyObject *)Py_TYPE(spin_us));
            }
            return -1;
        }
        if (budget < 0 || budget > MQC_MOST_SPIN_US) {
            PyErr_Format(PyExc_ValueError, "spin_us must be 0 to %d microseconds, not %R",
                         MQC_MOST_SPIN_US, spin_us);
            return -1;
        }
    }
    else if (budget > MQC_MOST_SPIN_US) {
        PyErr_Format(PyExc_ValueError, "%s must be 0 to %d microseconds, not '%s'", variable,
                     MQC_MOST_SPIN_US, getenv(variable));
        return -1;
    }
    *spin_ns = (int64_t)(budget < 0 ? MQC_SPIN_US : budget) * 1000;
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
mqc_read_options(const mqc_options *options, mqc_gate *gate, mqc_manners *manners)
{
    manners->trusted = options->trusted;
    if (mqc_read_on_signal(options->on_signal, &manners->on_signal_raises) < 0) {
        return -1;
    }
    return mqc_read_spin(options->spin_us, &gate->spin_ns);
}
