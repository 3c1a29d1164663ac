/* Attributes, and what IPC_SET can change. */

#include "sysvmq.h"

#include "mqc/argument.h"
#include "mqc/error.h"
#include "mqc/import.h"

/* Ask the kernel. Returns -1 with an exception. */
static int
read_attributes(Queue *self, struct msqid_ds *status)
{
    int error = mqc_use_begin(&self->base.gate);

    if (error == 0) {
        error = system_stat(self->id, status);
        mqc_use_end(&self->base.gate);
    }
    if (error != 0) {
        mqc_raise(MQC_OP_ATTRIBUTES, error, (PyObject *)self, NULL);
        return -1;
    }
    return 0;
}

PyObject *
Queue_qattr(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct msqid_ds status;

    if (read_attributes((Queue *)op, &status) < 0) {
        return NULL;
    }
    return Py_BuildValue("{sksk}", "size", (unsigned long)status.msg_qnum, "max_bytes",
                         (unsigned long)status.msg_qbytes);
}

PyObject *
Queue_stat(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Queue *self = (Queue *)op;
    PyObject *class, *result;
    struct msqid_ds status;

    if (read_attributes(self, &status) < 0) {
        return NULL;
    }
    class = mqc_import("._stat", "QueueStat");
    if (class == NULL) {
        return NULL;
    }
    result = PyObject_CallFunction(
        class, "kkkkikkkkllLLL", (unsigned long)status.msg_perm.uid,
        (unsigned long)status.msg_perm.gid, (unsigned long)status.msg_perm.cuid,
        (unsigned long)status.msg_perm.cgid, (int)(status.msg_perm.mode & 0777), key_of(&status),
        (unsigned long)status.msg_qnum, (unsigned long)status.msg_cbytes,
        (unsigned long)status.msg_qbytes, (long)status.msg_lspid, (long)status.msg_lrpid,
        (long long)status.msg_stime, (long long)status.msg_rtime, (long long)status.msg_ctime);
    Py_DECREF(class);
    return result;
}

/* Raise the error of set(), with what was asked for. */
static void
raise_set(Queue *self, int error, const changes *wanted)
{
    mqc_raise_with(MQC_OP_SET, error, (PyObject *)self,
                   Py_BuildValue("lll", wanted->uid, wanted->gid, wanted->max_bytes));
}

PyObject *
Queue_set(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"mode", "uid", "gid", "max_bytes", NULL};
    static const mqc_range bits = {"mode", 0, 0777, "permission bits, 0 to 0o777"};
    static const mqc_range user = {"uid", 0, MOST_USER, "0 to 4294967294"};
    static const mqc_range group = {"gid", 0, MOST_USER, "0 to 4294967294"};
    static const mqc_range bytes = {"max_bytes", 1, LONG_MAX, "1 or more"};
    Queue *self = (Queue *)op;
    PyObject *mode = Py_None, *uid = Py_None, *gid = Py_None, *max_bytes = Py_None;
    changes wanted = {-1, -1, -1, -1};
    int error;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$OOOO:set", names, &mode, &uid, &gid,
                                     &max_bytes) ||
        mqc_read_optional(mode, &bits, &wanted.mode) < 0 ||
        mqc_read_optional(uid, &user, &wanted.uid) < 0 ||
        mqc_read_optional(gid, &group, &wanted.gid) < 0 ||
        mqc_read_optional(max_bytes, &bytes, &wanted.max_bytes) < 0) {
        return NULL;
    }
    error = mqc_use_begin(&self->base.gate);
    if (error == 0) {
        error = system_set(self->id, &wanted);
        mqc_use_end(&self->base.gate);
    }
    if (error != 0) {
        raise_set(self, error, &wanted);
        return NULL;
    }
    Py_RETURN_NONE;
}

PyObject *
Queue_qsize(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct msqid_ds status;

    if (read_attributes((Queue *)op, &status) < 0) {
        return NULL;
    }
    return PyLong_FromUnsignedLong(status.msg_qnum);
}

PyObject *
Queue_empty(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct msqid_ds status;

    if (read_attributes((Queue *)op, &status) < 0) {
        return NULL;
    }
    return PyBool_FromLong(status.msg_qnum == 0);
}

PyObject *
Queue_get_key(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLong(((Queue *)op)->key);
}

PyObject *
Queue_get_id(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(((Queue *)op)->id);
}

/* Anybody with the right to may change the capacity, so ask for as long as the queue is open. */
static long
current_max_bytes(Queue *self)
{
    struct msqid_ds status;

    if (mqc_use_begin(&self->base.gate) == 0) {
        if (system_stat(self->id, &status) == 0) {
            atomic_store(&self->max_bytes, capacity(&status));
        }
        mqc_use_end(&self->base.gate);
    }
    return atomic_load(&self->max_bytes);
}

PyObject *
Queue_get_max_bytes(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(current_max_bytes((Queue *)op));
}

PyObject *
Queue_get_maxmsgsize(PyObject *op, void *Py_UNUSED(closure))
{
    long max_bytes = current_max_bytes((Queue *)op);
    long msgmax = system_msgmax();

    return PyLong_FromLong(max_bytes < msgmax ? max_bytes : msgmax);
}
