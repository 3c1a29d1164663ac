/* What every Queue object has. */

#include "mqc.h"

#include "error.h"
#include "import.h"
#include "queue.h"

/* The object's class as its repr shows it: "posixmq.Queue", or what a subclass is called. */
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

/* End a with block by the method of this name, which a subclass may have made its own. */
PyObject *
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
void
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
int
mqc_gate_claim(mqc_gate *gate)
{
    if (atomic_exchange(&gate->claimed, 1)) {
        PyErr_SetString(PyExc_RuntimeError, "a Queue is opened once; make a new one");
        return -1;
    }
    return 0;
}

void
mqc_gate_unclaim(mqc_gate *gate)
{
    atomic_store(&gate->claimed, 0);
}

/* Close the gate for good. Returns 0 if it was closed before. */
int
mqc_close_gate(mqc_gate *gate)
{
    if (!mqc_gate_shut(gate)) {
        return 0;
    }
    Py_BEGIN_ALLOW_THREADS
    mqc_gate_drain(gate);
    Py_END_ALLOW_THREADS
    return 1;
}

/* Bind an object, just made, to its module, whose state begins with an mqc_state. */
void
mqc_queue_bind(mqc_queue *queue, PyObject *module)
{
    queue->module = Py_NewRef(module);
    queue->state = PyModule_GetState(module);
    mqc_gate_register(&queue->gate);
}

/* Free the object and what it needs to the last: its type, and the module with the state. */
void
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

/* Of an object of this type, just made: let it be opened, and read what every way to do so takes. */
int
mqc_queue_begin(mqc_queue *queue, const mqc_options *options)
{
    if (mqc_gate_claim(&queue->gate) < 0) {
        return -1;
    }
    return mqc_read_options(options, &queue->gate, &queue->manners);
}

/* Call a function of the package's Python with the queue, for __reduce__. */
PyObject *
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
    return PyUnicode_FromString(((mqc_queue *)op)->manners.on_signal_raises ? "raise" : "retry");
}

PyObject *
mqc_get_spin_us(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromLong((long)(((mqc_queue *)op)->gate.spin_ns / 1000));
}

PyObject *
mqc_get_trusted(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((mqc_queue *)op)->manners.trusted);
}
