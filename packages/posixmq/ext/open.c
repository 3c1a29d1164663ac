/* Opening by name and by descriptor. */

#include "posixmq.h"

#include <fcntl.h>    /* O_CREAT and the like */
#include <stdio.h>    /* snprintf */
#include <sys/stat.h> /* fchmod */

#include "mqc/argument.h"
#include "mqc/error.h"
#include "mqc/serializer.h"

#define NAME_RANGE                                                                                 \
    "a slash followed by 1 to 255 bytes without another slash or NUL, and not /. or /.."

/* Return the name as bytes in the file system's encoding, or NULL with an exception. */
PyObject *
encode_name(PyObject *name)
{
    PyObject *encoded;
    char *bytes;
    Py_ssize_t size;

    if (!PyUnicode_Check(name)) {
        PyErr_Format(PyExc_TypeError, "name must be a str, not %R", (PyObject *)Py_TYPE(name));
        return NULL;
    }
    encoded = PyUnicode_EncodeFSDefault(name);
    if (encoded == NULL || PyBytes_AsStringAndSize(encoded, &bytes, &size) < 0) {
        Py_XDECREF(encoded);
        return NULL;
    }
    if (size > 256 && bytes[0] == '/') {
        mqc_raise(MQC_OP_NAME, ENAMETOOLONG, NULL, name);
    }
    else if (size < 2 || bytes[0] != '/' || strlen(bytes) != (size_t)size ||
             strchr(bytes + 1, '/') != NULL || strcmp(bytes, "/.") == 0 ||
             strcmp(bytes, "/..") == 0) {
        mqc_raise_value("name", name, NAME_RANGE);
    }
    else {
        return encoded;
    }
    Py_DECREF(encoded);
    return NULL;
}

PyObject *
unlink_name(PyObject *name)
{
    PyObject *encoded = encode_name(name);
    int error;

    if (encoded == NULL) {
        return NULL;
    }
    error = system_unlink(PyBytes_AsString(encoded));
    Py_DECREF(encoded);
    if (error != 0) {
        mqc_raise(MQC_OP_UNLINK, error, NULL, name);
        return NULL;
    }
    Py_RETURN_NONE;
}

static int
access_of(const open_request *request)
{
    if (request->readable && request->writable) {
        return O_RDWR;
    }
    return request->readable ? O_RDONLY : O_WRONLY;
}

/* Create the queue with exactly the mode asked for. mq_open(3) applies the umask, which can
 * only take rights away; fchmod(2) gives them back. */
static int
create_queue(const char *name, const open_request *request, int *fd)
{
    struct mq_attr attributes = {
        .mq_maxmsg = request->maxsize,
        .mq_msgsize = request->maxmsgsize,
    };
    mode_t mode = (mode_t)request->mode;
    int error =
        system_open(name, access_of(request) | O_CLOEXEC | O_CREAT | O_EXCL, mode, &attributes, fd);

    if (error == 0 && fchmod(*fd, mode) < 0) {
        error = errno;
        system_unlink(name);
        close(*fd);
    }
    return error;
}

static int
open_queue(const char *name, const open_request *request, opened_queue *opened)
{
    for (;;) {
        int error;

        if (request->create) {
            error = create_queue(name, request, &opened->fd);
            opened->created = error == 0;
            if (error != EEXIST || request->exclusive) {
                return error;
            }
        }
        error = system_open(name, access_of(request) | O_CLOEXEC, 0, NULL, &opened->fd);
        if (error != ENOENT || !request->create) {
            return error;
        }
        /* Somebody unlinked it between the two calls: create it after all. */
    }
}

/* Read attributes, access mode and status; EBADF if the descriptor is not that of a queue. */
static int
read_descriptor(opened_queue *opened)
{
    int error = system_getattr(opened->fd, &opened->attributes);
    int flags = system_fcntl(opened->fd, F_GETFL, 0);

    if (error != 0) {
        return error;
    }
    if (flags < 0) {
        return errno;
    }
    opened->access = flags & O_ACCMODE;
    return system_status(opened->fd, &opened->status);
}

/* Create a queue that nobody else can find: its name is removed before this returns, and no other
 * process guesses it in time. */
static int
create_nameless(const open_request *request, opened_queue *opened)
{
    static atomic_uint created;
    char name[64];
    int error;

    do {
        (void)snprintf(name, sizeof(name), "/posixmq-%ld-%u-%llx", (long)getpid(),
                       atomic_fetch_add(&created, 1), (unsigned long long)mqc_now());
        error = create_queue(name, request, &opened->fd);
    } while (error == EEXIST);
    if (error == 0) {
        system_unlink(name);
    }
    return error;
}

static void
raise_open(PyObject *name, const open_request *request, int error)
{
    mqc_raise_with(MQC_OP_OPEN, error, NULL,
                   Py_BuildValue("Ollii", name == NULL ? Py_None : name, request->maxsize,
                                 request->maxmsgsize, request->readable, request->writable));
}

int
read_sizes(PyObject *maxsize, PyObject *maxmsgsize, open_request *request)
{
    static const mqc_range messages = {"maxsize", 1, LONG_MAX, "1 or more"};
    static const mqc_range bytes = {"maxmsgsize", 1, LONG_MAX, "1 or more"};

    request->maxsize = 10;
    request->maxmsgsize = 1024;
    if (maxsize != NULL && mqc_read_long(maxsize, &messages, &request->maxsize) < 0) {
        return -1;
    }
    if (maxmsgsize != NULL && mqc_read_long(maxmsgsize, &bytes, &request->maxmsgsize) < 0) {
        return -1;
    }
    return 0;
}

int
read_request(PyObject *maxsize, PyObject *maxmsgsize, PyObject *mode, open_request *request)
{
    static const mqc_range bits = {"mode", 0, 0777, "permission bits, 0 to 0o777"};

    request->mode = 0600;
    if (request->exclusive && !request->create) {
        PyErr_SetString(PyExc_ValueError, "exclusive=True needs create=True");
        return -1;
    }
    if (!request->readable && !request->writable) {
        PyErr_SetString(PyExc_ValueError, "a queue is readable, writable, or both");
        return -1;
    }
    if (read_sizes(maxsize, maxmsgsize, request) < 0) {
        return -1;
    }
    if (mode != NULL && mqc_read_long(mode, &bits, &request->mode) < 0) {
        return -1;
    }
    return 0;
}

/* Read the status of any queue of this IPC namespace: its device is that of the namespace's mqueue
 * file system. The queue is the one of this name; where that is NULL, one is created and removed
 * again. O_PATH only looks it up: to close such a descriptor does not close the queue, which would
 * cancel this process's request to be notified. */
int
find_status(const char *name, struct system_status *status)
{
#ifndef __linux__
    (void)name;
    (void)status;
    return ENOSYS;
#else
    const open_request smallest = {
        .maxsize = 1,
        .maxmsgsize = 1,
        .mode = 0600,
        .create = 1,
        .readable = 1,
        .writable = 1,
    };
    opened_queue opened = {0};
    int error = name == NULL
                    ? create_nameless(&smallest, &opened)
                    : system_open(name, O_RDONLY | O_PATH | O_CLOEXEC, 0, NULL, &opened.fd);

    if (error == 0) {
        error = system_status(opened.fd, status);
        close(opened.fd);
    }
    return error;
#endif
}

static int
is_untrusted(const opened_queue *opened)
{
    const mqc_writers writers = {
        .owner = opened->status.uid,
        .creator = opened->status.uid,
        .mode = opened->status.mode,
    };

    return opened->access != O_WRONLY && mqc_others_write(&writers);
}

static void
raise_untrusted(PyObject *name, const opened_queue *opened)
{
    mqc_raise_with(MQC_OP_TRUST, EACCES, NULL,
                   Py_BuildValue("Oli", name == NULL ? Py_None : name, (long)opened->status.uid,
                                 (int)(opened->status.mode & 0777)));
}

/* Let calls into the queue that was opened. This takes over the references of the serializer and
 * the name, which may be NULL. */
static void
install(Queue *self, const opened_queue *opened, const mqc_serializer *serializer, PyObject *name)
{
    self->fd = opened->fd;
    self->access = opened->access;
    self->maxsize = opened->attributes.mq_maxmsg;
    self->maxmsgsize = opened->attributes.mq_msgsize;
    self->device = (uint64_t)opened->status.major << 32 | opened->status.minor;
    self->inode = opened->status.inode;
    self->name = name;
    self->base.longest = (size_t)self->maxmsgsize;
    self->base.check_above = (size_t)self->maxmsgsize;
    /* More at once than the queue holds would not end while writers keep up. */
    self->base.most_at_once = (size_t)self->maxsize;
    mqc_queue_install(&self->base, serializer);
}

/* Open the queue by its encoded name, or create one without a name where that is NULL. Returns 0,
 * an errno, or MQC_UNTRUSTED. A queue that was made by a call which fails is gone again. */
static int
open_checked(const char *name, const open_request *request, int check_writers, opened_queue *opened)
{
    int error = name == NULL ? create_nameless(request, opened) : open_queue(name, request, opened);

    if (error != 0) {
        return error;
    }
    error = read_descriptor(opened);
    if (error == 0 && check_writers && is_untrusted(opened)) {
        if (opened->created && name != NULL) {
            system_unlink(name);
        }
        error = MQC_UNTRUSTED;
    }
    if (error != 0) {
        close(opened->fd);
    }
    return error;
}

/* Open the queue, and set all fields by what the constructor was given. */
int
set_up(Queue *self, PyObject *name, const char *encoded, const open_request *request,
       PyObject *serializer)
{
    opened_queue opened = {.fd = -1};
    mqc_serializer methods;
    PyObject *plain = NULL; /* a plain str, whose repr never fails */
    int error, check_writers;

    if (name != NULL) {
        plain = PyUnicode_FromObject(name);
        if (plain == NULL) {
            return -1;
        }
    }
    check_writers =
        mqc_serializer_prepare(self->base.state, &self->base.policy, &methods, serializer);
    if (check_writers < 0) {
        Py_XDECREF(plain);
        return -1;
    }
    Py_BEGIN_ALLOW_THREADS
    error = open_checked(encoded, request, check_writers, &opened);
    Py_END_ALLOW_THREADS
    if (error == 0) {
        install(self, &opened, &methods, plain);
        return 0;
    }
    Py_XDECREF(plain);
    mqc_serializer_clear(&methods);
    if (error == MQC_UNTRUSTED) {
        raise_untrusted(name, &opened);
    }
    else {
        raise_open(name, request, error);
    }
    return -1;
}

int
set_up_by_name(Queue *self, PyObject *name, const open_request *request, PyObject *serializer)
{
    PyObject *encoded = encode_name(name);
    int result;

    if (encoded == NULL) {
        return -1;
    }
    result = set_up(self, name, PyBytes_AsString(encoded), request, serializer);
    Py_DECREF(encoded);
    return result;
}

/* Take over the descriptor, unless something is wrong with it. */
int
set_up_by_descriptor(Queue *self, int fd, PyObject *serializer)
{
    opened_queue opened = {.fd = fd};
    mqc_serializer methods;
    int error = read_descriptor(&opened);
    int check_writers;

    if (error != 0) {
        mqc_raise_with(MQC_OP_FROM_FD, error, NULL, PyLong_FromLong(fd));
        return -1;
    }
    check_writers =
        mqc_serializer_prepare(self->base.state, &self->base.policy, &methods, serializer);
    if (check_writers > 0 && is_untrusted(&opened)) {
        mqc_serializer_clear(&methods);
        raise_untrusted(NULL, &opened);
        check_writers = -1;
    }
    if (check_writers < 0) {
        return -1;
    }
    system_fcntl(fd, F_SETFD, FD_CLOEXEC);
    install(self, &opened, &methods, NULL);
    return 0;
}
