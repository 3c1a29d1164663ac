/* Queue objects: new, init, the other constructors, dealloc, repr, comparison, close. */

#include "posixmq.h"

#include "mqc/argument.h"
#include "mqc/error.h"
#include "mqc/state.h"

PyObject *
Queue_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    allocfunc allocate = PyType_GetSlot(type, Py_tp_alloc);
    PyObject *module = mqc_module_of_type(type, &posixmq_module);
    Queue *self;

    if (module == NULL) {
        return NULL;
    }
    self = (Queue *)allocate(type, 0);
    if (self != NULL) {
        mqc_queue_bind(&self->base, module);
        self->fd = -1;
    }
    return (PyObject *)self;
}

int
Queue_init(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"name",    "maxsize",   "maxmsgsize", "serializer", "mode",
                            "create",  "exclusive", "readable",   "writable",   "on_signal",
                            "spin_us", "trusted",   NULL};
    Queue *self = (Queue *)op;
    PyObject *name, *maxsize = NULL, *maxmsgsize = NULL, *mode = NULL;
    open_request request = {.create = 1, .readable = 1, .writable = 1};
    mqc_options options = {NULL};

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OO$OOppppOOp:Queue", names, &name, &maxsize,
                                     &maxmsgsize, &options.serializer, &mode, &request.create,
                                     &request.exclusive, &request.readable, &request.writable,
                                     &options.on_signal, &options.spin_us, &options.trusted) ||
        read_request(maxsize, maxmsgsize, mode, &request) < 0 || mqc_queue_claim(&self->base) < 0) {
        return -1;
    }
    if (mqc_read_options(&options, &self->base.gate, &self->base.policy) < 0 ||
        set_up_by_name(self, name, &request, options.serializer) < 0) {
        mqc_queue_unclaim(&self->base);
        return -1;
    }
    return 0;
}

PyObject *
Queue_anonymous(PyObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"maxsize", "maxmsgsize", "serializer", "on_signal",
                            "spin_us", "trusted",    NULL};
    PyObject *maxsize = NULL, *maxmsgsize = NULL;
    open_request request = {.create = 1, .readable = 1, .writable = 1, .mode = 0600};
    mqc_options options = {NULL};
    Queue *self;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OO$OOOp:anonymous", names, &maxsize,
                                     &maxmsgsize, &options.serializer, &options.on_signal,
                                     &options.spin_us, &options.trusted) ||
        read_sizes(maxsize, maxmsgsize, &request) < 0) {
        return NULL;
    }
    self = (Queue *)Queue_new((PyTypeObject *)type, NULL, NULL);
    if (self == NULL) {
        return NULL;
    }
    if (mqc_queue_begin(&self->base, &options) < 0 ||
        set_up(self, NULL, NULL, &request, options.serializer) < 0) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

PyObject *
Queue_from_fd(PyObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"fd", "serializer", "on_signal", "spin_us", "trusted", NULL};
    mqc_options options = {NULL};
    static const mqc_range range = {"fd", 0, INT_MAX, "a descriptor, 0 or more"};
    PyObject *descriptor;
    long fd;
    Queue *self;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$OOOp:from_fd", names, &descriptor,
                                     &options.serializer, &options.on_signal, &options.spin_us,
                                     &options.trusted) ||
        mqc_read_long(descriptor, &range, &fd) < 0) {
        return NULL;
    }
    self = (Queue *)Queue_new((PyTypeObject *)type, NULL, NULL);
    if (self == NULL) {
        return NULL;
    }
    if (mqc_queue_begin(&self->base, &options) < 0 ||
        set_up_by_descriptor(self, (int)fd, options.serializer) < 0) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

/* Warn about a queue that was not closed, as a file does. */
static void
warn_unclosed(Queue *self)
{
    PyObject *type, *value, *traceback;
    int warned;

    PyErr_Fetch(&type, &value, &traceback);
    warned =
        self->name == NULL
            ? PyErr_WarnEx(PyExc_ResourceWarning, "unclosed message queue without a name", 1)
            : PyErr_WarnFormat(PyExc_ResourceWarning, 1, "unclosed message queue %R", self->name);
    if (warned < 0) {
        PyErr_WriteUnraisable(self->name);
    }
    PyErr_Restore(type, value, traceback);
}

void
Queue_dealloc(PyObject *op)
{
    Queue *self = (Queue *)op;

    PyObject_GC_UnTrack(op);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(op);
    }
    if (!atomic_load(&self->base.gate.closed)) {
        warn_unclosed(self);
    }
    if (self->fd >= 0) {
        close(self->fd);
    }
    Py_CLEAR(self->name);
    mqc_queue_free(op);
}

PyObject *
Queue_repr(PyObject *op)
{
    Queue *self = (Queue *)op;
    PyObject *type = mqc_type_name(op);
    PyObject *name =
        self->name == NULL ? PyUnicode_FromString("anonymous") : PyObject_Repr(self->name);
    PyObject *text;

    if (type == NULL || name == NULL) {
        Py_XDECREF(type);
        Py_XDECREF(name);
        return NULL;
    }
    if (!self->base.opened) {
        text = PyUnicode_FromFormat("<%U not open>", type);
    }
    else if (atomic_load(&self->base.gate.closed)) {
        text = PyUnicode_FromFormat("<%U %S closed>", type, name);
    }
    else {
        text = PyUnicode_FromFormat("<%U %S maxsize=%ld maxmsgsize=%ld>", type, name, self->maxsize,
                                    self->maxmsgsize);
    }
    Py_DECREF(name);
    Py_DECREF(type);
    return text;
}

PyObject *
Queue_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Queue *self = (Queue *)op;

    if (mqc_queue_close(&self->base)) {
        int fd = self->fd;
        self->fd = -1;
        close(fd);
    }
    Py_RETURN_NONE;
}

PyObject *
Queue_unlink(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Queue *self = (Queue *)op;

    if (self->name == NULL) {
        mqc_raise(MQC_OP_UNLINK, !self->base.opened ? EBADF : ENOENT, op, NULL);
        return NULL;
    }
    return unlink_name(self->name);
}

PyObject *
Queue_exit(PyObject *op, PyObject *Py_UNUSED(args))
{
    return mqc_queue_exit(op, "close");
}

/* Two objects are equal if they are handles of one queue of the kernel. */
PyObject *
Queue_richcompare(PyObject *op, PyObject *other, int operation)
{
    const Queue *self = (Queue *)op, *that = (Queue *)other;
    int equal = op == other;

    if ((operation != Py_EQ && operation != Py_NE) ||
        !PyObject_TypeCheck(other, ((module_state *)self->base.state)->Queue)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    if (self->inode != 0 && that->inode != 0) { /* 0 on FreeBSD, which does not tell it */
        equal = self->inode == that->inode && self->device == that->device;
    }
    return PyBool_FromLong(operation == Py_EQ ? equal : !equal);
}

Py_hash_t
Queue_hash(PyObject *op)
{
    const Queue *self = (Queue *)op;
    hashfunc by_identity = PyType_GetSlot(&PyBaseObject_Type, Py_tp_hash);

    return self->inode != 0 ? (Py_hash_t)(self->inode & LONG_MAX) : by_identity(op);
}

PyObject *
Queue_reduce(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return mqc_queue_reduce(op, "._pickling", "reduce");
}
