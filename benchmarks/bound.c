/*
 * The bound of a pickled message: a loop in C that does nothing but pickle an object, send it,
 * receive it and unpickle it.  It costs more than the same calls timed apart, because system
 * calls and the unpickler push each other out of the processor's caches.
 *
 * run.py compiles it into a module: bound.run(posix, name, key, count, item, dumps, loads).
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <fcntl.h>
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>

enum { DEPTH = 10, ROOM = 1024 };

struct queue {
    int posix;
    mqd_t mq;
    int id;
    struct {
        long type;
        char text[ROOM];
    } message;
};

static int
queue_open(struct queue *queue, const char *name, key_t key)
{
    struct mq_attr attributes = {.mq_maxmsg = DEPTH, .mq_msgsize = ROOM};

    queue->message.type = 1;
    if (!queue->posix) {
        queue->id = msgget(key, IPC_CREAT | IPC_EXCL | 0600);
        return queue->id;
    }
    queue->mq = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
    if (queue->mq != (mqd_t)-1)
        mq_unlink(name);
    return (int)queue->mq;
}

static void
queue_close(struct queue *queue)
{
    if (queue->posix)
        mq_close(queue->mq);
    else
        msgctl(queue->id, IPC_RMID, NULL);
}

static int
queue_put(struct queue *queue, PyObject *data)
{
    size_t size = (size_t)PyBytes_GET_SIZE(data);

    if (queue->posix)
        return mq_send(queue->mq, PyBytes_AS_STRING(data), size, 0);
    memcpy(queue->message.text, PyBytes_AS_STRING(data), size);
    return msgsnd(queue->id, &queue->message, size, 0);
}

static PyObject *
queue_get(struct queue *queue)
{
    ssize_t size = queue->posix ? mq_receive(queue->mq, queue->message.text, ROOM, NULL)
                                : msgrcv(queue->id, &queue->message, ROOM, 0, 0);

    if (size < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    return PyBytes_FromStringAndSize(queue->message.text, size);
}

static int
put_and_get(struct queue *queue, PyObject *item, PyObject *protocol, PyObject *dumps,
            PyObject *loads)
{
    PyObject *data = PyObject_CallFunctionObjArgs(dumps, item, protocol, NULL), *copy;
    int failed = data == NULL || queue_put(queue, data) < 0;

    Py_XDECREF(data);
    if (failed)
        return -1;
    data = queue_get(queue);
    if (data == NULL)
        return -1;
    copy = PyObject_CallFunctionObjArgs(loads, data, NULL);
    Py_DECREF(data);
    Py_XDECREF(copy);
    return copy == NULL ? -1 : 0;
}

static PyObject *
bound_run(PyObject *Py_UNUSED(module), PyObject *args)
{
    struct queue queue;
    const char *name;
    int key, failed = 0;
    long count;
    PyObject *item, *dumps, *loads, *protocol;

    if (!PyArg_ParseTuple(args, "psilOOO", &queue.posix, &name, &key, &count, &item, &dumps,
                          &loads))
        return NULL;
    if (queue_open(&queue, name, (key_t)key) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    protocol = PyLong_FromLong(1);
    while (count-- > 0 && !failed)
        failed = put_and_get(&queue, item, protocol, dumps, loads);
    Py_XDECREF(protocol);
    queue_close(&queue);
    if (failed)
        return PyErr_Occurred() ? NULL : PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"run", bound_run, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "bound",
    .m_methods = methods,
};

PyMODINIT_FUNC
PyInit_bound(void)
{
    return PyModule_Create(&definition);
}
