/* POSIX message queues for Python: one call into C and one system call a message.
 *
 * The file follows a message: module state, system calls, opening and closing, put and get,
 * attributes, and at the end the type and the module. mqc_wait.h says how a call waits,
 * mqc_python.h what both extensions of the project need of Python.
 */

/* ***** includes ***** */

#define _GNU_SOURCE /* sched_getaffinity, SIGEV_THREAD_ID */
#define PY_SSIZE_T_CLEAN

#ifdef __APPLE__
#error "macOS has no POSIX message queues; its System V queues are in the package sysvmq"
#endif

#include <Python.h>

#include <fcntl.h>        /* O_CREAT and the like */
#include <mqueue.h>       /* struct mq_attr, which libc has as the kernel lays it out */
#include <poll.h>         /* waiting on a descriptor that somebody made non-blocking */
#include <stdio.h>        /* snprintf */
#include <structmember.h> /* T_PYSSIZET for the weak reference list */
#include <sys/stat.h>     /* fchmod */
#ifdef __FreeBSD__
#include <sys/param.h> /* which module.h needs */

#include <sys/module.h> /* modfind */
#include <sys/syscall.h>
#endif

#define MQC_PACKAGE "posixmq"
#define MQC_SIGNAL_VARIABLE "POSIXMQ_SIGNAL"
#define MQC_SPIN_VARIABLE "POSIXMQ_SPIN_US"
#include "mqc/mqc_python.h"

/* ***** module state ***** */

typedef struct {
    mqc_state common;
    PyTypeObject *Queue;
} module_state;

typedef struct {
    mqc_queue base;
    atomic_int fd; /* -1 unless open */
    int access;    /* O_RDWR, O_RDONLY or O_WRONLY */
    long maxsize;
    long maxmsgsize; /* 0 until the queue is open */
    uint64_t device; /* with the inode, which queue this is */
    uint64_t inode;
    PyObject *name; /* NULL for an anonymous queue */
    PyObject *weakrefs;
} Queue;

/* MQ_PRIO_MAX of <limits.h> less one, the kernel's fixed value. */
#ifdef __FreeBSD__
#define MOST_PRIORITY 63
#define PRIORITY_RANGE "0 to 63 (MQ_PRIO_MAX - 1)"
#else
#define MOST_PRIORITY 32767
#define PRIORITY_RANGE "0 to 32767 (MQ_PRIO_MAX - 1)"
#endif

static struct PyModuleDef posixmq_module;

/* ***** system calls ***** */

/* They go through syscall(2): on Linux because glibc's wrappers would tie the wheel to its
 * version 2.34 or later, on FreeBSD because those hide the descriptor in a structure. */

#ifdef __FreeBSD__
typedef struct timespec mq_timespec;
#define SYS_mq_open SYS_kmq_open
#define SYS_mq_unlink SYS_kmq_unlink
#define SYS_mq_getsetattr SYS_kmq_setattr
#define SYS_mq_notify SYS_kmq_notify
#define MQC_SYS_mq_timedsend SYS_kmq_timedsend
#define MQC_SYS_mq_timedreceive SYS_kmq_timedreceive
#else
typedef struct mqc_timespec mq_timespec;
#endif

/* A deadline long past: the call returns ETIMEDOUT where it would block. O_NONBLOCK would be
 * seen by every process that shares the open file description. */
static const mq_timespec LONG_PAST;

/* Linux wants the name without the slash that mq_overview(7) asks for, FreeBSD with it. */
static const char *
kernel_name(const char *name)
{
#ifdef __FreeBSD__
    return name;
#else
    return name + 1;
#endif
}

/* Whether the kernel knows these calls. FreeBSD has them in a module; where it is not loaded,
 * a call would not return ENOSYS but end the process with SIGSYS. */
static int
system_has_queues(void)
{
#ifdef __FreeBSD__
    return modfind("mqueuefs") >= 0;
#else
    return 1;
#endif
}

static int
system_open(const char *name, int flags, mode_t mode, struct mq_attr *attributes, int *fd)
{
    long result;

    if (!system_has_queues()) {
        return ENOSYS;
    }
    result = syscall(SYS_mq_open, kernel_name(name), flags, mode, attributes);
    if (result < 0) {
        return errno;
    }
    *fd = (int)result;
    return 0;
}

static int
system_unlink(const char *name)
{
    if (!system_has_queues()) {
        return ENOSYS;
    }
    return syscall(SYS_mq_unlink, kernel_name(name)) < 0 ? errno : 0;
}

static int
system_getattr(int fd, struct mq_attr *attributes)
{
    return syscall(SYS_mq_getsetattr, fd, NULL, attributes) < 0 ? errno : 0;
}

#ifdef __linux__

/* statx(2), whose layout is the same everywhere and which needs no newer glibc than mq_open. */
#ifndef SYS_statx
#if defined(__x86_64__) && !defined(__ILP32__)
#define SYS_statx 332
#elif defined(__aarch64__) || defined(__riscv)
#define SYS_statx 291
#elif defined(__i386__) || defined(__powerpc64__)
#define SYS_statx 383
#elif defined(__arm__)
#define SYS_statx 397
#else
#error "these headers lack SYS_statx: those of Linux 4.11 or newer are needed"
#endif
#endif

/* Since Linux 5.2, everywhere by these numbers, which older headers lack. */
#ifndef SYS_fsopen
#define SYS_fsopen 430
#define SYS_fsconfig 431
#define SYS_fsmount 432
#endif

/* Of what statx(2) and fsopen(2) need, older headers lack even the names. */
enum {
    STATUS_BASIC = 0x7ff,      /* STATX_BASIC_STATS: all that stat(2) tells */
    CONTEXT_CLOSE_ON_EXEC = 1, /* FSOPEN_CLOEXEC and FSMOUNT_CLOEXEC */
    CONTEXT_CREATE = 6,        /* FSCONFIG_CMD_CREATE */
};

#endif /* __linux__ */

/* As statx(2) lays it out. */
struct system_time {
    int64_t seconds;
    uint32_t nanoseconds;
    int32_t reserved;
};

struct system_status {
    uint32_t mask, block_size;
    uint64_t attributes;
    uint32_t links, uid, gid;
    uint16_t mode, reserved;
    uint64_t inode, size, blocks, attributes_mask;
    struct system_time access, birth, change, modification;
    uint32_t raw_major, raw_minor, major, minor;
    uint64_t spare[14];
};

static int
system_status(int fd, struct system_status *status)
{
#ifdef __linux__
    return syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATUS_BASIC, status) < 0 ? errno : 0;
#else
    struct stat found;

    if (fstat(fd, &found) < 0) {
        return errno;
    }
    *status = (struct system_status){
        .links = 1, /* which FreeBSD does not tell, nor the inode */
        .uid = found.st_uid,
        .gid = found.st_gid,
        .mode = (uint16_t)found.st_mode,
        .inode = (uint64_t)found.st_ino,
        .access = {.seconds = found.st_atime},
        .change = {.seconds = found.st_ctime},
        .modification = {.seconds = found.st_mtime},
        .major = (uint32_t)((uint64_t)found.st_dev >> 32),
        .minor = (uint32_t)found.st_dev,
    };
    return 0;
#endif
}

/* As a call of its own, fcntl(2) asks for glibc 2.28. */
static int
system_fcntl(int fd, int command, int argument)
{
#ifndef __linux__
    return fcntl(fd, command, argument);
#elif defined(SYS_fcntl64)
    return (int)syscall(SYS_fcntl64, fd, command, argument);
#else
    return (int)syscall(SYS_fcntl, fd, command, argument);
#endif
}

static int
system_notify(int fd, const struct sigevent *event)
{
#ifndef __linux__
    if (event != NULL && event->sigev_notify == SIGEV_THREAD) {
        return ENOSYS; /* what the kernel writes to a socket is Linux's own */
    }
#endif
    return syscall(SYS_mq_notify, fd, event) < 0 ? errno : 0;
}

/* Mount the queues of this process's IPC namespace where nobody sees it. The mount goes away
 * with the last descriptor on it. */
static int
system_mount(int *folder)
{
#ifndef __linux__
    (void)folder;
    return ENOSYS;
#else
    int context = (int)syscall(SYS_fsopen, "mqueue", CONTEXT_CLOSE_ON_EXEC);
    int mount = -1;
    int error = 0;

    if (context < 0) {
        return errno;
    }
    if (syscall(SYS_fsconfig, context, CONTEXT_CREATE, NULL, NULL, 0) == 0) {
        mount = (int)syscall(SYS_fsmount, context, CONTEXT_CLOSE_ON_EXEC, 0);
    }
    if (mount >= 0) {
        /* A mount's own descriptor is an O_PATH one, which cannot be read. */
        *folder = openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (mount < 0 || *folder < 0) {
        error = errno;
    }
    if (mount >= 0) {
        close(mount);
    }
    close(context);
    return error;
#endif
}

/* A descriptor that came from elsewhere may be non-blocking: then poll(2) sleeps. */
static int
sleep_on_descriptor(int fd, short events)
{
    struct pollfd ready = {.fd = fd, .events = events};

    return poll(&ready, 1, -1) < 0 ? errno : 0;
}

typedef struct {
    int fd;
    const char *data;
    size_t size;
    unsigned priority;
} outgoing;

static inline Py_ALWAYS_INLINE int
send_attempt(void *context, int may_sleep)
{
    const outgoing *message = context;
    const mq_timespec *timeout = MQC_SLEEPS(may_sleep) ? NULL : &LONG_PAST;

    for (;;) {
        if (syscall(MQC_SYS_mq_timedsend, message->fd, message->data, message->size,
                    message->priority, timeout) >= 0) {
            return 0;
        }
        if (errno == ETIMEDOUT) {
            return EAGAIN;
        }
        if (errno != EAGAIN || !MQC_SLEEPS(may_sleep)) {
            return errno;
        }
        if (sleep_on_descriptor(message->fd, POLLOUT) != 0) {
            return errno;
        }
    }
}

typedef struct {
    int fd;
    char *buffer;
    size_t capacity;
    ssize_t size;
    unsigned priority;
} incoming;

/* Always inlined, like send_attempt: a first try never sleeps, so that little of it is left. */
static inline Py_ALWAYS_INLINE int
receive_attempt(void *context, int may_sleep)
{
    incoming *message = context;
    const mq_timespec *timeout = MQC_SLEEPS(may_sleep) ? NULL : &LONG_PAST;

    for (;;) {
        message->size = syscall(MQC_SYS_mq_timedreceive, message->fd, message->buffer,
                                message->capacity, &message->priority, timeout);
        if (message->size >= 0) {
            return 0;
        }
        if (errno == ETIMEDOUT) {
            return EAGAIN;
        }
        if (errno != EAGAIN || !MQC_SLEEPS(may_sleep)) {
            return errno;
        }
        if (sleep_on_descriptor(message->fd, POLLIN) != 0) {
            return errno;
        }
    }
}

/* ***** names ***** */

#define NAME_RANGE                                                                                 \
    "a slash followed by 1 to 255 bytes without another slash or NUL, and not /. or /.."

/* Returns the name as bytes in the file system's encoding, or NULL with an exception. */
static PyObject *
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
        mqc_raise("name", ENAMETOOLONG, NULL, name);
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

static PyObject *
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
        mqc_raise("unlink", error, NULL, name);
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ***** opening ***** */

typedef struct {
    long maxsize, maxmsgsize, mode;
    int create, exclusive, readable, writable;
} open_request;

/* A queue as it was found behind its descriptor. */
typedef struct {
    int fd;
    int created;
    int access;
    struct mq_attr attributes;
    struct system_status status;
} opened_queue;

static int
access_of(const open_request *request)
{
    if (request->readable && request->writable) {
        return O_RDWR;
    }
    return request->readable ? O_RDONLY : O_WRONLY;
}

/* Create the queue with exactly the mode asked for. mq_open(3) applies the umask, which can
 * only take rights away, so fchmod(2) gives them back. */
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

/* Learn what the queue really is; EBADF where the descriptor is none of a queue. */
static int
look_behind(opened_queue *opened)
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

/* Create a queue that nobody else can find: its name, which no other process guesses in time,
 * is gone before this returns. */
static int
create_nameless(const open_request *request, opened_queue *opened)
{
    static atomic_uint created;
    char name[64];
    int error;

    do {
        (void)snprintf(name, sizeof(name), "/" MQC_PACKAGE "-%ld-%u-%llx", (long)getpid(),
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
    PyObject *detail = Py_BuildValue("Ollii", name == NULL ? Py_None : name, request->maxsize,
                                     request->maxmsgsize, request->readable, request->writable);

    if (detail != NULL) {
        mqc_raise("open", error, NULL, detail);
        Py_DECREF(detail);
    }
}

static int
read_sizes(PyObject *maxsize, PyObject *maxmsgsize, open_request *request)
{
    const char *positive = "1 or more";

    request->maxsize = 10;
    request->maxmsgsize = 1024;
    if (maxsize != NULL &&
        mqc_read_long(maxsize, "maxsize", 1, LONG_MAX, positive, &request->maxsize) < 0) {
        return -1;
    }
    if (maxmsgsize != NULL &&
        mqc_read_long(maxmsgsize, "maxmsgsize", 1, LONG_MAX, positive, &request->maxmsgsize) < 0) {
        return -1;
    }
    return 0;
}

static int
read_request(PyObject *maxsize, PyObject *maxmsgsize, PyObject *mode, open_request *request)
{
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
    if (mode != NULL &&
        mqc_read_long(mode, "mode", 0, 0777, "permission bits, 0 to 0o777", &request->mode) < 0) {
        return -1;
    }
    return 0;
}

/* Find the status of a queue of this IPC namespace, whose device is that of the namespace's own
 * mqueue file system: the queue of this name, or where that is NULL, one that is created and
 * gone again. O_PATH only looks a queue up: to close the descriptor is not to close the queue,
 * which would take back this process's request to be notified. */
static int
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

/* ***** lifecycle ***** */

static PyObject *
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

PyDoc_STRVAR(Queue_doc,
             "Queue(name, maxsize=10, maxmsgsize=1024, *, serializer=None, mode=0o600, "
             "create=True, exclusive=False, readable=True, writable=True, on_signal='raise', "
             "spin_us=None, trusted=False)\n"
             "--\n\n"
             "A POSIX message queue, created if it does not exist; see mq_open(3).\n"
             "\n"
             ":param name: a str that starts with a slash, followed by 1 to 255 bytes without\n"
             "    another slash or NUL, and not /. or /..\n"
             ":param maxsize: messages it can hold, 1 to fs.mqueue.msg_max\n"
             ":param maxmsgsize: bytes a message may have, 1 to fs.mqueue.msgsize_max; an\n"
             "    existing queue keeps its own sizes, whatever is asked\n"
             ":param serializer: anything with dumps(obj) and loads(data); None means\n"
             "    PickleSerializer\n"
             ":param mode: permission bits of a new queue, 0o600 unless given; the umask does\n"
             "    not change them\n"
             ":param create: False to open an existing queue only\n"
             ":param exclusive: True to fail if the queue exists; needs create\n"
             ":param readable: False to open it for writing only, which needs less rights\n"
             ":param writable: False to open it for reading only\n"
             ":param on_signal: what a signal does to a waiting call in the main thread when\n"
             "    its handler returns: 'raise' QueueError.INTERRUPTED, or 'retry'\n"
             ":param spin_us: microseconds to try again before sleeping, 0 to 1,000,000; None\n"
             "    for POSIXMQ_SPIN_US or 50\n"
             ":param trusted: True to unpickle from a queue that somebody else owns (root\n"
             "    excepted) or may write to, which is refused otherwise: unpickling runs code\n"
             ":raises QueueError: INVALID_VALUE, NO_PERMISSIONS, NO_SYSTEM_RESOURCES,\n"
             "    DOES_NOT_EXIST, EXISTS, ERROR (the first queue cannot import pickle or queue);\n"
             "    the message names the limit that was hit\n"
             ":raises TypeError: an argument of the wrong type, or a serializer without dumps\n"
             "    or loads\n"
             ":raises ValueError: on_signal or spin_us out of range, exclusive without create,\n"
             "    neither readable nor writable\n");

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
    PyObject *detail = Py_BuildValue("Oli", name == NULL ? Py_None : name, (long)opened->status.uid,
                                     (int)(opened->status.mode & 0777));

    if (detail != NULL) {
        mqc_raise("trust", EACCES, NULL, detail);
        Py_DECREF(detail);
    }
}

/* Let callers into the queue that was opened, with the serializer and the name (or NULL), of
 * which this takes over the references. */
static void
install(Queue *self, const opened_queue *opened, const mqc_serializer *serializer, PyObject *name)
{
    self->fd = opened->fd;
    self->access = opened->access;
    self->maxsize = opened->attributes.mq_maxmsg;
    self->maxmsgsize = opened->attributes.mq_msgsize;
    self->device = (uint64_t)opened->status.major << 32 | opened->status.minor;
    self->inode = opened->status.inode;
    self->base.serializer = *serializer;
    self->name = name;
    mqc_gate_open(&self->base.gate);
}

/* Open the queue by its encoded name, or one without a name where that is NULL. Returns 0, an
 * errno, or MQC_UNTRUSTED: then a queue that this call made is gone again. */
static int
open_warily(const char *name, const open_request *request, int wary, opened_queue *opened)
{
    int error = name == NULL ? create_nameless(request, opened) : open_queue(name, request, opened);

    if (error != 0) {
        return error;
    }
    error = look_behind(opened);
    if (error == 0 && wary && is_untrusted(opened)) {
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

/* Open the queue and put all that the constructor was given in its place. */
static int
set_up(Queue *self, PyObject *name, const char *encoded, const open_request *request,
       PyObject *serializer)
{
    opened_queue opened = {.fd = -1};
    mqc_serializer methods;
    PyObject *plain = NULL; /* a plain str, whose repr never fails */
    int error, wary;

    if (name != NULL) {
        plain = PyUnicode_FromObject(name);
        if (plain == NULL) {
            return -1;
        }
    }
    wary = mqc_serializer_prepare(self->base.state, &self->base.manners, &methods, serializer);
    if (wary < 0) {
        Py_XDECREF(plain);
        return -1;
    }
    Py_BEGIN_ALLOW_THREADS
    error = open_warily(encoded, request, wary, &opened);
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

static int
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

static int
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
        read_request(maxsize, maxmsgsize, mode, &request) < 0 ||
        mqc_gate_claim(&self->base.gate) < 0) {
        return -1;
    }
    if (mqc_read_options(&options, &self->base.gate, &self->base.manners) < 0 ||
        set_up_by_name(self, name, &request, options.serializer) < 0) {
        mqc_gate_unclaim(&self->base.gate);
        return -1;
    }
    return 0;
}

PyDoc_STRVAR(Queue_anonymous_doc,
             "anonymous($type, /, maxsize=10, maxmsgsize=1024, *, serializer=None, "
             "on_signal='raise', spin_us=None, trusted=False)\n--\n\n"
             "Create a queue without a name, which lives as long as its handles.\n"
             "\n"
             "Others reach it by fork(2), by its descriptor over a Unix socket (see from_fd), or\n"
             "as an argument of a multiprocessing.Process. Parameters and errors are those of\n"
             "Queue.\n");

static PyObject *
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

/* Take the descriptor over unless something is wrong with it. */
static int
set_up_by_descriptor(Queue *self, int fd, PyObject *serializer)
{
    opened_queue opened = {.fd = fd};
    mqc_serializer methods;
    int error = look_behind(&opened);
    int wary;

    if (error != 0) {
        PyObject *detail = PyLong_FromLong(fd);
        if (detail != NULL) {
            mqc_raise("from_fd", error, NULL, detail);
            Py_DECREF(detail);
        }
        return -1;
    }
    wary = mqc_serializer_prepare(self->base.state, &self->base.manners, &methods, serializer);
    if (wary > 0 && is_untrusted(&opened)) {
        mqc_serializer_clear(&methods);
        raise_untrusted(NULL, &opened);
        wary = -1;
    }
    if (wary < 0) {
        return -1;
    }
    system_fcntl(fd, F_SETFD, FD_CLOEXEC);
    install(self, &opened, &methods, NULL);
    return 0;
}

PyDoc_STRVAR(Queue_from_fd_doc,
             "from_fd($type, /, fd, *, serializer=None, on_signal='raise', spin_us=None, "
             "trusted=False)\n--\n\n"
             "Return a Queue for a descriptor that came from elsewhere: from systemd, over a Unix\n"
             "socket (socket.recv_fds), or from os.dup.\n"
             "\n"
             "The Queue owns the descriptor from then on and closes it, and makes it\n"
             "close-on-exec. Its name is None; it is readable and writable as it was opened.\n"
             "\n"
             ":param fd: a descriptor of a POSIX message queue, 0 or more\n"
             ":raises QueueError: INVALID_DESCRIPTOR if fd is none, NO_PERMISSIONS; then fd\n"
             "    stays the caller's\n"
             ":raises TypeError, ValueError: as for Queue\n");

static PyObject *
Queue_from_fd(PyObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"fd", "serializer", "on_signal", "spin_us", "trusted", NULL};
    mqc_options options = {NULL};
    PyObject *descriptor;
    long fd;
    Queue *self;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$OOOp:from_fd", names, &descriptor,
                                     &options.serializer, &options.on_signal, &options.spin_us,
                                     &options.trusted) ||
        mqc_read_long(descriptor, "fd", 0, INT_MAX, "a descriptor, 0 or more", &fd) < 0) {
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

/* As a file does: what was not closed is closed now, with a warning. */
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

static void
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

static PyObject *
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
    if (self->maxmsgsize == 0) {
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

PyDoc_STRVAR(Queue_close_doc,
             "close($self, /)\n--\n\n"
             "Close this handle; the queue and its messages stay. See mq_close(3).\n"
             "\n"
             "Threads that wait on this object are woken and raise INVALID_DESCRIPTOR. Closing\n"
             "twice does nothing.\n");

static PyObject *
Queue_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Queue *self = (Queue *)op;

    if (mqc_close_gate(&self->base.gate)) {
        int fd = self->fd;
        self->fd = -1;
        close(fd);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(Queue_unlink_doc,
             "unlink($self, /)\n--\n\n"
             "Remove the queue's name; works after close() too. See mq_unlink(3).\n"
             "\n"
             "The kernel drops the queue when its last handle is closed.\n"
             "\n"
             ":raises QueueError: DOES_NOT_EXIST (also for one without a name), NO_PERMISSIONS\n");

static PyObject *
Queue_unlink(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Queue *self = (Queue *)op;

    if (self->name == NULL) {
        mqc_raise("unlink", self->maxmsgsize == 0 ? EBADF : ENOENT, op, NULL);
        return NULL;
    }
    return unlink_name(self->name);
}

PyDoc_STRVAR(Queue_enter_doc, "__enter__($self, /)\n--\n\nReturn the queue itself.\n");

static PyObject *
Queue_enter(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    if (atomic_load(&((mqc_queue *)op)->gate.closed)) {
        mqc_raise("enter a with block", EBADF, op, NULL);
        return NULL;
    }
    return Py_NewRef(op);
}

PyDoc_STRVAR(Queue_exit_doc,
             "__exit__($self, /, *exc_info)\n--\n\nClose the queue; never unlink it.\n");

static PyObject *
Queue_exit(PyObject *op, PyObject *Py_UNUSED(args))
{
    return mqc_end_block(op, "close");
}

/* ***** send and receive ***** */

static int
send_payload(Queue *self, const mqc_payload *payload, unsigned priority, int64_t patience)
{
    outgoing message = {
        .fd = self->fd,
        .data = payload->data,
        .size = (size_t)payload->size,
        .priority = priority,
    };

    if (payload->size > self->maxmsgsize) {
        return EMSGSIZE;
    }
    return mqc_put(&self->base, (mqc_work){send_attempt, &message, payload->size > MQC_LARGE},
                   patience);
}

static int
read_priority(PyObject *priority, long *level)
{
    if (priority == NULL) {
        return 0;
    }
    return mqc_read_long(priority, "priority", 0, MOST_PRIORITY, PRIORITY_RANGE, level);
}

static PyObject *
put_item(Queue *self, PyObject *item, int64_t patience, PyObject *priority, PyObject *protocol)
{
    mqc_payload payload;
    size_t size;
    int error;
    long level = 0;

    if (read_priority(priority, &level) < 0) {
        return NULL;
    }
    if (atomic_load_explicit(&self->base.gate.closed, memory_order_relaxed)) {
        mqc_raise("put", EBADF, (PyObject *)self, NULL);
        return NULL;
    }
    if (mqc_encode(self->base.state, &self->base.serializer, item, protocol, &payload) < 0) {
        return NULL;
    }
    size = (size_t)payload.size;
    error = send_payload(self, &payload, (unsigned)level, patience);
    mqc_payload_release(&payload);
    if (error == 0) {
        Py_RETURN_NONE;
    }
    mqc_raise_put(self->base.state, (PyObject *)self, error, size);
    return NULL;
}

static int
send_one(void *context, const mqc_payload *payload, int may_sleep)
{
    outgoing *message = context;

    message->data = payload->data;
    message->size = (size_t)payload->size;
    return send_attempt(message, may_sleep);
}

/* Send what is in the outbox. Returns what mqc_move returns. */
static int
send_outbox(Queue *self, mqc_outbox *outbox, unsigned priority, int64_t patience)
{
    outgoing message = {.fd = self->fd, .priority = priority};
    size_t longest = mqc_outbox_longest(outbox);
    int large = mqc_is_large_batch(outbox->count, longest);
    int error;

    if (longest > (size_t)self->maxmsgsize) {
        return EMSGSIZE;
    }
    outbox->send = send_one;
    outbox->context = &message;
    outbox->stretch = patience == 0 ? 0 : MQC_STRETCH;
    error = mqc_put(&self->base, (mqc_work){mqc_send_batch, outbox, large}, patience);
    outbox->context = NULL;
    return error;
}

static PyObject *
put_items(Queue *self, PyObject *items, int64_t patience, PyObject *priority, PyObject *protocol)
{
    const mqc_state *state = self->base.state;
    mqc_outbox outbox = {NULL};
    PyObject *result = NULL;
    long level = 0;

    if (read_priority(priority, &level) < 0) {
        return NULL;
    }
    if (atomic_load(&self->base.gate.closed)) {
        return mqc_outbox_result(state, (PyObject *)self, &outbox, EBADF);
    }
    if (mqc_outbox_fill(state, &self->base.serializer, items, protocol, &outbox) == 0) {
        int error = send_outbox(self, &outbox, (unsigned)level, patience);
        result = mqc_outbox_result(state, (PyObject *)self, &outbox, error);
    }
    mqc_outbox_clear(&outbox);
    return result;
}

/* What is learnt of a message besides its bytes, or where there is none. */
typedef struct {
    unsigned priority;
    int refusal; /* see mqc_get */
} origin;

/* The bytes of one message. Never inlined: the buffer must be off the stack while the
 * serializer runs, which may get from a queue itself. */
static Py_NO_INLINE PyObject *
receive_bytes(Queue *self, int64_t patience, origin *from, mqc_spare **spare)
{
    char scratch[MQC_SCRATCH];
    incoming message = {.fd = self->fd, .buffer = scratch, .capacity = (size_t)self->maxmsgsize};
    PyObject *bytes = NULL;

    if (message.capacity > sizeof(scratch)) {
        message.buffer = PyMem_Malloc(message.capacity);
        if (message.buffer == NULL) {
            return PyErr_NoMemory();
        }
    }
    if (mqc_get(&self->base, (mqc_work){receive_attempt, &message, message.capacity > MQC_LARGE},
                patience, "get", &from->refusal) == 0) {
        bytes = mqc_bytes(message.buffer, (size_t)message.size, spare);
        from->priority = message.priority;
    }
    if (message.buffer != scratch) {
        PyMem_Free(message.buffer);
    }
    return bytes;
}

static inline PyObject *
get_decoded(Queue *self, int64_t patience, origin *from, mqc_spare **spare)
{
    PyObject *bytes = receive_bytes(self, patience, from, spare);

    return mqc_decode(self->base.state, &self->base.serializer, (PyObject *)self, bytes, "priority",
                      (long)from->priority, spare);
}

static PyObject *
get_item(Queue *self, int64_t patience, origin *from)
{
    mqc_spare *spare = mqc_spare_take(&self->base.spare, (size_t)self->maxmsgsize);
    PyObject *item;

    if (spare == NULL) {
        return NULL;
    }
    item = get_decoded(self, patience, from, &spare);
    mqc_spare_keep(&self->base.spare, spare);
    return item;
}

static PyObject *
receive_item(Queue *self, int64_t patience)
{
    mqc_spare *spare = mqc_spare_take(&self->base.spare, (size_t)self->maxmsgsize);
    origin from = {0};
    PyObject *item, *message;

    if (spare == NULL) {
        return NULL;
    }
    item = get_decoded(self, patience, &from, &spare);
    message = mqc_message(self->base.state, item, (long)from.priority, &spare);
    mqc_spare_keep(&self->base.spare, spare);
    return message;
}

static int
receive_one(void *context, mqc_slot *slot, size_t capacity, int may_sleep)
{
    const Queue *self = context;
    incoming message = {.fd = self->fd, .buffer = slot->text, .capacity = capacity};
    int error = receive_attempt(&message, may_sleep);

    if (error == 0) {
        slot->size = (size_t)message.size;
        slot->place = (long)message.priority;
    }
    return error;
}

static PyObject *
get_items(Queue *self, size_t most, int64_t patience)
{
    size_t held = (size_t)self->maxsize;
    mqc_inbox inbox = {
        .receive = receive_one,
        .context = self,
        .capacity = (size_t)self->maxmsgsize,
        /* Never more than the queue holds: writers that keep up would keep it from ending. */
        .most = most > 0 && most < held ? most : held,
        .spare = mqc_spare_swap(&self->base.spare, NULL),
    };
    int large = mqc_is_large_batch(inbox.most, inbox.capacity);
    PyObject *items = NULL;
    int refusal;

    if (mqc_get(&self->base, (mqc_work){mqc_receive_batch, &inbox, large}, patience, "get",
                &refusal) == 0) {
        items = mqc_inbox_decode(self->base.state, &self->base.serializer, (PyObject *)self, &inbox,
                                 "priority");
    }
    free(inbox.memory);
    mqc_spare_keep(&self->base.spare, inbox.spare);
    return items;
}

/* Receive straight into the buffer; it must hold the longest message, as a shorter one would
 * have the kernel refuse even those that fit. */
static PyObject *
get_into_view(Queue *self, const Py_buffer *view, int64_t patience)
{
    incoming message = {.fd = self->fd, .buffer = view->buf, .capacity = (size_t)view->len};
    PyObject *result = NULL;
    mqc_spare *spare;
    int refusal;

    if (view->len < self->maxmsgsize) {
        PyObject *detail = PyLong_FromSsize_t(view->len);
        if (detail != NULL) {
            mqc_raise("get_into", EMSGSIZE, (PyObject *)self, detail);
            Py_DECREF(detail);
        }
        return NULL;
    }
    spare = mqc_spare_take(&self->base.spare, 0);
    if (spare == NULL) {
        return NULL;
    }
    if (mqc_get(&self->base, (mqc_work){receive_attempt, &message, self->maxmsgsize > MQC_LARGE},
                patience, "get", &refusal) == 0) {
        result =
            mqc_size_and_place(&self->base, (size_t)message.size, (long)message.priority, &spare);
    }
    mqc_spare_keep(&self->base.spare, spare);
    return result;
}

static PyObject *
get_into(Queue *self, PyObject *buffer, int64_t patience)
{
    PyObject *result;
    Py_buffer view;

    if (PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE) < 0) {
        return NULL;
    }
    result = get_into_view(self, &view, patience);
    PyBuffer_Release(&view);
    return result;
}

PyDoc_STRVAR(Queue_put_doc,
             "put($self, /, item, block=True, timeout=None, priority=0, pickle_protocol=1)\n"
             "--\n\n"
             "Put item into the queue; see mq_send(3).\n"
             "\n"
             ":param item: what the serializer takes\n"
             ":param block: False to raise queue.Full at once where there is no room\n"
             ":param timeout: seconds to wait, None for ever; ignored if block is false\n"
             ":param priority: 0 to 32767; the highest is received first\n"
             ":param pickle_protocol: for PickleSerializer only\n"
             ":raises queue.Full: there was no room in time\n"
             ":raises QueueError: TOO_BIG_MESSAGE, INVALID_VALUE, INTERRUPTED,\n"
             "    INVALID_DESCRIPTOR, NO_SYSTEM_RESOURCES, ERROR (no signal is free)\n"
             ":raises ValueError, OverflowError: a timeout that is negative, NaN or too large\n"
             "\n"
             "What the serializer raises passes through, and nothing is sent.\n");

static PyObject *
Queue_put(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const mqc_parameters parameters = {
        "put", 1, 5, 5, {MQC_ITEM, MQC_BLOCK, MQC_TIMEOUT, MQC_PRIORITY, MQC_PROTOCOL}};
    Queue *self = (Queue *)op;
    PyObject *values[5];
    int64_t patience;

    if (mqc_is_plain(&parameters, nargs, kwnames)) {
        return put_item(self, args[0], MQC_FOREVER, NULL, NULL);
    }
    if (mqc_parse(self->base.state, &parameters, args, nargs, kwnames, values) < 0 ||
        mqc_read_patience(values[1], values[2], &patience) < 0) {
        return NULL;
    }
    return put_item(self, values[0], patience, values[3], values[4]);
}

PyDoc_STRVAR(Queue_put_nowait_doc,
             "put_nowait($self, /, item, priority=0, pickle_protocol=1)\n--\n\n"
             "Put item into the queue, or raise queue.Full: put(item, block=False).\n");

static PyObject *
Queue_put_nowait(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const mqc_parameters parameters = {
        "put_nowait", 1, 3, 3, {MQC_ITEM, MQC_PRIORITY, MQC_PROTOCOL}};
    Queue *self = (Queue *)op;
    PyObject *values[3];

    if (mqc_parse(self->base.state, &parameters, args, nargs, kwnames, values) < 0) {
        return NULL;
    }
    return put_item(self, values[0], 0, values[1], values[2]);
}

PyDoc_STRVAR(Queue_get_doc,
             "get($self, /, block=True, timeout=None)\n--\n\n"
             "Remove and return the oldest item of the highest priority; see mq_receive(3).\n"
             "\n"
             ":param block: False to raise queue.Empty at once where there is none\n"
             ":param timeout: seconds to wait, None for ever; ignored if block is false\n"
             ":raises queue.Empty: there was none in time\n"
             ":raises DecodeError: the serializer refused the message, which .data holds\n"
             ":raises QueueError: INTERRUPTED, INVALID_DESCRIPTOR, NO_SYSTEM_RESOURCES, ERROR\n"
             "    (no signal is free)\n"
             ":raises ValueError, OverflowError: a timeout that is negative, NaN or too large\n");

static PyObject *
Queue_get(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const mqc_parameters parameters = {"get", 0, 2, 2, {MQC_BLOCK, MQC_TIMEOUT}};
    Queue *self = (Queue *)op;
    PyObject *values[2];
    int64_t patience;
    origin from = {0};

    if (mqc_is_plain(&parameters, nargs, kwnames)) {
        return get_item(self, MQC_FOREVER, &from);
    }
    if (mqc_parse(self->base.state, &parameters, args, nargs, kwnames, values) < 0 ||
        mqc_read_patience(values[0], values[1], &patience) < 0) {
        return NULL;
    }
    return get_item(self, patience, &from);
}

PyDoc_STRVAR(Queue_get_nowait_doc,
             "get_nowait($self, /)\n--\n\n"
             "Remove and return an item, or raise queue.Empty: get(block=False).\n");

static PyObject *
Queue_get_nowait(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    origin from = {0};

    return get_item((Queue *)op, 0, &from);
}

PyDoc_STRVAR(Queue_receive_doc,
             "receive($self, /, block=True, timeout=None)\n--\n\n"
             "As get(), but return Message(item, priority).\n");

static PyObject *
Queue_receive(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const mqc_parameters parameters = {"receive", 0, 2, 2, {MQC_BLOCK, MQC_TIMEOUT}};
    Queue *self = (Queue *)op;
    PyObject *values[2];
    int64_t patience;

    if (mqc_parse(self->base.state, &parameters, args, nargs, kwnames, values) < 0 ||
        mqc_read_patience(values[0], values[1], &patience) < 0) {
        return NULL;
    }
    return receive_item(self, patience);
}

PyDoc_STRVAR(Queue_put_many_doc,
             "put_many($self, /, items, block=True, timeout=None, priority=0, "
             "pickle_protocol=1)\n--\n\n"
             "Put the items in their order, and return how many were put.\n"
             "\n"
             "All are serialized, and their sizes looked at, before the first is sent: one that\n"
             "cannot be changes nothing. Where the time runs out, fewer are put than were given.\n"
             "\n"
             ":param items: an iterable of items\n"
             ":param block: False to put what there is room for at once\n"
             ":param timeout: seconds for all of them, None for ever; ignored if block is false\n"
             ":param priority: 0 to 32767, the same for all\n"
             ":param pickle_protocol: for PickleSerializer only\n"
             ":raises queue.Full: there was no room for any\n"
             ":raises QueueError: as put()\n"
             ":raises ValueError, OverflowError: a timeout that is negative, NaN or too large\n"
             "\n"
             "What is raised once the items are looked at says in its attribute count how many\n"
             "were put: also what the serializer or the handler of a signal raised.\n");

static PyObject *
Queue_put_many(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const mqc_parameters parameters = {
        "put_many", 1, 5, 5, {MQC_ITEMS, MQC_BLOCK, MQC_TIMEOUT, MQC_PRIORITY, MQC_PROTOCOL}};
    Queue *self = (Queue *)op;
    PyObject *values[5];
    int64_t patience;

    if (mqc_parse(self->base.state, &parameters, args, nargs, kwnames, values) < 0 ||
        mqc_read_patience(values[1], values[2], &patience) < 0) {
        return NULL;
    }
    return put_items(self, values[0], patience, values[3], values[4]);
}

PyDoc_STRVAR(Queue_get_many_doc,
             "get_many($self, /, max_items=None, block=True, timeout=None)\n--\n\n"
             "Wait for a message, take it and those behind it that are there, and return the list\n"
             "of their items.\n"
             "\n"
             ":param max_items: 1 or more; None for maxsize, and more are never taken at once\n"
             ":param block: False to raise queue.Empty at once where there is none\n"
             ":param timeout: seconds to wait for the first, None for ever; ignored if block is\n"
             "    false\n"
             ":raises queue.Empty: there was none in time\n"
             ":raises DecodeError: the serializer refused messages; items are those that it took,\n"
             "    failures a DecodeError for each that it refused\n"
             ":raises QueueError: as get()\n"
             ":raises ValueError, OverflowError: a timeout that is negative, NaN or too large\n");

static PyObject *
Queue_get_many(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const mqc_parameters parameters = {
        "get_many", 0, 3, 3, {MQC_MAX_ITEMS, MQC_BLOCK, MQC_TIMEOUT}};
    Queue *self = (Queue *)op;
    PyObject *values[3];
    int64_t patience;
    long most = 0;

    if (mqc_parse(self->base.state, &parameters, args, nargs, kwnames, values) < 0 ||
        mqc_read_most(values[0], &most) < 0 ||
        mqc_read_patience(values[1], values[2], &patience) < 0) {
        return NULL;
    }
    return get_items(self, (size_t)most, patience);
}

PyDoc_STRVAR(Queue_get_into_doc,
             "get_into($self, /, buffer, block=True, timeout=None)\n--\n\n"
             "Receive a message's bytes into a buffer, past the serializer and without a copy,\n"
             "and return (size, priority).\n"
             "\n"
             ":param buffer: a writable, contiguous buffer of maxmsgsize bytes or more, such as a\n"
             "    bytearray; what lies behind the message stays as it was\n"
             ":param block: False to raise queue.Empty at once where there is none\n"
             ":param timeout: seconds to wait, None for ever; ignored if block is false\n"
             ":raises queue.Empty: there was none in time\n"
             ":raises QueueError: TOO_BIG_MESSAGE if the buffer is shorter than maxmsgsize, and\n"
             "    then nothing is received; else as get()\n"
             ":raises TypeError, BufferError: no such buffer\n"
             ":raises ValueError, OverflowError: a timeout that is negative, NaN or too large\n");

static PyObject *
Queue_get_into(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const mqc_parameters parameters = {
        "get_into", 1, 3, 3, {MQC_BUFFER, MQC_BLOCK, MQC_TIMEOUT}};
    Queue *self = (Queue *)op;
    PyObject *values[3];
    int64_t patience;

    if (mqc_is_plain(&parameters, nargs, kwnames)) {
        return get_into(self, args[0], MQC_FOREVER);
    }
    if (mqc_parse(self->base.state, &parameters, args, nargs, kwnames, values) < 0 ||
        mqc_read_patience(values[1], values[2], &patience) < 0) {
        return NULL;
    }
    return get_into(self, values[0], patience);
}

/* The next item of an iteration, which ends when the queue is closed. */
static PyObject *
Queue_next(PyObject *op)
{
    Queue *self = (Queue *)op;
    origin from = {0};
    PyObject *item;

    if (self->maxmsgsize > 0 && atomic_load(&self->base.gate.closed)) {
        return NULL;
    }
    item = get_item(self, MQC_FOREVER, &from);
    /* A handler of a signal may have closed the queue, and raised the EBADF of something else. */
    if (item == NULL && from.refusal == EBADF && self->maxmsgsize > 0 &&
        atomic_load(&self->base.gate.closed)) {
        mqc_end_iteration();
    }
    return item;
}

/* ***** attributes ***** */

/* Ask the kernel; -1 with an exception if it does not say. */
static int
read_attributes(Queue *self, struct mq_attr *attributes)
{
    int error = mqc_hold(&self->base.gate);

    if (error == 0) {
        error = system_getattr(self->fd, attributes);
        mqc_unhold(&self->base.gate);
    }
    if (error != 0) {
        mqc_raise("get the attributes", error, (PyObject *)self, NULL);
        return -1;
    }
    return 0;
}

PyDoc_STRVAR(Queue_qattr_doc,
             "qattr($self, /)\n--\n\n"
             "Return {'size': ..., 'max_size': ..., 'max_msgbytes': ...}; see mq_getattr(3).\n"
             "\n"
             "size counts the messages in the queue, max_size those it can hold, and\n"
             "max_msgbytes is the longest message in bytes.\n"
             "\n"
             ":raises QueueError: INVALID_DESCRIPTOR\n");

static PyObject *
Queue_qattr(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct mq_attr attributes;

    if (read_attributes((Queue *)op, &attributes) < 0) {
        return NULL;
    }
    return Py_BuildValue("{slslsl}", "size", (long)attributes.mq_curmsgs, "max_size",
                         (long)attributes.mq_maxmsg, "max_msgbytes", (long)attributes.mq_msgsize);
}

PyDoc_STRVAR(Queue_qsize_doc,
             "qsize($self, /)\n--\n\n"
             "Return the approximate number of messages in the queue.\n"
             "\n"
             "qsize() > 0 does not mean that get() will not block, nor does\n"
             "qsize() < maxsize mean that put() will not: other processes are at work.\n"
             "\n"
             ":raises QueueError: INVALID_DESCRIPTOR\n");

static PyObject *
Queue_qsize(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct mq_attr attributes;

    if (read_attributes((Queue *)op, &attributes) < 0) {
        return NULL;
    }
    return PyLong_FromLong(attributes.mq_curmsgs);
}

PyDoc_STRVAR(Queue_empty_doc,
             "empty($self, /)\n--\n\n"
             "Return True if the queue held no message a moment ago.\n");

static PyObject *
Queue_empty(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct mq_attr attributes;

    if (read_attributes((Queue *)op, &attributes) < 0) {
        return NULL;
    }
    return PyBool_FromLong(attributes.mq_curmsgs == 0);
}

PyDoc_STRVAR(Queue_full_doc,
             "full($self, /)\n--\n\n"
             "Return True if the queue had no room a moment ago.\n");

static PyObject *
Queue_full(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct mq_attr attributes;

    if (read_attributes((Queue *)op, &attributes) < 0) {
        return NULL;
    }
    return PyBool_FromLong(attributes.mq_curmsgs >= attributes.mq_maxmsg);
}

PyDoc_STRVAR(Queue_fileno_doc,
             "fileno($self, /)\n--\n\n"
             "Return the descriptor, for select, selectors and event loops; -1 once closed.\n"
             "\n"
             "It is readable while the queue holds a message and writable while it has room.\n");

static PyObject *
Queue_fileno(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLong(((Queue *)op)->fd);
}

static PyObject *
Queue_get_name(PyObject *op, void *Py_UNUSED(closure))
{
    PyObject *name = ((Queue *)op)->name;

    return Py_NewRef(name == NULL ? Py_None : name);
}

static PyObject *
Queue_get_maxsize(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(((Queue *)op)->maxsize);
}

static PyObject *
Queue_get_maxmsgsize(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(((Queue *)op)->maxmsgsize);
}

static PyObject *
Queue_get_readable(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((Queue *)op)->access != O_WRONLY);
}

static PyObject *
Queue_get_writable(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((Queue *)op)->access != O_RDONLY);
}

/* Two objects are equal if they are handles of one queue of the kernel. */
static PyObject *
Queue_richcompare(PyObject *op, PyObject *other, int operation)
{
    const Queue *self = (Queue *)op, *that = (Queue *)other;
    int equal = op == other;

    if ((operation != Py_EQ && operation != Py_NE) ||
        !PyObject_TypeCheck(other, ((module_state *)self->base.state)->Queue)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    if (self->inode != 0 && that->inode != 0) { /* FreeBSD does not tell it */
        equal = self->inode == that->inode && self->device == that->device;
    }
    return PyBool_FromLong(operation == Py_EQ ? equal : !equal);
}

static Py_hash_t
Queue_hash(PyObject *op)
{
    const Queue *self = (Queue *)op;
    hashfunc by_identity = PyType_GetSlot(&PyBaseObject_Type, Py_tp_hash);

    return self->inode != 0 ? (Py_hash_t)(self->inode & LONG_MAX) : by_identity(op);
}

/* ***** looking ***** */

/* All that the kernel tells of a queue. */
typedef struct {
    struct mq_attr attributes;
    struct system_status status;
    char text[256]; /* "QSIZE:... NOTIFY:... SIGNO:... NOTIFY_PID:...", see mq_overview(7) */
    ssize_t length; /* of the text, or -1 where the descriptor does not permit reading */
} queue_look;

/* The text is read last, as reading it sets the time of access. */
static int
look_at(int fd, queue_look *look)
{
    int error = system_getattr(fd, &look->attributes);

    if (error == 0) {
        error = system_status(fd, &look->status);
    }
#ifndef __linux__ /* there is no such text */
    look->length = -1;
    return error;
#endif
    if (error == 0) {
        look->length = pread(fd, look->text, sizeof(look->text), 0);
        if (look->length < 0 && errno != EBADF) { /* EBADF: opened for writing only */
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

/* The arguments of _stat.queue_stat, in the order in which it takes them. */
static PyObject *
look_result(const queue_look *look)
{
    const struct mq_attr *attributes = &look->attributes;
    const struct system_status *status = &look->status;

    return Py_BuildValue(
        "(lllIIIIdddKz#)", (long)attributes->mq_curmsgs, (long)attributes->mq_maxmsg,
        (long)attributes->mq_msgsize, (unsigned)status->uid, (unsigned)status->gid,
        (unsigned)status->mode & 07777, (unsigned)status->links, seconds_of(&status->modification),
        seconds_of(&status->access), seconds_of(&status->change), (unsigned long long)status->inode,
        look->length < 0 ? NULL : look->text,
        look->length < 0 ? (Py_ssize_t)0 : (Py_ssize_t)look->length);
}

PyDoc_STRVAR(Queue_stat_doc,
             "stat($self, /)\n--\n\n"
             "Return all that the kernel tells of the queue, a QueueStat.\n"
             "\n"
             "Beside the messages and sizes of qattr(): its owner, group and mode, the times,\n"
             "the bytes that wait, who asked to be notified, and whether it still has a name.\n"
             "What only a reader may see is None where the queue was opened write-only. See\n"
             "mq_overview(7).\n"
             "\n"
             ":raises QueueError: INVALID_DESCRIPTOR\n");

static PyObject *
Queue_stat(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Queue *self = (Queue *)op;
    PyObject *make, *arguments, *result = NULL;
    queue_look look;
    int error = mqc_hold(&self->base.gate);

    if (error == 0) {
        error = look_at(self->fd, &look);
        mqc_unhold(&self->base.gate);
    }
    if (error != 0) {
        mqc_raise("stat", error, op, NULL);
        return NULL;
    }
    make = mqc_import("posixmq._stat", "queue_stat");
    arguments = look_result(&look);
    if (make != NULL && arguments != NULL) {
        result = PyObject_Call(make, arguments, NULL);
    }
    Py_XDECREF(make);
    Py_XDECREF(arguments);
    return result;
}

/* ***** notification ***** */

static int
set_notification(Queue *self, const struct sigevent *event)
{
    int error = mqc_hold(&self->base.gate);

    if (error == 0) {
        error = system_notify(self->fd, event);
        mqc_unhold(&self->base.gate);
    }
    if (error != 0) {
        mqc_raise("notify", error, (PyObject *)self, NULL);
        return -1;
    }
    return 0;
}

/* Call a function of _notify.py with one argument. */
static PyObject *
call_listener(const char *function, PyObject *argument)
{
    PyObject *listener = mqc_import("posixmq._notify", function);
    PyObject *result = NULL;

    if (listener != NULL) {
        result = PyObject_CallFunctionObjArgs(listener, argument, NULL);
        Py_DECREF(listener);
    }
    return result;
}

/* The kernel's part of SIGEV_THREAD, which it leaves to the C library: it writes the cookie to
 * a netlink socket, its last byte saying whether a message came or the registration went. */
static int
notify_callback(Queue *self, PyObject *callback)
{
    PyObject *registered = call_listener("expect", callback);
    PyObject *type, *value, *traceback, *cookie;
    struct sigevent event = {.sigev_notify = SIGEV_THREAD};
    int result = -1;

    if (registered == NULL) {
        return -1;
    }
    if (PyArg_ParseTuple(registered, "iO!", &event.sigev_signo, &PyBytes_Type, &cookie)) {
        event.sigev_value.sival_ptr = PyBytes_AsString(cookie);
        result = set_notification(self, &event);
        if (result < 0) {
            PyErr_Fetch(&type, &value, &traceback);
            Py_XDECREF(call_listener("forget", cookie));
            PyErr_Restore(type, value, traceback);
        }
    }
    Py_DECREF(registered);
    return result;
}

static int
notify_signal(Queue *self, PyObject *number)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL};
    long signal_number;

    if (mqc_read_long(number, "signal", 1, SIGRTMAX, "1 to SIGRTMAX", &signal_number) < 0) {
        return -1;
    }
    event.sigev_signo = (int)signal_number;
    return set_notification(self, &event);
}

PyDoc_STRVAR(Queue_notify_doc,
             "notify($self, target, /)\n--\n\n"
             "Ask to be told once when a message arrives in the empty queue; see mq_notify(3).\n"
             "\n"
             ":param target: a callable, which is run without arguments in a thread of its own;\n"
             "    or a signal number, 1 to SIGRTMAX, sent to this process; or None to ask no\n"
             "    longer\n"
             ":raises QueueError: ERROR (os_errno EBUSY) where a process has asked already, of\n"
             "    which there can be one to a queue; INVALID_VALUE, INVALID_DESCRIPTOR,\n"
             "    NO_SYSTEM_RESOURCES\n"
             ":raises TypeError: target is none of these\n"
             "\n"
             "The kernel tells once, and only when a message finds the queue empty and nobody\n"
             "asleep in get(). Therefore a callback (or what a signal leads to) asks again\n"
             "first and then takes all there is; what comes later is told of anew::\n"
             "\n"
             "    def take_all():\n"
             "        q.notify(take_all)\n"
             "        try:\n"
             "            while True:\n"
             "                handle(q.get_nowait())\n"
             "        except queue.Empty:\n"
             "            pass\n"
             "\n"
             "    take_all()  # asks for the first time, and takes what is there already\n"
             "\n"
             "Two such threads may be at work at once. What a callback raises goes to\n"
             "threading.excepthook. When this process closes any of its handles on the queue,\n"
             "whichever it asked by, it is told no more; the child of a fork has asked for\n"
             "nothing.\n");

static PyObject *
Queue_notify(PyObject *op, PyObject *target)
{
    Queue *self = (Queue *)op;
    int result;

    if (target == Py_None) {
        result = set_notification(self, NULL);
    }
    else if (PyIndex_Check(target) && !PyBool_Check(target)) {
        result = notify_signal(self, target);
    }
    else if (PyCallable_Check(target)) {
        result = notify_callback(self, target);
    }
    else {
        PyErr_Format(PyExc_TypeError, "notify() takes a callable, a signal number or None, not %R",
                     (PyObject *)Py_TYPE(target));
        return NULL;
    }
    if (result < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ***** pickling ***** */

PyDoc_STRVAR(Queue_reduce_doc,
             "__reduce__($self, /)\n--\n\n"
             "Pickle the queue's name, by which it is opened anew.\n"
             "\n"
             "A queue without a name goes to a process that multiprocessing is starting, and\n"
             "nowhere else.\n"
             "\n"
             ":raises QueueError: INVALID_DESCRIPTOR\n"
             ":raises RuntimeError: the queue has no name, and no process is being started\n");

static PyObject *
Queue_reduce(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return mqc_queue_reduce(op, "posixmq._pickling", "reduce");
}

/* ***** type spec ***** */

#define METHOD(name, flags)                                                                        \
    {#name, (PyCFunction)(void (*)(void))Queue_##name, flags, Queue_##name##_doc}

static PyMethodDef Queue_methods[] = {
    METHOD(from_fd, METH_VARARGS | METH_KEYWORDS | METH_CLASS),
    METHOD(anonymous, METH_VARARGS | METH_KEYWORDS | METH_CLASS),
    METHOD(put, METH_FASTCALL | METH_KEYWORDS),
    METHOD(put_nowait, METH_FASTCALL | METH_KEYWORDS),
    METHOD(get, METH_FASTCALL | METH_KEYWORDS),
    METHOD(get_nowait, METH_NOARGS),
    METHOD(receive, METH_FASTCALL | METH_KEYWORDS),
    METHOD(put_many, METH_FASTCALL | METH_KEYWORDS),
    METHOD(get_many, METH_FASTCALL | METH_KEYWORDS),
    METHOD(get_into, METH_FASTCALL | METH_KEYWORDS),
    METHOD(qattr, METH_NOARGS),
    METHOD(qsize, METH_NOARGS),
    METHOD(empty, METH_NOARGS),
    METHOD(full, METH_NOARGS),
    METHOD(fileno, METH_NOARGS),
    METHOD(stat, METH_NOARGS),
    METHOD(notify, METH_O),
    METHOD(close, METH_NOARGS),
    METHOD(unlink, METH_NOARGS),
    {"__reduce__", Queue_reduce, METH_NOARGS, Queue_reduce_doc},
    {"__enter__", Queue_enter, METH_NOARGS, Queue_enter_doc},
    {"__exit__", Queue_exit, METH_VARARGS, Queue_exit_doc},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS,
     "Queue[T] is a queue whose items are of type T."},
    {NULL},
};

static PyGetSetDef Queue_getset[] = {
    {"name", Queue_get_name, NULL, "The queue's name; None if it has none.", NULL},
    {"serializer", mqc_get_serializer, NULL, "What turns items into messages and back.", NULL},
    {"maxsize", Queue_get_maxsize, NULL, "How many messages the queue can hold.", NULL},
    {"maxmsgsize", Queue_get_maxmsgsize, NULL, "The longest message in bytes.", NULL},
    {"readable", Queue_get_readable, NULL, "Whether it was opened for getting.", NULL},
    {"writable", Queue_get_writable, NULL, "Whether it was opened for putting.", NULL},
    {"on_signal", mqc_get_on_signal, NULL,
     "What a signal does to a waiting call: 'raise' or 'retry'.", NULL},
    {"spin_us", mqc_get_spin_us, NULL,
     "For how many microseconds a call tries again before it sleeps.", NULL},
    {"trusted", mqc_get_trusted, NULL, "Whether others' pickles are let in.", NULL},
    {"closed", mqc_get_closed, NULL, "True once close() was called.", NULL},
    {NULL},
};

static PyMemberDef Queue_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Queue, weakrefs), READONLY, NULL},
    {NULL},
};

static PyType_Slot Queue_slots[] = {
    {Py_tp_doc, (void *)Queue_doc},
    {Py_tp_new, Queue_new},
    {Py_tp_init, Queue_init},
    {Py_tp_dealloc, Queue_dealloc},
    {Py_tp_traverse, mqc_queue_traverse},
    {Py_tp_clear, mqc_queue_clear},
    {Py_tp_repr, Queue_repr},
    {Py_tp_hash, Queue_hash},
    {Py_tp_richcompare, Queue_richcompare},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, Queue_next},
    {Py_tp_methods, Queue_methods},
    {Py_tp_getset, Queue_getset},
    {Py_tp_members, Queue_members},
    {0, NULL},
};

static PyType_Spec Queue_spec = {
    .name = "posixmq.Queue",
    .basicsize = sizeof(Queue),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = Queue_slots,
};

/* ***** module functions ***** */

PyDoc_STRVAR(posixmq_unlink_doc,
             "unlink($module, /, name)\n--\n\n"
             "Remove a message queue's name; see mq_unlink(3).\n"
             "\n"
             "The kernel drops the queue when its last handle is closed.\n"
             "\n"
             ":param name: the name that the queue was opened with\n"
             ":raises QueueError: DOES_NOT_EXIST, NO_PERMISSIONS, INVALID_VALUE\n");

static PyObject *
posixmq_unlink(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const mqc_parameters parameters = {"unlink", 1, 1, 1, {MQC_NAME}};
    module_state *state = PyModule_GetState(module);
    PyObject *values[1];

    if (mqc_parse(&state->common, &parameters, args, nargs, kwnames, values) < 0) {
        return NULL;
    }
    return unlink_name(values[0]);
}

PyDoc_STRVAR(posixmq_look_doc,
             "look($module, descriptor, /)\n--\n\n"
             "Return the arguments of _stat.queue_stat for an open queue's descriptor.\n"
             "\n"
             ":raises OSError: with EBADF if it is no queue's\n");

static PyObject *
posixmq_look(PyObject *Py_UNUSED(module), PyObject *descriptor)
{
    queue_look look;
    long fd;

    if (mqc_read_long(descriptor, "descriptor", 0, INT_MAX, "0 or more", &fd) < 0) {
        return NULL;
    }
    errno = look_at((int)fd, &look);
    if (errno != 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return look_result(&look);
}

PyDoc_STRVAR(posixmq_mount_doc,
             "mount($module, /)\n--\n\n"
             "Return a descriptor of a folder that lists the queues; nobody else sees the mount.\n"
             "\n"
             ":raises OSError: with EPERM unless the process has CAP_SYS_ADMIN\n");

static PyObject *
posixmq_mount(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    int folder = -1;
    int error;

    Py_BEGIN_ALLOW_THREADS
    error = system_mount(&folder);
    Py_END_ALLOW_THREADS
    if (error != 0) {
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return PyLong_FromLong(folder);
}

PyDoc_STRVAR(posixmq_device_doc,
             "device($module, name, /)\n--\n\n"
             "Return major and minor number of the device of this IPC namespace's queues.\n"
             "\n"
             ":param name: a queue that this user may read, or None to create one for a moment\n"
             ":raises OSError: what mq_open(2) says, QueueError where it cannot be a name\n");

static PyObject *
posixmq_device(PyObject *Py_UNUSED(module), PyObject *name)
{
    PyObject *encoded = name == Py_None ? NULL : encode_name(name);
    struct system_status status;
    int error;

    if (encoded == NULL && name != Py_None) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    error = find_status(encoded == NULL ? NULL : PyBytes_AsString(encoded), &status);
    Py_END_ALLOW_THREADS
    Py_XDECREF(encoded);
    if (error != 0) {
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return Py_BuildValue("(II)", (unsigned)status.major, (unsigned)status.minor);
}

static PyMethodDef posixmq_functions[] = {
    {"unlink", (PyCFunction)(void (*)(void))posixmq_unlink, METH_FASTCALL | METH_KEYWORDS,
     posixmq_unlink_doc},
    {"look", posixmq_look, METH_O, posixmq_look_doc},
    {"mount", posixmq_mount, METH_NOARGS, posixmq_mount_doc},
    {"device", posixmq_device, METH_O, posixmq_device_doc},
    {NULL},
};

/* ***** exec, traverse, clear ***** */

static int
posixmq_exec(PyObject *module)
{
    module_state *state = PyModule_GetState(module);

    if (mqc_state_init(&state->common) < 0) {
        return -1;
    }
#ifdef MQC_POLLS /* for the tests, which look where a call waits */
    if (PyModule_AddIntConstant(module, "_polls", 1) < 0) {
        return -1;
    }
#endif
    state->Queue = (PyTypeObject *)PyType_FromModuleAndSpec(module, &Queue_spec, NULL);
    if (state->Queue == NULL) {
        return -1;
    }
    return PyModule_AddType(module, state->Queue);
}

static int
posixmq_traverse(PyObject *module, visitproc visit, void *arg)
{
    module_state *state = PyModule_GetState(module);

    Py_VISIT(state->Queue);
    return mqc_state_traverse(&state->common, visit, arg);
}

static int
posixmq_clear(PyObject *module)
{
    module_state *state = PyModule_GetState(module);

    Py_CLEAR(state->Queue);
    mqc_state_clear(&state->common);
    return 0;
}

static void
posixmq_free(void *module)
{
    posixmq_clear(module);
}

/* ***** definition ***** */

MQC_MODULE_SLOTS(posixmq_slots, posixmq_exec);

static struct PyModuleDef posixmq_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "posixmq._posixmq",
    .m_doc = "POSIX message queues; use them through the package posixmq.",
    .m_size = sizeof(module_state),
    .m_methods = posixmq_functions,
    .m_traverse = posixmq_traverse,
    .m_clear = posixmq_clear,
    .m_free = posixmq_free,
};

PyMODINIT_FUNC
PyInit__posixmq(void)
{
    posixmq_module.m_slots = mqc_module_slots(posixmq_slots);
    return PyModuleDef_Init(&posixmq_module);
}
