/* Queue objects: new, init, from_id, dealloc, repr, comparison, close and detach. */

#include "sysvmq.h"

#include "mqc/argument.h"
#include "mqc/error.h"
#include "mqc/state.h"

PyObject *
Queue_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    allocfunc allocate = PyType_GetSlot(type, Py_tp_alloc);
    PyObject *module = mqc_module_of_type(type, &sysvmq_module);
    Queue *self;

    if (module == NULL) {
        return NULL;
    }
    self = (Queue *)allocate(type, 0);
    if (self != NULL) {
        mqc_queue_bind(&self->base, module);
        self->id = -1;
        self->base.policy.on_signal_raises = 1;
        self->base.longest = MQC_SCRATCH;
        self->base.check_above = MQC_SCRATCH;
        self->base.most_at_once = SIZE_MAX;
    }
    return (PyObject *)self;
}

int
Queue_init(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"key",       "max_bytes", "serializer", "mode",    "create",
                            "exclusive", "on_signal", "spin_us",    "trusted", NULL};
    Queue *self = (Queue *)op;
    PyObject *key = NULL, *max_bytes = NULL, *mode = NULL;
    open_request request = {.create = 1};
    mqc_options options = {NULL};

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OO$OOppOOp:Queue", names, &key, &max_bytes,
                                     &options.serializer, &mode, &request.create,
                                     &request.exclusive, &options.on_signal, &options.spin_us,
                                     &options.trusted) ||
        read_request(key, max_bytes, mode, &request) < 0 || mqc_queue_claim(&self->base) < 0) {
        return -1;
    }
    if (mqc_read_options(&options, &self->base.gate, &self->base.policy) < 0 ||
        set_up(self, &request, options.serializer) < 0) {
        mqc_queue_unclaim(&self->base);
        return -1;
    }
    return 0;
}

PyObject *
Queue_from_id(PyObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"msqid", "serializer", "on_signal", "spin_us", "trusted", NULL};
    mqc_options options = {NULL};
    PyObject *msqid, *queue;
    Queue *self;
    long id;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$OOOp:from_id", names, &msqid,
                                     &options.serializer, &options.on_signal, &options.spin_us,
                                     &options.trusted) ||
        read_id(msqid, &id) < 0) {
        return NULL;
    }
    queue = Queue_new((PyTypeObject *)type, NULL, NULL);
    if (queue == NULL) {
        return NULL;
    }
    self = (Queue *)queue;
    if (mqc_queue_begin(&self->base, &options) < 0 ||
        set_up_by_id(self, id, options.serializer) < 0) {
        Py_DECREF(queue);
        return NULL;
    }
    return queue;
}

/* Warn if this process made the queue and drops it: nobody can find a private queue. In the child
 * of a fork there is no warning, as the parent has the object, too. */
static void
warn_left_behind(Queue *self)
{
    PyObject *type, *value, *traceback;
    struct msqid_ds status;

    if (self->maker != getpid() || atomic_load(&self->base.gate.closed) ||
        system_stat(self->id, &status) == EIDRM) {
        return;
    }
    PyErr_Fetch(&type, &value, &traceback);
    if (PyErr_WarnFormat(PyExc_ResourceWarning, 1,
                         "unclosed private message queue: id %d stays in the kernel with all its "
                         "messages; close() removes it, detach() leaves it without a warning",
                         self->id) < 0) {
        PyErr_WriteUnraisable(
            (PyObject *)Py_TYPE((PyObject *)self)); /* not self, which is being freed */
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
    warn_left_behind(self);
    mqc_queue_free(op);
}

PyObject *
Queue_repr(PyObject *op)
{
    Queue *self = (Queue *)op;
    const char *state = atomic_load(&self->base.gate.closed) ? " closed" : "";
    PyObject *type = mqc_type_name(op);
    PyObject *text;

    if (type == NULL) {
        return NULL;
    }
    if (!self->base.opened) {
        text = PyUnicode_FromFormat("<%U not open>", type);
    }
    else if (self->key == 0) {
        text = PyUnicode_FromFormat("<%U private id=%d%s>", type, self->id, state);
    }
    else {
        text = PyUnicode_FromFormat("<%U key=%lu id=%d%s>", type, self->key, self->id, state);
    }
    Py_DECREF(type);
    return text;
}

/* Two objects are equal if they stand for one queue of the kernel, closed or not. An object that
 * was never opened equals only itself. */
PyObject *
Queue_richcompare(PyObject *op, PyObject *other, int comparison)
{
    Queue *self = (Queue *)op;
    int equal;

    if ((comparison != Py_EQ && comparison != Py_NE) ||
        !PyObject_TypeCheck(other, ((module_state *)self->base.state)->Queue)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    equal = op == other || (self->id >= 0 && self->id == ((Queue *)other)->id);
    return PyBool_FromLong(equal == (comparison == Py_EQ));
}

Py_hash_t
Queue_hash(PyObject *op)
{
    const Queue *self = (Queue *)op;
    hashfunc by_identity = PyType_GetSlot(&PyBaseObject_Type, Py_tp_hash);

    return self->id >= 0 ? self->id : by_identity(op);
}

PyObject *
Queue_reduce(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return mqc_queue_reduce(op, "._pickling", "reduce");
}

PyObject *
Queue_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Queue *self = (Queue *)op;
    int error;

    if (atomic_load(&self->base.gate.closed)) {
        Py_RETURN_NONE;
    }
    error = system_remove(self->id);
    if (error != 0 && error != EIDRM) {
        mqc_raise(MQC_OP_CLOSE, error, op, NULL);
        return NULL;
    }
    mqc_queue_close(&self->base);
    Py_RETURN_NONE;
}

PyObject *
Queue_detach(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    mqc_queue_close((mqc_queue *)op);
    Py_RETURN_NONE;
}

PyObject *
Queue_exit(PyObject *op, PyObject *Py_UNUSED(args))
{
    return mqc_queue_exit(op, ((Queue *)op)->maker == getpid() ? "close" : "detach");
}
