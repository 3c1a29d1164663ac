/* What both extensions need of Python: arguments, timeouts, serializers, errors, and the one
 * function that moves a message. Shared word for word by posixmq and sysvmq.
 *
 * The file that includes it defines MQC_PACKAGE ("posixmq"), MQC_SIGNAL_VARIABLE and
 * MQC_SPIN_VARIABLE first.
 */

#ifndef MQC_PYTHON_H
#define MQC_PYTHON_H

#include <math.h>

#include "mqc_wait.h"

#define MQC_LARGE 65536   /* copies beyond this many bytes are made without the GIL */
#define MQC_SCRATCH 16384 /* a message up to this many bytes is received on the stack */
#define MQC_SPIN_US 50    /* the default spin: what waking a sleeping process costs */
#define MQC_MOST_SPIN_US 1000000
#define MQC_STRETCH 256 /* messages of a batch between two looks at the clock and for close() */

/* ***** module state ***** */

/* The words that name a parameter anywhere in the package. */
enum {
    MQC_ITEM,
    MQC_BLOCK,
    MQC_TIMEOUT,
    MQC_PRIORITY,
    MQC_MSG_TYPE,
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
    /* Set when the first Queue is made: what calls need of queue and collections. */
    atomic_int has_queue;
    PyObject *Empty;
    PyObject *Full;
    PyObject *Message; /* the namedtuple that receive() returns */
    /* Set when the first Queue is made whose serializer rests on pickle. */
    atomic_int has_pickle;
    PyObject *dumps;
    PyObject *loads;
} mqc_state;

static PyObject *
mqc_import(const char *module_name, const char *attribute)
{
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *value;

    if (module == NULL) {
        return NULL;
    }
    value = PyObject_GetAttrString(module, attribute);
    Py_DECREF(module);
    return value;
}

static int
mqc_state_init(mqc_state *state)
{
    static const char *const words[MQC_WORDS] = {
        [MQC_ITEM] = "item",           [MQC_BLOCK] = "block",
        [MQC_TIMEOUT] = "timeout",     [MQC_PRIORITY] = "priority",
        [MQC_MSG_TYPE] = "msg_type",   [MQC_PROTOCOL] = "pickle_protocol",
        [MQC_NAME] = "name",           [MQC_ITEMS] = "items",
        [MQC_MAX_ITEMS] = "max_items", [MQC_BUFFER] = "buffer",
        [MQC_EXCLUDE] = "exclude",     [MQC_INDEX] = "index",
    };

    for (int i = 0; i < MQC_WORDS; i++) {
        state->words[i] = PyUnicode_InternFromString(words[i]);
        if (state->words[i] == NULL) {
            return -1;
        }
    }
    state->decode_error = mqc_import(MQC_PACKAGE "._errors", "decode_error");
    if (state->decode_error == NULL) {
        return -1;
    }
    state->PickleSerializer = mqc_import(MQC_PACKAGE ".serializers", "PickleSerializer");
    if (state->PickleSerializer == NULL) {
        return -1;
    }
    state->protocol = PyLong_FromLong(1);
    if (state->protocol == NULL) {
        return -1;
    }
    state->thread_key = PyUnicode_FromString(MQC_PACKAGE " thread");
    if (state->thread_key == NULL) {
        return -1;
    }
    mqc_watch_forks();
    return 0;
}

static int
mqc_state_traverse(mqc_state *state, visitproc visit, void *arg)
{
    Py_VISIT(state->decode_error);
    Py_VISIT(state->PickleSerializer);
    Py_VISIT(state->Empty);
    Py_VISIT(state->Full);
    Py_VISIT(state->Message);
    Py_VISIT(state->dumps);
    Py_VISIT(state->loads);
    return 0;
}

static void
mqc_state_clear(mqc_state *state)
{
    Py_CLEAR(state->decode_error);
    Py_CLEAR(state->PickleSerializer);
    Py_CLEAR(state->protocol);
    Py_CLEAR(state->thread_key);
    atomic_store(&state->has_queue, 0);
    Py_CLEAR(state->Empty);
    Py_CLEAR(state->Full);
    Py_CLEAR(state->Message);
    atomic_store(&state->has_pickle, 0);
    Py_CLEAR(state->dumps);
    Py_CLEAR(state->loads);
    for (int i = 0; i < MQC_WORDS; i++) {
        Py_CLEAR(state->words[i]);
    }
}

/* The module that a class comes from, or that a base of it comes from: a borrowed reference. */
static PyObject *
mqc_module_of_type(PyTypeObject *type, struct PyModuleDef *definition)
{
    for (; type != NULL; type = PyType_GetSlot(type, Py_tp_base)) {
        PyObject *module = NULL;
        if (PyType_GetFlags(type) & Py_TPFLAGS_HEAPTYPE) {
            module = PyType_GetModule(type);
        }
        if (module != NULL && PyModule_GetDef(module) == definition) {
            PyErr_Clear();
            return module;
        }
    }
    return NULL;
}

/* ***** errors ***** */

/* Take the exception that is set: a new reference to it, whole with its traceback. */
static PyObject *
mqc_take_exception(void)
{
    PyObject *type, *exception, *traceback;

    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(exception, traceback);
    }
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return exception;
}

/* Raise the exception that was taken, as it was: PyErr_SetObject would change its __context__. */
static void
mqc_raise_again(PyObject *exception)
{
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(exception)), exception,
                  PyException_GetTraceback(exception));
}

/* Give an exception an attribute, whatever its class makes of that: 0, or -1 with an exception. */
static int
mqc_set_attribute(PyObject *exception, const char *name, PyObject *value)
{
    PyObject *key = value == NULL ? NULL : PyUnicode_FromString(name);
    int result = key == NULL ? -1 : PyObject_GenericSetAttr(exception, key, value);

    Py_XDECREF(key);
    return result;
}

/* Raise an exception object, whose reference is taken over; NULL leaves what is raised. */
static void
mqc_raise_object(PyObject *exception)
{
    if (exception != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
        Py_DECREF(exception);
    }
}

/* Whether what was raised says that something cannot be explained: no memory, no descriptor for
 * a file, no stack, or an import that a signal handler has left half done. By the class itself:
 * what derives from it (TimeoutError) may be a signal handler's own, and is passed on. */
static int
mqc_cannot_explain(void)
{
    const PyObject *raised = PyErr_Occurred();

    return raised == PyExc_MemoryError || raised == PyExc_OSError || raised == PyExc_ImportError ||
           raised == PyExc_ModuleNotFoundError || raised == PyExc_AttributeError ||
           raised == PyExc_RuntimeError || raised == PyExc_RecursionError;
}

/* Where nothing can be explained the bare error must do. */
static PyObject *
mqc_plain_error(const char *operation, int error)
{
    PyObject *system_error, *exception;

    PyErr_Clear();
    system_error = mqc_import(MQC_PACKAGE "._errors", "system_error");
    if (system_error == NULL) {
        return NULL;
    }
    exception =
        PyObject_CallFunction(system_error, "iN", error,
                              PyUnicode_FromFormat("cannot %s: %s", operation, strerror(error)));
    Py_DECREF(system_error);
    return exception;
}

/* Raise the QueueError for a system error. What to say is policy and lives in _explain.py: it
 * is given the operation's name, the errno, the queue (or None) and a detail. */
static void
mqc_raise(const char *operation, int error, PyObject *queue, PyObject *detail)
{
    PyObject *explain = mqc_import(MQC_PACKAGE "._explain", "failure");
    PyObject *exception = NULL;

    if (explain != NULL) {
        exception = PyObject_CallFunction(explain, "siOO", operation, error,
                                          queue == NULL ? Py_None : queue,
                                          detail == NULL ? Py_None : detail);
        Py_DECREF(explain);
    }
    if (exception == NULL && mqc_cannot_explain()) {
        exception = mqc_plain_error(operation, error);
    }
    mqc_raise_object(exception);
}

/* Raise what a put of size bytes that returned error ended with. */
static void
mqc_raise_put(const mqc_state *state, PyObject *queue, int error, size_t size)
{
    PyObject *detail;

    if (error == EAGAIN) {
        PyErr_SetNone(state->Full);
        return;
    }
    if (error < 0) {
        return; /* an exception is set */
    }
    detail = PyLong_FromSize_t(size);
    if (detail != NULL) {
        mqc_raise("put", error, queue, detail);
        Py_DECREF(detail);
    }
}

/* Raise QueueError.INVALID_VALUE for an argument: parameter, its value, what it may be. */
static void
mqc_raise_value(const char *parameter, PyObject *value, const char *range)
{
    PyObject *detail = Py_BuildValue("sOs", parameter, value, range);

    if (detail != NULL) {
        mqc_raise("argument", EINVAL, NULL, detail);
        Py_DECREF(detail);
    }
}

/* ***** what the first Queue imports ***** */

/* Something to import, and where a reference to it goes. */
typedef struct {
    PyObject **place;
    const char *module_name, *attribute;
} mqc_import_request;

#define MQC_MOST_IMPORTS 3

/* Make a QueueError of the exception by which an import has ended, if that is about a file. */
static void
mqc_raise_import(void)
{
    PyObject *cause = mqc_take_exception();
    PyObject *explain = mqc_import(MQC_PACKAGE "._errors", "import_failure");
    PyObject *exception = NULL;

    if (explain != NULL) {
        exception = PyObject_CallFunctionObjArgs(explain, cause, NULL);
        Py_DECREF(explain);
    }
    if (exception == NULL && !mqc_cannot_explain()) { /* raised by a signal handler */
        Py_DECREF(cause);
    }
    else if (exception == NULL || exception == Py_None) {
        Py_XDECREF(exception);
        PyErr_Clear();
        mqc_raise_again(cause);
    }
    else {
        mqc_raise_object(exception);
        Py_DECREF(cause);
    }
}

/* Import all of them (at most MQC_MOST_IMPORTS) and then fill their places, unless *done says
 * that somebody has: imports release the GIL, so two threads may make the first Queue at once. */
static int
mqc_import_once(atomic_int *done, const mqc_import_request *requests, size_t count)
{
    PyObject *found[MQC_MOST_IMPORTS] = {NULL};
    int result = 0;

    if (atomic_load(done)) {
        return 0;
    }
    for (size_t i = 0; i < count && result == 0; i++) {
        found[i] = mqc_import(requests[i].module_name, requests[i].attribute);
        result = found[i] == NULL ? -1 : 0;
    }
    pthread_mutex_lock(&mqc_lock);
    if (result == 0 && !atomic_load(done)) {
        for (size_t i = 0; i < count; i++) {
            *requests[i].place = found[i];
            found[i] = NULL;
        }
        atomic_store(done, 1);
    }
    pthread_mutex_unlock(&mqc_lock);
    for (size_t i = 0; i < count; i++) {
        Py_XDECREF(found[i]);
    }
    if (result < 0) {
        mqc_raise_import();
    }
    return result;
}

/* Import what calls of any Queue need. These modules take longer to import than the package, so
 * it waits for the first Queue; but not for the first call, as put() and get() must work where
 * no file can be read any more. */
static int
mqc_state_need_queue(mqc_state *state)
{
    const mqc_import_request requests[] = {
        {&state->Empty, "queue", "Empty"},
        {&state->Full, "queue", "Full"},
        {&state->Message, MQC_PACKAGE "._message", "Message"},
    };

    return mqc_import_once(&state->has_queue, requests, sizeof(requests) / sizeof(requests[0]));
}

/* Import what a serializer that rests on pickle needs, and a RawSerializer does not. */
static int
mqc_state_need_pickle(mqc_state *state)
{
    const mqc_import_request requests[] = {
        {&state->dumps, "pickle", "dumps"},
        {&state->loads, "pickle", "loads"},
    };
    PyObject *load, *result;

    if (atomic_load(&state->has_pickle)) {
        return 0;
    }
    load = mqc_import(MQC_PACKAGE ".serializers", "load_pickle");
    result = load == NULL ? NULL : PyObject_CallNoArgs(load);
    Py_XDECREF(load);
    if (result == NULL) {
        mqc_raise_import();
        return -1;
    }
    Py_DECREF(result);
    return mqc_import_once(&state->has_pickle, requests, sizeof(requests) / sizeof(requests[0]));
}

/* ***** objects ***** */

/* The object's class as its repr shows it: "posixmq.Queue", or what a subclass is called. */
static PyObject *
mqc_type_name(PyObject *op)
{
    PyObject *module = PyObject_GetAttrString((PyObject *)Py_TYPE(op), "__module__");
    PyObject *name = PyType_GetQualName(Py_TYPE(op));
    PyObject *whole = NULL;

    if (module != NULL && name != NULL) {
        whole = PyUnicode_FromFormat("%S.%U", module, name);
    }
    Py_XDECREF(module);
    Py_XDECREF(name);
    return whole;
}

/* End a with block by the method of this name, which a subclass may have made its own. */
static PyObject *
mqc_end_block(PyObject *queue, const char *method)
{
    PyObject *result = PyObject_CallMethod(queue, method, NULL);

    if (result == NULL) {
        return NULL;
    }
    Py_DECREF(result); /* were it true, it would swallow the block's exception */
    Py_RETURN_NONE;
}

/* The queue was closed: if that is what the exception says, it ends an iteration without one. */
static void
mqc_end_iteration(void)
{
    PyObject *exception, *number;

    if (!PyErr_ExceptionMatches(PyExc_OSError)) {
        return;
    }
    exception = mqc_take_exception();
    number = PyObject_GetAttrString(exception, "errno");
    if (number != NULL && PyLong_Check(number) && PyLong_AsLong(number) == EBADF) {
        Py_DECREF(exception);
    }
    else {
        PyErr_Clear();
        mqc_raise_again(exception);
    }
    Py_XDECREF(number);
}

/* Let one constructor call in; the next may come only if that one fails. */
static int
mqc_gate_claim(mqc_gate *gate)
{
    if (atomic_exchange(&gate->claimed, 1)) {
        PyErr_SetString(PyExc_RuntimeError, "a Queue is opened once; make a new one");
        return -1;
    }
    return 0;
}

static void
mqc_gate_unclaim(mqc_gate *gate)
{
    atomic_store(&gate->claimed, 0);
}

/* ***** arguments ***** */

/* A method's parameters, as indices of words: the first `positional` may stand by place. */
typedef struct {
    const char *method;
    int required, positional, count;
    unsigned char words[5];
} mqc_parameters;

static int
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

/* Read an integer in [low, high]. A wrong type is TypeError, a wrong value INVALID_VALUE. */
static int
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
static int
mqc_read_most(PyObject *max_items, long *most)
{
    *most = 0;
    if (max_items == NULL || max_items == Py_None) {
        return 0;
    }
    return mqc_read_long(max_items, "max_items", 1, LONG_MAX, "1 or more", most);
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

/* The spin budget in nanoseconds: the keyword, else the environment, else the default. */
static int
mqc_read_spin(PyObject *spin_us, int64_t *spin_ns)
{
    long budget = mqc_environment_number(MQC_SPIN_VARIABLE);

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
        PyErr_Format(PyExc_ValueError, MQC_SPIN_VARIABLE " must be 0 to %d microseconds, not '%s'",
                     MQC_MOST_SPIN_US, getenv(MQC_SPIN_VARIABLE));
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

static int
mqc_read_options(const mqc_options *options, mqc_gate *gate, mqc_manners *manners)
{
    manners->trusted = options->trusted;
    if (mqc_read_on_signal(options->on_signal, &manners->on_signal_raises) < 0) {
        return -1;
    }
    return mqc_read_spin(options->spin_us, &gate->spin_ns);
}

/* ***** memory set aside ***** */

/* What has been received must be handed over even where memory has just run out (RLIMIT_AS, a
 * cgroup without overcommitment). So enough for its bytes, and for an exception that holds them,
 * is set aside before anything is received, and given back to malloc(3) when memory lacks. It is
 * never touched, so it costs address space alone. A Queue keeps it from one call to the next. */

typedef struct {
    size_t size;
} mqc_spare;

typedef _Atomic(mqc_spare *) mqc_kept_spare;

#define MQC_EXCEPTION ((size_t)2048) /* what a DecodeError needs, and some more */
#define MQC_MOST_KEPT (1 << 20)      /* bytes that a Queue keeps between calls */

static inline mqc_spare *
mqc_spare_swap(mqc_kept_spare *kept, mqc_spare *spare)
{
#ifdef Py_GIL_DISABLED
    return atomic_exchange(kept, spare);
#else
    mqc_spare *before = atomic_load_explicit(kept, memory_order_relaxed);
    atomic_store_explicit(kept, spare, memory_order_relaxed);
    return before;
#endif
}

/* Make sure of this many bytes: 0, or -1 without an exception, as the GIL may not be held. Then
 * what was set aside before still is. */
static inline int
mqc_spare_grow(mqc_spare **spare, size_t size)
{
    mqc_spare *larger;

    if (*spare != NULL && (*spare)->size >= size) {
        return 0;
    }
    larger = malloc(sizeof(mqc_spare) + size);
    if (larger == NULL) {
        return -1;
    }
    larger->size = size;
    free(*spare);
    *spare = larger;
    return 0;
}

/* Before a message of up to longest bytes is received; NULL with MemoryError. */
static inline mqc_spare *
mqc_spare_take(mqc_kept_spare *kept, size_t longest)
{
    mqc_spare *spare = mqc_spare_swap(kept, NULL);

    if (mqc_spare_grow(&spare, longest + 4 * MQC_EXCEPTION) < 0) {
        free(spare);
        PyErr_NoMemory();
        return NULL;
    }
    return spare;
}

/* Keep it for the next call. */
static inline void
mqc_spare_keep(mqc_kept_spare *kept, mqc_spare *spare)
{
    if (spare != NULL && spare->size > MQC_MOST_KEPT) {
        free(spare);
        spare = NULL;
    }
    spare = mqc_spare_swap(kept, spare);
    if (spare != NULL) { /* that of a call in another thread */
        free(spare);
    }
}

/* Say whether what has just failed is worth another try: memory lacked, and there is more now. */
static int
mqc_give_back(mqc_spare **spare)
{
    if (*spare == NULL || !PyErr_ExceptionMatches(PyExc_MemoryError)) {
        return 0;
    }
    free(*spare);
    *spare = NULL;
    PyErr_Clear();
    return 1;
}

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

/* (first, place), in which a NULL passes through. Py_BuildValue would take three times as long. */
static PyObject *
mqc_try_pair(PyObject *first, long place)
{
    PyObject *second = first == NULL ? NULL : PyLong_FromLong(place);
    PyObject *pair = second == NULL ? NULL : PyTuple_Pack(2, first, second);

    Py_XDECREF(second);
    return pair;
}

/* ***** serializers ***** */

enum { MQC_CUSTOM, MQC_PICKLE, MQC_RAW };

typedef struct {
    int kind;
    PyObject *object; /* what the constructor was given */
    PyObject *dumps;
    PyObject *loads;
} mqc_serializer;

/* Which of the serializers that need no call this is. The mark counts only in the class that
 * made it: a subclass may well dump otherwise. */
static int
mqc_serializer_kind(PyObject *object)
{
    PyObject *type = PyType_Check(object) ? object : (PyObject *)Py_TYPE(object);
    PyObject *attributes = PyObject_GetAttrString(type, "__dict__");
    PyObject *mark = NULL;
    int kind = MQC_CUSTOM;

    if (attributes != NULL) {
        mark = PyMapping_GetItemString(attributes, "__mq_serializer__");
        Py_DECREF(attributes);
    }
    if (mark == NULL &&
        (PyErr_ExceptionMatches(PyExc_AttributeError) || PyErr_ExceptionMatches(PyExc_KeyError))) {
        PyErr_Clear();
    }
    if (mark != NULL && PyUnicode_Check(mark)) {
        if (PyUnicode_CompareWithASCIIString(mark, "pickle") == 0) {
            kind = MQC_PICKLE;
        }
        else if (PyUnicode_CompareWithASCIIString(mark, "raw") == 0) {
            kind = MQC_RAW;
        }
    }
    Py_XDECREF(mark);
    return kind;
}

static PyObject *
mqc_serializer_method(PyObject *object, const char *name)
{
    PyObject *method = PyObject_GetAttrString(object, name);

    if (method != NULL && !PyCallable_Check(method)) {
        Py_CLEAR(method);
        PyErr_Format(PyExc_TypeError, "%s of serializer %R is not callable", name, object);
    }
    else if (method == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Format(PyExc_TypeError, "a serializer needs dumps(obj) and loads(data); %R has no %s",
                     object, name);
    }
    return method;
}

static void
mqc_serializer_clear(mqc_serializer *serializer)
{
    Py_CLEAR(serializer->object);
    Py_CLEAR(serializer->dumps);
    Py_CLEAR(serializer->loads);
}

static int
mqc_serializer_init(mqc_state *state, mqc_serializer *serializer, PyObject *object)
{
    if (object == NULL || object == Py_None) {
        object = state->PickleSerializer;
    }
    *serializer = (mqc_serializer){
        .kind = mqc_serializer_kind(object),
        .object = Py_NewRef(object),
    };
    if (PyErr_Occurred()) { /* from the look at a class of the program's own making */
        mqc_serializer_clear(serializer);
        return -1;
    }
    if (serializer->kind == MQC_PICKLE) {
        if (mqc_state_need_pickle(state) < 0) {
            mqc_serializer_clear(serializer);
            return -1;
        }
        serializer->dumps = Py_NewRef(state->dumps);
        serializer->loads = Py_NewRef(state->loads);
        return 0;
    }
    serializer->dumps = mqc_serializer_method(object, "dumps");
    if (serializer->dumps != NULL) {
        serializer->loads = mqc_serializer_method(object, "loads");
    }
    if (serializer->loads == NULL) {
        mqc_serializer_clear(serializer);
        return -1;
    }
    return 0;
}

/* Whether its loads may run code that a message holds: then a queue that others write to is
 * refused. -1 with an exception. */
static int
mqc_runs_code(const mqc_serializer *serializer)
{
    PyObject *judge, *verdict;
    int runs_code;

    if (serializer->kind != MQC_CUSTOM) {
        return serializer->kind == MQC_PICKLE;
    }
    judge = mqc_import(MQC_PACKAGE ".serializers", "runs_code");
    if (judge == NULL) {
        return -1;
    }
    verdict = PyObject_CallFunctionObjArgs(judge, serializer->object, NULL);
    Py_DECREF(judge);
    if (verdict == NULL) {
        return -1;
    }
    runs_code = PyObject_IsTrue(verdict);
    Py_DECREF(verdict);
    return runs_code;
}

/* The serializer's methods, and whether to be wary of who else may write to the queue: -1 with
 * an exception. */
static int
mqc_serializer_prepare(mqc_state *state, const mqc_manners *manners, mqc_serializer *serializer,
                       PyObject *object)
{
    int runs_code;

    if (mqc_state_need_queue(state) < 0 || mqc_serializer_init(state, serializer, object) < 0) {
        return -1;
    }
    runs_code = mqc_runs_code(serializer);
    if (runs_code > 0 && mqc_state_need_pickle(state) < 0) { /* it may rest on PickleSerializer */
        runs_code = -1;
    }
    if (runs_code < 0) {
        mqc_serializer_clear(serializer);
        return -1;
    }
    return runs_code && !manners->trusted;
}

/* Who may put a message into a queue: its owner, its creator, and whom the mode lets. */
typedef struct {
    uid_t owner, creator;
    mode_t mode;
} mqc_writers;

/* Instead of an errno: somebody else could have code run here by a message. */
#define MQC_UNTRUSTED (-2)

/* Whether anybody but this user can put messages there. Root could have code run anyway. */
static int
mqc_others_write(const mqc_writers *writers)
{
    uid_t user = geteuid();

    return (writers->owner != user && writers->owner != 0) ||
           (writers->creator != user && writers->creator != 0) || (writers->mode & 0022) != 0;
}

/* The bytes to send, and who keeps them alive. */
typedef struct {
    const char *data;
    Py_ssize_t size;
    PyObject *owner;
    int has_view;
    Py_buffer view;
} mqc_payload;

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

static PyObject *Queue_repr(PyObject *op); /* not a subclass's, which may fail or come back here */

static PyObject *
mqc_try_decode_error(const mqc_state *state, PyObject *queue, PyObject *cause, PyObject *data,
                     const char *place, long value)
{
    PyObject *args = Py_BuildValue("NOO", Queue_repr(queue), cause, data);
    PyObject *kwargs = args == NULL ? NULL : Py_BuildValue("{sl}", place, value);
    PyObject *exception = NULL;

    if (kwargs != NULL) {
        exception = PyObject_Call(state->decode_error, args, kwargs);
    }
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    return exception;
}

/* Let an exception that is no DecodeError carry the message that it cost, where it can. */
static void
mqc_attach_message(PyObject *exception, PyObject *data, const char *place, long value)
{
    PyObject *number = PyLong_FromLong(value);

    if (mqc_set_attribute(exception, "data", data) < 0) {
        PyErr_Clear();
    }
    if (mqc_set_attribute(exception, place, number) < 0) {
        PyErr_Clear();
    }
    Py_XDECREF(number);
}

/* The DecodeError for a message that the serializer refused by raising cause. Where it cannot be
 * made, by lack of memory or at the limit of recursion, the cause itself carries the data; and
 * where a signal handler raises meanwhile, what it raised, which must not be lost: *foreign. */
static PyObject *
mqc_decode_error(const mqc_state *state, PyObject *queue, PyObject *cause, PyObject *data,
                 const char *place, long value, mqc_spare **spare, int *foreign)
{
    PyObject *exception;

    *foreign = 0;
    do {
        exception = mqc_try_decode_error(state, queue, cause, data, place, value);
    } while (exception == NULL && mqc_give_back(spare));
    if (exception == NULL) {
        int lacking = PyErr_ExceptionMatches(PyExc_MemoryError) ||
                      PyErr_ExceptionMatches(PyExc_RecursionError);
        if (lacking) {
            PyErr_Clear();
            exception = Py_NewRef(cause);
        }
        else {
            exception = mqc_take_exception();
            PyException_SetContext(exception, Py_NewRef(cause));
            *foreign = 1;
        }
        mqc_attach_message(exception, data, place, value);
    }
    return exception;
}

/* Replace what the serializer raised by a DecodeError that holds the message. An exception that
 * is no error of the serializer's (KeyboardInterrupt, SystemExit) stays what it is, and holds it. */
static void
mqc_raise_decode(const mqc_state *state, PyObject *queue, PyObject *data, const char *place,
                 long value, mqc_spare **spare)
{
    int is_error = PyErr_ExceptionMatches(PyExc_Exception);
    PyObject *cause = mqc_take_exception();

    if (is_error) {
        int foreign;
        PyObject *exception =
            mqc_decode_error(state, queue, cause, data, place, value, spare, &foreign);
        if (foreign) {
            mqc_raise_again(exception);
        }
        else {
            mqc_raise_object(exception);
        }
        Py_DECREF(cause);
    }
    else {
        mqc_attach_message(cause, data, place, value);
        mqc_raise_again(cause);
    }
    free(*spare); /* the traceback needs memory, too */
    *spare = NULL;
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

/* tuple's own __new__ spares the call of the namedtuple's, which is written in Python. */
static PyObject *
mqc_try_message(const mqc_state *state, PyObject *item, long place)
{
    newfunc tuple_new = PyType_GetSlot(&PyTuple_Type, Py_tp_new);
    PyObject *pair = mqc_try_pair(item, place);
    PyObject *args = pair == NULL ? NULL : PyTuple_Pack(1, pair);
    PyObject *message = args == NULL ? NULL : tuple_new((PyTypeObject *)state->Message, args, NULL);

    Py_XDECREF(args);
    Py_XDECREF(pair);
    return message;
}

/* Message(item, place), taking over the item (NULL passes through). */
static PyObject *
mqc_message(const mqc_state *state, PyObject *item, long place, mqc_spare **spare)
{
    PyObject *message;

    if (item == NULL) {
        return NULL;
    }
    do {
        message = mqc_try_message(state, item, place);
    } while (message == NULL && mqc_give_back(spare));
    Py_DECREF(item);
    return message;
}

/* ***** moving a message ***** */

static void
mqc_thread_destroy(PyObject *capsule)
{
    mqc_thread *thread = PyCapsule_GetPointer(capsule, NULL);

#ifndef MQC_POLLS
    /* A child of fork inherits this record but not the timer. */
    if (thread->has_timer && thread->forks == mqc_forks) {
        syscall(SYS_timer_delete, thread->timer);
    }
#endif
    PyMem_Free(thread);
}

/* This thread's number, asked for once a thread and again in the child of a fork. */
static mqc_tid_t
mqc_tid(void)
{
    static _Thread_local mqc_tid_t tid;
    static _Thread_local unsigned forks;

    if (tid == 0 || forks != mqc_forks) {
        tid = mqc_thread_number();
        forks = mqc_forks;
    }
    return tid;
}

/* Python runs signal handlers in the process's first thread, or in the one that forked. */
static int
mqc_in_main_thread(void)
{
    return mqc_is_first_thread(mqc_tid());
}

static PyObject *
mqc_thread_create(void)
{
    PyObject *capsule;
    mqc_thread *thread = PyMem_Malloc(sizeof(*thread));

    if (thread == NULL) {
        return PyErr_NoMemory();
    }
    *thread = (mqc_thread){.tid = mqc_tid(), .forks = mqc_forks};
    thread->is_main = mqc_in_main_thread();
    capsule = PyCapsule_New(thread, NULL, mqc_thread_destroy);
    if (capsule == NULL) {
        PyMem_Free(thread);
    }
    return capsule;
}

/* A new reference to this thread's record, a capsule. It lives in the thread's state dictionary,
 * which Python drops when the thread ends: that deletes the timer without any libc hook on the
 * end of threads. A record of another thread is a copy in the child of a fork, or that of a
 * thread whose Python state a subinterpreter has run in before. */
static PyObject *
mqc_this_thread(const mqc_state *state)
{
    PyObject *dictionary = PyThreadState_GetDict();
    PyObject *record;

    if (dictionary == NULL) {
        return PyErr_NoMemory();
    }
    record = PyDict_GetItemWithError(dictionary, state->thread_key);
    if (record != NULL) {
        const mqc_thread *thread = PyCapsule_GetPointer(record, NULL);
        if (thread->forks == mqc_forks && thread->tid == mqc_tid()) {
            return Py_NewRef(record);
        }
    }
    else if (PyErr_Occurred()) {
        return NULL;
    }
    record = mqc_thread_create();
    if (record != NULL && PyDict_SetItem(dictionary, state->thread_key, record) < 0) {
        Py_CLEAR(record);
    }
    return record;
}

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

/* One message to move, and how. */
typedef struct {
    mqc_gate *gate;
    int direction; /* MQC_GET or MQC_PUT */
    mqc_attempt attempt;
    void *context;
    int64_t patience; /* nanoseconds, 0 or MQC_FOREVER */
    int on_signal_raises;
} mqc_transfer;

enum { MQC_TRY, MQC_SPIN, MQC_SLEEP, MQC_SLEEP_ON };

/* Where a wait stands: its step, the one that was last where it stopped, and when its spin and
 * the whole of it end. */
typedef struct {
    int step;
    int64_t spin_end, deadline;
} mqc_progress;

/* One step of the wait, inside the gate and without the GIL. The main thread returns to Python
 * between steps, as a handler whose signal arrived during a spin must not wait for the message;
 * the others go from spin to sleep in one. */
static int
mqc_step_once(const mqc_transfer *transfer, mqc_progress *progress, mqc_thread *thread)
{
    mqc_spin *spin = &transfer->gate->spin[transfer->direction];
    int64_t spin_end = progress->spin_end;
    int error = EAGAIN;

    if (progress->step == MQC_TRY) {
        return transfer->attempt(transfer->context, 0);
    }
    if (progress->step == MQC_SPIN && spin_end > 0) {
        int64_t look = mqc_now() + MQC_LOOK_NS;
        int64_t slice_end = thread->is_main && look < spin_end ? look : spin_end;
        error = mqc_spin_on(transfer->gate, spin, transfer->attempt, transfer->context, slice_end,
                            spin_end);
    }
    if (error == EAGAIN && (progress->step >= MQC_SLEEP || !thread->is_main)) {
#ifdef MQC_POLLS
        thread->sleeps_on = progress->step == MQC_SLEEP_ON;
#endif
        progress->step = MQC_SLEEP;
        error = mqc_sleep_until(transfer->gate, spin, transfer->attempt, transfer->context,
                                progress->deadline, thread);
    }
    return error;
}

/* A batch that made progress begins its wait anew, with a spin, and without the GIL in between:
 * but the main thread looks for signals every millisecond. */
static int
mqc_step(const mqc_transfer *transfer, mqc_progress *progress, mqc_thread *thread)
{
    mqc_spin *spin = &transfer->gate->spin[transfer->direction];
    int64_t look = 0;

    for (;;) {
        int error = mqc_step_once(transfer, progress, thread);
        int64_t now;
        if (error != EINPROGRESS) {
            return error;
        }
        now = mqc_now();
        if (atomic_load(&transfer->gate->closed)) {
            return EBADF;
        }
        if (now >= progress->deadline) {
            return EAGAIN;
        }
        if (look == 0) {
            look = now + MQC_MILLISECOND;
        }
        else if (thread->is_main && now >= look) {
            return EINPROGRESS;
        }
        progress->step = MQC_SPIN;
        progress->spin_end = mqc_spin_end(transfer->gate, spin, progress->deadline);
    }
}

static int
mqc_step_inside(const mqc_state *state, const mqc_transfer *transfer, mqc_progress *progress)
{
    PyObject *record = mqc_this_thread(state);
    mqc_thread *thread;
    mqc_waiter waiter;
    int error;

    if (record == NULL) {
        return -1;
    }
    thread = PyCapsule_GetPointer(record, NULL);
#ifndef MQC_POLLS
    if (atomic_load(&mqc_signal) == 0) { /* under a GIL getenv(3) is safe from os.environ */
        atomic_store(&mqc_wanted_signal, mqc_environment_number(MQC_SIGNAL_VARIABLE));
    }
#endif
    error = mqc_enter(transfer->gate, &waiter, thread->tid);
    if (error == 0) {
        Py_BEGIN_ALLOW_THREADS
        error = mqc_step(transfer, progress, thread);
        if (error == EINTR && atomic_load(&transfer->gate->closed)) {
            error = EBADF; /* that was close(), not a signal of the program's own */
        }
        mqc_leave(transfer->gate, &waiter);
        Py_END_ALLOW_THREADS
    }
    /* A daemon thread that outlives the interpreter ends above and keeps its record. */
    Py_DECREF(record);
    return error;
}

/* Run the handlers of signals that arrived. Returns 0 to go on, EINTR to stop, -1 when a
 * handler raised. Only the main thread runs handlers, so only there is a call interrupted. */
static int
mqc_handle_signals(const mqc_transfer *transfer)
{
    if (PyErr_CheckSignals() < 0) {
        return -1;
    }
    return transfer->on_signal_raises && transfer->patience != 0 && mqc_in_main_thread() ? EINTR
                                                                                         : 0;
}

/* Go on after a first try that returned error (EAGAIN, EINTR or EINPROGRESS), or after none (0). */
static int
mqc_move_slowly(const mqc_state *state, const mqc_transfer *transfer, int error)
{
    mqc_spin *spin = &transfer->gate->spin[transfer->direction];
    mqc_progress progress = {
        .step = MQC_TRY,
        .deadline =
            transfer->patience == MQC_FOREVER ? MQC_FOREVER : mqc_deadline(transfer->patience),
    };

    if (transfer->patience != 0) {
        progress.spin_end = mqc_spin_end(transfer->gate, spin, progress.deadline);
    }
    for (;;) {
        if (error == EINTR) {
            int stop = mqc_handle_signals(transfer);
            if (stop != 0) {
                return stop;
            }
        }
        else if (error != 0 && PyErr_CheckSignals() < 0) {
            return -1;
        }
        if (error == EINPROGRESS) {
            progress.spin_end = mqc_spin_end(transfer->gate, spin, progress.deadline);
        }
        if (error == MQC_LOOK) {
            progress.step = MQC_SLEEP_ON;
        }
        else if (error != 0 && transfer->patience != 0) {
            progress.step = mqc_now() < progress.spin_end ? MQC_SPIN : MQC_SLEEP;
        }
        error = mqc_step_inside(state, transfer, &progress);
        if (error == EAGAIN && (transfer->patience == 0 || progress.step == MQC_SLEEP)) {
            return error;
        }
        if (error != EAGAIN && error != EINTR && error != EINPROGRESS && error != MQC_LOOK) {
            return error;
        }
    }
}

/* What a call does: an attempt with its context, and whether that alone is worth releasing the
 * GIL, so that not even the first try is made under it. */
typedef struct {
    mqc_attempt attempt;
    void *context;
    int large;
} mqc_work;

/* Move the message. Returns 0, EAGAIN when it was not to be had in time, another errno, or -1
 * with an exception set. The common case is one system call under the GIL: what a wait needs is
 * put together only after that. */
static inline Py_ALWAYS_INLINE int
mqc_move(mqc_queue *queue, int direction, mqc_work work, int64_t patience, int on_signal_raises)
{
    int error = 0;

    if (!work.large) {
        error = mqc_hold(&queue->gate);
        if (error != 0) {
            return error;
        }
        error = work.attempt(work.context, 0);
        mqc_unhold(&queue->gate);
        if ((error != EAGAIN && error != EINTR && error != EINPROGRESS) ||
            (error == EAGAIN && patience == 0)) {
            return error;
        }
    }
    return mqc_move_slowly(queue->state,
                           &(mqc_transfer){
                               .gate = &queue->gate,
                               .direction = direction,
                               .attempt = work.attempt,
                               .context = work.context,
                               .patience = patience,
                               .on_signal_raises = on_signal_raises,
                           },
                           error);
}

/* Put what the work sends, and return what mqc_move returns. */
static inline Py_ALWAYS_INLINE int
mqc_put(mqc_queue *queue, mqc_work work, int64_t patience)
{
    return mqc_move(queue, MQC_PUT, work, patience, queue->manners.on_signal_raises);
}

/* Wait for one message or more: 0, or -1 with an exception where there is none; *refusal is then
 * the error by which the queue itself refused, if it did. */
static inline Py_ALWAYS_INLINE int
mqc_get(mqc_queue *queue, mqc_work work, int64_t patience, const char *operation, int *refusal)
{
    int error = mqc_move(queue, MQC_GET, work, patience, queue->manners.on_signal_raises);

    if (error == 0) {
        return 0;
    }
    if (error == EAGAIN) {
        PyErr_SetNone(queue->state->Empty);
    }
    else if (error > 0) {
        *refusal = error;
        mqc_raise(operation, error, (PyObject *)queue, NULL);
    }
    return -1;
}

/* (size, place) of a message, a new object. */
static PyObject *
mqc_new_size_and_place(size_t size, long place, mqc_spare **spare)
{
    PyObject *result;

    do {
        PyObject *number = PyLong_FromSize_t(size);
        result = mqc_try_pair(number, place);
        Py_XDECREF(number);
    } while (result == NULL && mqc_give_back(spare));
    return result;
}

/* (size, place) of a message that was received into a buffer. Messages for a buffer tend to be of
 * one size: then this returns the tuple that it returned before, and get_into() makes no object. */
static PyObject *
mqc_size_and_place(mqc_queue *queue, size_t size, long place, mqc_spare **spare)
{
#ifdef Py_GIL_DISABLED /* two threads would need a lock, which takes as long as a new tuple */
    (void)queue;
    return mqc_new_size_and_place(size, place, spare);
#else
    PyObject *answer = queue->answer;

    if (answer != NULL && queue->answer_size == size && queue->answer_place == place) {
        return Py_NewRef(answer);
    }
    answer = mqc_new_size_and_place(size, place, spare);
    if (answer != NULL) {
        /* Read it again: a new object may start the garbage collector, and that any other code. */
        PyObject *before = queue->answer;
        queue->answer = Py_NewRef(answer);
        queue->answer_size = size;
        queue->answer_place = place;
        Py_XDECREF(before);
    }
    return answer;
#endif
}

/* Close the gate for good. Returns 0 if it was closed before. */
static int
mqc_close_gate(mqc_gate *gate)
{
    if (!mqc_shut(gate)) {
        return 0;
    }
    Py_BEGIN_ALLOW_THREADS
    mqc_drain(gate);
    Py_END_ALLOW_THREADS
    return 1;
}

/* ***** batches ***** */

#define MQC_SMALL_BATCH 16 /* the most messages of a batch that is tried under the GIL first */

/* Whether a batch takes so long that the GIL is released at once. For a small one that, and to
 * enter the gate, takes as long as two of its messages. */
static int
mqc_is_large_batch(size_t count, size_t longest)
{
    return count > MQC_SMALL_BATCH || longest > MQC_SCRATCH;
}

/* Messages on their way out. send() tries to send one of them. */
typedef struct {
    int (*send)(void *context, const mqc_payload *payload, int may_sleep);
    void *context;
    mqc_payload *payloads;
    size_t count, encoded;
    size_t next;    /* how many have gone */
    size_t stretch; /* how many may go without a look about, 0 for all */
} mqc_outbox;

/* Send as many as there is room for, sleeping for the first at most: 0 once all have gone,
 * EINPROGRESS where some have and the next would block, or a stretch has: readers that keep up
 * must not keep it from seeing that time is up, a signal waits or the queue was closed. */
static int
mqc_send_batch(void *context, int may_sleep)
{
    mqc_outbox *outbox = context;
    size_t before = outbox->next;

    while (outbox->next < outbox->count) {
        int error;
        if (outbox->stretch > 0 && outbox->next - before == outbox->stretch) {
            return EINPROGRESS;
        }
        error = outbox->send(outbox->context, &outbox->payloads[outbox->next],
                             may_sleep && outbox->next == before);
        if (error != 0) {
            return error == EAGAIN && outbox->next > before ? EINPROGRESS : error;
        }
        outbox->next++;
    }
    return 0;
}

static void
mqc_outbox_clear(mqc_outbox *outbox)
{
    for (size_t i = 0; i < outbox->encoded; i++) {
        mqc_payload_release(&outbox->payloads[i]);
    }
    PyMem_Free(outbox->payloads);
}

/* Tell by its attribute count how many messages had gone when the exception was raised. */
static void
mqc_note_count(size_t count)
{
    PyObject *exception = mqc_take_exception();
    PyObject *number = PyLong_FromSize_t(count);

    if (mqc_set_attribute(exception, "count", number) < 0) {
        PyErr_Clear(); /* it is more important what happened */
    }
    Py_XDECREF(number);
    mqc_raise_again(exception);
}

static int
mqc_outbox_encode(const mqc_state *state, const mqc_serializer *serializer, PyObject *items,
                  PyObject *protocol, mqc_outbox *outbox)
{
    PyObject *list = PySequence_List(items);

    if (list == NULL) {
        return -1;
    }
    outbox->count = (size_t)PyList_Size(list);
    outbox->payloads = PyMem_Calloc(outbox->count + 1, sizeof(mqc_payload));
    if (outbox->payloads == NULL) {
        Py_DECREF(list);
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < outbox->count; i++) {
        PyObject *item = PyList_GetItem(list, (Py_ssize_t)i);
        if (item == NULL ||
            mqc_encode(state, serializer, item, protocol, &outbox->payloads[i]) < 0) {
            Py_DECREF(list);
            return -1;
        }
        outbox->encoded++;
    }
    Py_DECREF(list);
    return 0;
}

/* Serialize all items before the first is sent: one that cannot be changes nothing. */
static int
mqc_outbox_fill(const mqc_state *state, const mqc_serializer *serializer, PyObject *items,
                PyObject *protocol, mqc_outbox *outbox)
{
    if (mqc_outbox_encode(state, serializer, items, protocol, outbox) < 0) {
        mqc_note_count(0);
        return -1;
    }
    return 0;
}

static size_t
mqc_outbox_longest(const mqc_outbox *outbox)
{
    size_t longest = 0;

    for (size_t i = 0; i < outbox->encoded; i++) {
        size_t size = (size_t)outbox->payloads[i].size;
        longest = size > longest ? size : longest;
    }
    return longest;
}

/* What put_many() returns after mqc_move() returned error: how many went, unless none did. */
static PyObject *
mqc_outbox_result(const mqc_state *state, PyObject *queue, const mqc_outbox *outbox, int error)
{
    if (error == 0 || (error == EAGAIN && outbox->next > 0)) {
        return PyLong_FromSize_t(outbox->next);
    }
    mqc_raise_put(state, queue, error, mqc_outbox_longest(outbox));
    mqc_note_count(outbox->next);
    return NULL;
}

/* A message as it lies in an inbox. From place on it is laid out as msgrcv(2) wants it. */
typedef struct {
    size_t size;
    long place; /* priority or message type */
    char text[];
} mqc_slot;

/* Messages that came in, one after the other in one piece of memory. receive() tries to receive
 * one, and returns E2BIG where the queue keeps a message that needs more room. */
typedef struct {
    int (*receive)(void *context, mqc_slot *slot, size_t capacity, int may_sleep);
    void *context;
    size_t capacity; /* the longest message to make room for */
    size_t most;     /* how many are wanted */
    size_t count, used, allocated;
    char *memory;
    mqc_spare *spare;
} mqc_inbox;

/* Set aside what all messages need as objects, one more included, or as exceptions. */
static int
mqc_inbox_set_aside(mqc_inbox *inbox, size_t used)
{
    size_t wanted = 2 * used + (inbox->count + 4) * MQC_EXCEPTION;

    if (inbox->spare != NULL && inbox->spare->size >= wanted) {
        return 0;
    }
    return mqc_spare_grow(&inbox->spare, wanted + wanted / 2);
}

/* Make room for one more message. It uses malloc(3): the GIL is not held. */
static mqc_slot *
mqc_inbox_reserve(mqc_inbox *inbox)
{
    size_t wanted = inbox->used + sizeof(mqc_slot) + inbox->capacity;

    if (mqc_inbox_set_aside(inbox, wanted) < 0) {
        return NULL;
    }
    if (wanted > inbox->allocated) {
        size_t allocated = 2 * wanted; /* which is enough for several that are not the longest */
        char *memory = realloc(inbox->memory, allocated);
        if (memory == NULL) {
            return NULL;
        }
        inbox->memory = memory;
        inbox->allocated = allocated;
    }
    return (mqc_slot *)(inbox->memory + inbox->used);
}

static size_t
mqc_slot_length(const mqc_slot *slot)
{
    size_t length = sizeof(mqc_slot) + slot->size;
    size_t alignment = _Alignof(mqc_slot);

    return (length + alignment - 1) / alignment * alignment;
}

/* Receive what is there, sleeping for the first at most. What ends a batch that holds a message
 * is seen by the next call. */
static int
mqc_receive_batch(void *context, int may_sleep)
{
    mqc_inbox *inbox = context;

    while (inbox->count < inbox->most) {
        mqc_slot *slot = mqc_inbox_reserve(inbox);
        int error = slot == NULL ? ENOMEM
                                 : inbox->receive(inbox->context, slot, inbox->capacity,
                                                  may_sleep && inbox->count == 0);
        if (error == E2BIG && inbox->capacity < INT_MAX / 2) {
            inbox->capacity *= 2;
        }
        else if (error != 0) {
            return inbox->count > 0 ? 0 : error;
        }
        else {
            inbox->used += mqc_slot_length(slot);
            inbox->count++;
        }
    }
    return 0;
}

/* What a batch becomes: the items, and what went wrong. */
typedef struct {
    PyObject *items;
    PyObject *failures; /* a DecodeError to each message that did not decode */
    PyObject *raised;   /* what to raise in the end: the first that went wrong */
    int raises_first;   /* raised is a DecodeError, the first of the failures */
    mqc_spare **spare;
} mqc_decoded;

/* Append to a list, which is made if there is none; -1 with an exception. */
static int
mqc_decoded_append(mqc_decoded *decoded, PyObject **list, PyObject *object)
{
    int result = -1;

    do {
        if (*list == NULL) {
            *list = PyList_New(0);
        }
        if (*list != NULL) {
            result = PyList_Append(*list, object);
        }
    } while (result < 0 && mqc_give_back(decoded->spare));
    return result;
}

/* Keep the exception that is set, with the message that it cost. */
static int
mqc_decoded_fail(const mqc_state *state, mqc_decoded *decoded, PyObject *queue, PyObject *bytes,
                 const char *place, long value)
{
    PyObject *cause = mqc_take_exception();
    int foreign;
    PyObject *failure =
        mqc_decode_error(state, queue, cause, bytes, place, value, decoded->spare, &foreign);
    int result = mqc_decoded_append(decoded, &decoded->failures, failure);

    /* KeyboardInterrupt gets through, and so does what a signal handler raised. By its type, as an
     * object may fail to say what its __class__ is. */
    if (!PyErr_GivenExceptionMatches(cause, PyExc_Exception)) {
        Py_XDECREF(decoded->raised);
        decoded->raised = Py_NewRef(cause);
        decoded->raises_first = 0;
    }
    else if (foreign || decoded->raised == NULL) {
        Py_XDECREF(decoded->raised);
        decoded->raised = Py_NewRef(failure);
        decoded->raises_first = !foreign && failure != cause;
    }
    Py_DECREF(failure);
    Py_DECREF(cause);
    return result;
}

static int
mqc_decode_slot(const mqc_state *state, const mqc_serializer *serializer, PyObject *queue,
                const mqc_slot *slot, const char *place, mqc_decoded *decoded)
{
    PyObject *bytes = mqc_bytes(slot->text, slot->size, decoded->spare);
    PyObject *item;
    int result;

    if (bytes == NULL) {
        return -1;
    }
    if (serializer->kind == MQC_RAW) {
        item = Py_NewRef(bytes);
    }
    else {
        item = PyObject_CallFunctionObjArgs(serializer->loads, bytes, NULL);
    }
    if (item != NULL) {
        result = mqc_decoded_append(decoded, &decoded->items, item);
        Py_DECREF(item);
    }
    else {
        result = mqc_decoded_fail(state, decoded, queue, bytes, place, slot->place);
    }
    Py_DECREF(bytes);
    return result;
}

/* Raise the first exception, with the items and failures of the whole batch. A DecodeError must
 * not hold itself: None stands in its place, and its property failures puts it back. */
static void
mqc_decoded_raise(const mqc_decoded *decoded)
{
    const char *failures = decoded->raises_first ? "_failures" : "failures";
    int result;

    if (decoded->raises_first) {
        PyList_SetItem(decoded->failures, 0, Py_NewRef(Py_None)); /* allocates nothing */
    }
    do {
        result = mqc_set_attribute(decoded->raised, "items", decoded->items);
        if (result == 0) {
            result = mqc_set_attribute(decoded->raised, failures, decoded->failures);
        }
    } while (result < 0 && mqc_give_back(decoded->spare));
    if (result == 0) {
        mqc_raise_again(Py_NewRef(decoded->raised));
    }
    free(*decoded->spare); /* the traceback needs memory, too */
    *decoded->spare = NULL;
}

/* The list of all items of a batch. Where messages did not decode, the first one's DecodeError
 * is raised, with all the others' items and failures as its attributes: nothing is lost. */
static PyObject *
mqc_inbox_decode(const mqc_state *state, const mqc_serializer *serializer, PyObject *queue,
                 mqc_inbox *inbox, const char *place)
{
    mqc_decoded decoded = {.spare = &inbox->spare};
    const char *position = inbox->memory;
    int result = 0;

    do {
        decoded.items = PyList_New(0);
    } while (decoded.items == NULL && mqc_give_back(decoded.spare));
    if (decoded.items == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < inbox->count && result == 0; i++) {
        const mqc_slot *slot = (const mqc_slot *)position;
        result = mqc_decode_slot(state, serializer, queue, slot, place, &decoded);
        position += mqc_slot_length(slot);
    }
    if (result == 0 && decoded.raised != NULL) {
        mqc_decoded_raise(&decoded);
        result = -1;
    }
    Py_XDECREF(decoded.failures);
    Py_XDECREF(decoded.raised);
    if (result < 0) {
        Py_CLEAR(decoded.items);
    }
    return decoded.items;
}

/* ***** what every Queue has ***** */

/* Bind an object, just made, to its module, whose state begins with an mqc_state. */
static void
mqc_queue_bind(mqc_queue *queue, PyObject *module)
{
    queue->module = Py_NewRef(module);
    queue->state = PyModule_GetState(module);
    mqc_gate_register(&queue->gate);
}

/* Free the object and what it needs to the last: its type, and the module with the state. */
static void
mqc_queue_free(PyObject *op)
{
    mqc_queue *queue = (mqc_queue *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject *module = queue->module;
    freefunc release = PyType_GetSlot(type, Py_tp_free);

    mqc_gate_unregister(&queue->gate);
    free(mqc_spare_swap(&queue->spare, NULL));
    Py_XDECREF(queue->answer);
    mqc_serializer_clear(&queue->serializer);
    release(op);
    Py_DECREF(type);
    Py_XDECREF(module);
}

static int
mqc_queue_traverse(PyObject *op, visitproc visit, void *arg)
{
    mqc_queue *queue = (mqc_queue *)op;

    Py_VISIT(Py_TYPE(op));
    Py_VISIT(queue->module);
    Py_VISIT(queue->serializer.object);
    Py_VISIT(queue->serializer.dumps);
    Py_VISIT(queue->serializer.loads);
    return 0;
}

static int
mqc_queue_clear(PyObject *op)
{
    mqc_serializer_clear(&((mqc_queue *)op)->serializer);
    return 0;
}

/* Of an object of this type, just made: let it be opened, and read what every way to do so takes. */
static int
mqc_queue_begin(mqc_queue *queue, const mqc_options *options)
{
    if (mqc_gate_claim(&queue->gate) < 0) {
        return -1;
    }
    return mqc_read_options(options, &queue->gate, &queue->manners);
}

/* Call a function of the package's Python with the queue, for __reduce__. */
static PyObject *
mqc_queue_reduce(PyObject *op, const char *module_name, const char *function)
{
    PyObject *reduce, *result;

    if (atomic_load(&((mqc_queue *)op)->gate.closed)) {
        mqc_raise("pickle", EBADF, op, NULL);
        return NULL;
    }
    reduce = mqc_import(module_name, function);
    if (reduce == NULL) {
        return NULL;
    }
    result = PyObject_CallFunctionObjArgs(reduce, op, NULL);
    Py_DECREF(reduce);
    return result;
}

static PyObject *
mqc_get_serializer(PyObject *op, void *Py_UNUSED(closure))
{
    PyObject *object = ((mqc_queue *)op)->serializer.object;

    return Py_NewRef(object == NULL ? Py_None : object);
}

static PyObject *
mqc_get_closed(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(atomic_load(&((mqc_queue *)op)->gate.closed));
}

static PyObject *
mqc_get_on_signal(PyObject *op, void *Py_UNUSED(closure))
{
    return PyUnicode_FromString(((mqc_queue *)op)->manners.on_signal_raises ? "raise" : "retry");
}

static PyObject *
mqc_get_spin_us(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromLong((long)(((mqc_queue *)op)->gate.spin_ns / 1000));
}

static PyObject *
mqc_get_trusted(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((mqc_queue *)op)->manners.trusted);
}

/* ***** definition ***** */

/* The slots of a module that keeps all it has in its state. An older runtime refuses numbers
 * that it does not know, and one binary serves them all: so the numbers stand here, newest
 * first, and mqc_module_slots skips those that the running Python is too old for. */
#define MQC_MODULE_SLOTS(name, exec)                                                               \
    static PyModuleDef_Slot name[] = {                                                             \
        {4 /* Py_mod_gil, 3.13 */, (void *)1 /* Py_MOD_GIL_NOT_USED */},                           \
        {3 /* Py_mod_multiple_interpreters, 3.12 */, (void *)2 /* PER_INTERPRETER_GIL */},         \
        {Py_mod_exec, exec},                                                                       \
        {0, NULL},                                                                                 \
    }

static PyModuleDef_Slot *
mqc_module_slots(PyModuleDef_Slot *slots)
{
    if (Py_Version >= 0x030D0000) {
        return slots;
    }
    return Py_Version >= 0x030C0000 ? slots + 1 : slots + 2;
}

#endif /* MQC_PYTHON_H */
