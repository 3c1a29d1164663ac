/* What every Queue object has. */

#include "mqc.h"

#include "error.h"
#include "import.h"
#include "queue.h"

/* ***** opening and closing ***** */

/* Bind a new object to its module, whose state begins with an mqc_state. */
void
mqc_queue_bind(mqc_queue *queue, PyObject *module)
{
    queue->module = Py_NewRef(module);
    queue->state = PyModule_GetState(module);
    mqc_gate_register(&queue->gate);
}

/* Admit one call that opens this object. The next may try only if that one fails. */
int
mqc_queue_claim(mqc_queue *queue)
{
    if (atomic_exchange(&queue->gate.claimed, 1)) {
        PyErr_SetString(PyExc_RuntimeError, "a Queue is opened once; make a new one");
        return -1;
    }
    return 0;
}

void
mqc_queue_unclaim(mqc_queue *queue)
{
    atomic_store(&queue->gate.claimed, 0);
}

/* Claim a new object, which nobody else has, and read the options that all constructors share. */
int
mqc_queue_begin(mqc_queue *queue, const mqc_options *options)
{
    if (mqc_queue_claim(queue) < 0) {
        return -1;
    }
    return mqc_read_options(options, &queue->gate, &queue->policy);
}

/* Let calls in, and take over the references of the serializer. Set every field that they use
 * before this. */
void
mqc_queue_install(mqc_queue *queue, const mqc_serializer *serializer)
{
    queue->serializer = *serializer;
    queue->opened = 1;
    mqc_gate_open(&queue->gate);
}

/* Keep new calls out, and wait until all calls have left. Returns 0 if it was closed before. */
int
mqc_queue_close(mqc_queue *queue)
{
    if (!mqc_gate_shut(&queue->gate)) {
        return 0;
    }
    Py_BEGIN_ALLOW_THREADS
    mqc_gate_drain(&queue->gate);
    Py_END_ALLOW_THREADS
    return 1;
}

/* ***** memory ***** */

/* Free the object, and last what it needs until then: its type, and the module with the state. */
void
mqc_queue_free(PyObject *op)
{
    mqc_queue *queue = (mqc_queue *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject *module = queue->module;
    freefunc release = PyType_GetSlot(type, Py_tp_free);

    mqc_gate_unregister(&queue->gate);
    free(mqc_reserve_swap(&queue->reserve, NULL));
    Py_XDECREF(queue->answer);
    mqc_serializer_clear(&queue->serializer);
    release(op);
    Py_DECREF(type);
    Py_XDECREF(module);
}

int
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

int
mqc_queue_clear(PyObject *op)
{
    mqc_serializer_clear(&((mqc_queue *)op)->serializer);
    return 0;
}

/* ***** methods ***** */

PyObject *
mqc_queue_enter(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    if (atomic_load(&((mqc_queue *)op)->gate.closed)) {
        mqc_raise(MQC_OP_ENTER, EBADF, op, NULL);
        return NULL;
    }
    return Py_NewRef(op);
}

/* End a with block by this method. Call it through the type, so that a subclass's override runs. */
PyObject *
mqc_queue_exit(PyObject *queue, const char *method)
{
    PyObject *result = PyObject_CallMethod(queue, method, NULL);

    if (result == NULL) {
        return NULL;
    }
    Py_DECREF(result); /* a true result would swallow the block's exception */
    Py_RETURN_NONE;
}

/* __reduce__: call a function of the package's Python with the queue. */
PyObject *
mqc_queue_reduce(PyObject *op, const char *module_name, const char *function)
{
    PyObject *reduce, *result;

    if (atomic_load(&((mqc_queue *)op)->gate.closed)) {
        mqc_raise(MQC_OP_PICKLE, EBADF, op, NULL);
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

/* The object's class as its repr shows it: "posixmq.Queue", or the name of a subclass. */
PyObject *
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

PyObject *
mqc_get_serializer(PyObject *op, void *Py_UNUSED(closure))
{
    PyObject *object = ((mqc_queue *)op)->serializer.object;

    return Py_NewRef(object == NULL ? Py_None : object);
}

PyObject *
mqc_get_closed(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(atomic_load(&((mqc_queue *)op)->gate.closed));
}

PyObject *
mqc_get_on_signal(PyObject *op, void *Py_UNUSED(closure))
{
    return PyUnicode_FromString(((mqc_queue *)op)->policy.on_signal_raises ? "raise" : "retry");
}

PyObject *
mqc_get_spin_us(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromLong((long)(((mqc_queue *)op)->gate.spin_ns / 1000));
}

PyObject *
mqc_get_trusted(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((mqc_queue *)op)->policy.trusted);
}
