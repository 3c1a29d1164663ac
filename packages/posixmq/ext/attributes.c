/* Attributes, and all else that the kernel tells about a queue. */

#include "posixmq.h"

#include <fcntl.h>

#include "mqc/error.h"
#include "mqc/import.h"

/* Ask the kernel. Returns -1 with an exception. */
static int
read_attributes(Queue *self, struct mq_attr *attributes)
{
    int error = mqc_use_begin(&self->base.gate);

    if (error == 0) {
        error = system_getattr(self->fd, attributes);
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
    struct mq_attr attributes;

    if (read_attributes((Queue *)op, &attributes) < 0) {
        return NULL;
    }
    return Py_BuildValue("{slslsl}", "size", (long)attributes.mq_curmsgs, "max_size",
                         (long)attributes.mq_maxmsg, "max_msgbytes", (long)attributes.mq_msgsize);
}

PyObject *
Queue_qsize(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct mq_attr attributes;

    if (read_attributes((Queue *)op, &attributes) < 0) {
        return NULL;
    }
    return PyLong_FromLong(attributes.mq_curmsgs);
}

PyObject *
Queue_empty(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct mq_attr attributes;

    if (read_attributes((Queue *)op, &attributes) < 0) {
        return NULL;
    }
    return PyBool_FromLong(attributes.mq_curmsgs == 0);
}

PyObject *
Queue_full(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct mq_attr attributes;

    if (read_attributes((Queue *)op, &attributes) < 0) {
        return NULL;
    }
    return PyBool_FromLong(attributes.mq_curmsgs >= attributes.mq_maxmsg);
}

PyObject *
Queue_fileno(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLong(((Queue *)op)->fd);
}

PyObject *
Queue_get_name(PyObject *op, void *Py_UNUSED(closure))
{
    PyObject *name = ((Queue *)op)->name;

    return Py_NewRef(name == NULL ? Py_None : name);
}

PyObject *
Queue_get_maxsize(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(((Queue *)op)->maxsize);
}

PyObject *
Queue_get_maxmsgsize(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(((Queue *)op)->maxmsgsize);
}

PyObject *
Queue_get_readable(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((Queue *)op)->access != O_WRONLY);
}

PyObject *
Queue_get_writable(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((Queue *)op)->access != O_RDONLY);
}

/* Read all that the kernel tells. The text comes last, as reading it sets the time of access. */
int
read_all(int fd, queue_details *details)
{
    int error = system_getattr(fd, &details->attributes);

    if (error == 0) {
        error = system_status(fd, &details->status);
    }
#ifndef __linux__ /* there is no such text */
    details->length = -1;
    return error;
#endif
    if (error == 0) {
        details->length = pread(fd, details->text, sizeof(details->text), 0);
        if (details->length < 0 && errno != EBADF) { /* EBADF: opened for writing only */
            error = errno;
        }
    }
    return error;
}

static double
seconds_of(const struct system_time *time)
{
    return (double)time->seconds + time->nanoseconds * 1e-9;
}

/* The arguments of _stat.queue_stat, in its order. */
PyObject *
queue_stat_arguments(const queue_details *details)
{
    const struct mq_attr *attributes = &details->attributes;
    const struct system_status *status = &details->status;

    return Py_BuildValue(
        "(lllIIIIdddKz#)", (long)attributes->mq_curmsgs, (long)attributes->mq_maxmsg,
        (long)attributes->mq_msgsize, (unsigned)status->uid, (unsigned)status->gid,
        (unsigned)status->mode & 07777, (unsigned)status->links, seconds_of(&status->modification),
        seconds_of(&status->access), seconds_of(&status->change), (unsigned long long)status->inode,
        details->length < 0 ? NULL : details->text,
        details->length < 0 ? (Py_ssize_t)0 : (Py_ssize_t)details->length);
}

PyObject *
Queue_stat(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Queue *self = (Queue *)op;
    PyObject *make, *arguments, *result = NULL;
    queue_details details;
    int error = mqc_use_begin(&self->base.gate);

    if (error == 0) {
        error = read_all(self->fd, &details);
        mqc_use_end(&self->base.gate);
    }
    if (error != 0) {
        mqc_raise(MQC_OP_STAT, error, op, NULL);
        return NULL;
    }
    make = mqc_import("._stat", "queue_stat");
    arguments = queue_stat_arguments(&details);
    if (make != NULL && arguments != NULL) {
        result = PyObject_Call(make, arguments, NULL);
    }
    Py_XDECREF(make);
    Py_XDECREF(arguments);
    return result;
}
