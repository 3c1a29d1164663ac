/* System V message queues for Python: one call into C and one system call a message.
 *
 * The file follows a message: module state, system calls, opening and closing, put and get,
 * attributes, and at the end the type and the module. mqc_wait.h says how a call waits,
 * mqc_python.h what both extensions of the project need of Python.
 */

/* ***** includes ***** */

#define _GNU_SOURCE /* sched_getaffinity, SIGEV_THREAD_ID, IPC_INFO, MSG_EXCEPT, ipc_perm.__key */
#define PY_SSIZE_T_CLEAN

#include <Python.h>

#include <structmember.h> /* T_PYSSIZET for the weak reference list */
#include <sys/ipc.h>
#include <sys/msg.h>
#ifndef __linux__
#include <sys/sysctl.h> /* instead of IPC_INFO */
#endif

#define MQC_PACKAGE "sysvmq"
#define MQC_SIGNAL_VARIABLE "SYSVMQ_SIGNAL"
#define MQC_SPIN_VARIABLE "SYSVMQ_SPIN_US"
#include "mqc/mqc_python.h"

/* Linux's own, which not every libc names; system_receive refuses them elsewhere. */
#ifndef MSG_EXCEPT
#define MSG_EXCEPT 020000
#endif
#ifndef MSG_COPY
#define MSG_COPY 040000
#endif
#ifndef MSG_STAT_ANY
#define MSG_STAT_ANY 13
#endif

/* ***** module state ***** */

typedef struct {
    mqc_state common;
    PyTypeObject *Queue;
} module_state;

typedef struct {
    mqc_queue base;
    int id;
    pid_t maker;           /* the process that made this private queue; 0: it is not ours */
    unsigned long key;     /* 0 for a private queue */
    atomic_long max_bytes; /* as last seen; LONG_MAX where this user may not look */
    atomic_size_t longest; /* the receive buffer to start with: grows with what arrives */
    atomic_int unseen;     /* to be looked at before anything is decoded: see look_again */
    PyObject *weakrefs;
} Queue;

/* key_t has 32 bits; where long has no more, the upper half of them cannot be named. */
#define MOST_KEY (LONG_MAX > 4294967295 ? (long)4294967295 : LONG_MAX)
#define MOST_USER (LONG_MAX > 4294967294 ? (long)4294967294 : LONG_MAX) /* (uid_t)-1 is nobody's */

static struct PyModuleDef sysvmq_module;

/* ***** system calls ***** */

/* msgrcv(2) and msgsnd(2) want the type and the text in one piece. */
typedef struct {
    long type;
    char text[];
} message_buffer;

/* A removed queue shows itself as EIDRM, or as EINVAL when its slot is still free. */
static int
removed_or(int error)
{
    return error == EINVAL ? EIDRM : error;
}

/* The longest message that this system allows, LONG_MAX where it does not say: kernel.msgmax, on
 * FreeBSD kern.ipc.msgmax. macOS has no name for it. */
static long
system_msgmax(void)
{
#ifdef __linux__
    struct msginfo information;

    /* IPC_INFO needs no permission. */
    return msgctl(0, IPC_INFO, (struct msqid_ds *)&information) < 0 ? LONG_MAX : information.msgmax;
#else
    int limit;
    size_t size = sizeof(limit);

    return sysctlbyname("kern.ipc.msgmax", &limit, &size, NULL, 0) < 0 ? LONG_MAX : limit;
#endif
}

static int
system_stat(int id, struct msqid_ds *status)
{
    return msgctl(id, IPC_STAT, status) < 0 ? removed_or(errno) : 0;
}

/* As system_stat, even where this user may not read the queue. IPC_STAT wants that right; the
 * table that MSG_STAT_ANY reads by place shows everybody's, as /proc/sysvipc/msg does. A place is
 * the low bits of an id, and Linux (4.17 and later) takes a whole id for it. */
static int
system_look(int id, struct msqid_ds *status)
{
    int error = system_stat(id, status);
#ifdef __linux__
    int found;
#endif

    if (error != EACCES) {
        return error;
    }
#ifndef __linux__
    return error;
#else
    found = msgctl(id, MSG_STAT_ANY, status);
    if (found < 0) {
        return errno == EINVAL ? EACCES : errno; /* an older kernel: what IPC_STAT said stands */
    }
    return found == id ? 0 : EIDRM;
#endif
}

static long
capacity(const struct msqid_ds *status)
{
    return status->msg_qbytes > LONG_MAX ? LONG_MAX : (long)status->msg_qbytes;
}

/* key_t is signed; a key is not. */
static unsigned long
key_of(const struct msqid_ds *status)
{
#if defined(__linux__)
    return (uint32_t)status->msg_perm.__key;
#elif defined(__APPLE__)
    return (uint32_t)status->msg_perm._key;
#else
    return (uint32_t)status->msg_perm.key;
#endif
}

/* msgrcv(2), which other systems than Linux give no flag to look at a message or to except one. */
static ssize_t
system_receive(int id, void *buffer, size_t size, long type, int flags)
{
#ifndef __linux__
    if (flags & (MSG_EXCEPT | MSG_COPY)) {
        errno = ENOSYS;
        return -1;
    }
#endif
    return msgrcv(id, buffer, size, type, flags);
}

static int
system_remove(int id)
{
    return msgctl(id, IPC_RMID, NULL) < 0 ? removed_or(errno) : 0;
}

/* What IPC_SET can change; -1 leaves it as it is. */
typedef struct {
    long mode, uid, gid, max_bytes;
} changes;

static void
apply_changes(const changes *wanted, struct msqid_ds *status)
{
    if (wanted->mode >= 0) {
        status->msg_perm.mode = (unsigned short)wanted->mode;
    }
    if (wanted->uid >= 0) {
        status->msg_perm.uid = (uid_t)wanted->uid;
    }
    if (wanted->gid >= 0) {
        status->msg_perm.gid = (gid_t)wanted->gid;
    }
    if (wanted->max_bytes >= 0) {
        status->msg_qbytes = (unsigned long)wanted->max_bytes;
    }
}

/* IPC_SET sets all at once, so what shall stay has to be asked for first. */
static int
system_set(int id, const changes *wanted)
{
    struct msqid_ds status;
    int error = system_look(id, &status);

    if (error != 0) {
        return error;
    }
    apply_changes(wanted, &status);
    if (msgctl(id, IPC_SET, &status) == 0) {
        return 0;
    }
    if (errno != EINVAL) {
        return errno;
    }
    /* Removed, or an owner has no number in this user namespace. */
    error = system_look(id, &status);
    return error != 0 ? error : EINVAL;
}

/* Change the capacity unless it is what was asked for: others' queues may be used as well. */
static int
system_set_max_bytes(int id, long max_bytes)
{
    const changes wanted = {.mode = -1, .uid = -1, .gid = -1, .max_bytes = max_bytes};
    struct msqid_ds status;
    int error = system_look(id, &status);

    if (error != 0 || status.msg_qbytes == (unsigned long)max_bytes) {
        return error;
    }
    error = system_set(id, &wanted);
    return error == EINVAL ? EPERM : error;
}

/* Why a message that the kernel refused with EINVAL, or has no room for, can never be sent. */
static int
never_fits(int id, size_t size)
{
    struct msqid_ds status;
    int error = system_look(id, &status);

    if (error == EACCES) { /* a writer who may not look, and an older kernel */
        return size > (size_t)system_msgmax() ? EMSGSIZE : 0;
    }
    if (error != 0) {
        return error;
    }
    return size > status.msg_qbytes || size > (size_t)system_msgmax() ? EMSGSIZE : 0;
}

typedef struct {
    int id;
    message_buffer *buffer;
    size_t size;
} outgoing;

static inline Py_ALWAYS_INLINE int
send_attempt(void *context, int may_sleep)
{
    const outgoing *message = context;
    int error;

    if (may_sleep) { /* the kernel would let a message wait that is longer than the queue */
        error = never_fits(message->id, message->size);
        if (error != 0) {
            return error;
        }
    }
    if (msgsnd(message->id, message->buffer, message->size,
               MQC_SLEEPS(may_sleep) ? 0 : IPC_NOWAIT) == 0) {
        return 0;
    }
    error = errno;
    if (error == EINVAL) {
        error = never_fits(message->id, message->size);
        return error != 0 ? error : EIDRM;
    }
    return error;
}

typedef struct {
    int id;
    message_buffer *buffer;
    message_buffer *scratch; /* where buffer pointed at first, on the stack */
    size_t capacity;
    size_t most; /* how far it may grow */
    ssize_t size;
    long type;         /* asked for; what came is in buffer->type */
    int flags;         /* MSG_EXCEPT: any other type; MSG_COPY: type is a place, never sleep */
    mqc_spare **spare; /* what is set aside for the bytes; NULL if none is needed */
} incoming;

/* The kernel keeps a message that is longer than the buffer: make room for it. */
static int
grow(incoming *message)
{
    size_t capacity = message->capacity * 2;
    message_buffer *buffer;

    if (message->capacity >= message->most) {
        return E2BIG;
    }
    capacity = capacity > message->most ? message->most : capacity;
    if (message->spare != NULL &&
        mqc_spare_grow(message->spare, capacity + 4 * MQC_EXCEPTION) < 0) {
        return ENOMEM;
    }
    buffer = malloc(sizeof(message_buffer) + capacity); /* not Python's: the GIL may be gone */
    if (buffer == NULL) {
        return ENOMEM;
    }
    if (message->buffer != message->scratch) {
        free(message->buffer);
    }
    message->buffer = buffer;
    message->capacity = capacity;
    return 0;
}

/* Why a message was refused with EINVAL. A copy is made in room for kernel.msgmax bytes, which
 * may have been lowered since the message was sent. */
static int
no_message(const incoming *message)
{
    struct msqid_ds status;
    int error = message->flags & MSG_COPY ? system_stat(message->id, &status) : EIDRM;

    return error != 0 ? error : EMSGSIZE;
}

/* Always inlined, like send_attempt: a first try never sleeps, so that little of it is left. */
static inline Py_ALWAYS_INLINE int
receive_attempt(void *context, int may_sleep)
{
    incoming *message = context;

    for (;;) {
        int error;

        message->size =
            system_receive(message->id, message->buffer, message->capacity, message->type,
                           message->flags | (MQC_SLEEPS(may_sleep) ? 0 : IPC_NOWAIT));
        if (message->size >= 0) {
            return 0;
        }
        if (errno == ENOMSG) {
            return EAGAIN;
        }
        if (errno != E2BIG) {
            return errno == EINVAL ? no_message(message) : errno;
        }
        error = grow(message);
        if (error != 0) {
            return error;
        }
    }
}

/* ***** opening ***** */

typedef struct {
    unsigned long key;
    long max_bytes, mode;
    int create, exclusive;
    int wary;            /* not to be opened if others may write to it */
    int created;         /* result: this call made the queue */
    int unseen;          /* result: wary, but this user may not look who writes to it */
    mqc_writers writers; /* result, where the queue is not to be trusted */
} open_request;

/* Find an existing queue, asking for the most rights that this user has to it. */
static int
find_queue(key_t key, int *id)
{
    static const int rights[] = {0600, 0400, 0200};

    for (size_t i = 0; i < sizeof(rights) / sizeof(rights[0]); i++) {
        *id = msgget(key, rights[i]);
        if (*id >= 0) {
            return 0;
        }
        if (errno != EACCES) {
            return errno;
        }
    }
    return EACCES;
}

static int
open_queue(open_request *request, int *id)
{
    key_t key = (key_t)request->key;

    request->created = 0; /* this may not be the first try */
    for (;;) {
        int error;

        if (request->create || key == IPC_PRIVATE) { /* a private queue is always a new one */
            *id = msgget(key, IPC_CREAT | IPC_EXCL | (int)request->mode);
            if (*id >= 0) {
                request->created = 1;
                return 0;
            }
            if (errno != EEXIST || request->exclusive) {
                return errno;
            }
        }
        error = find_queue(key, id);
        if (error != ENOENT || !request->create) {
            return error;
        }
        /* Somebody removed it between the two calls: create it after all. */
    }
}

/* MQC_UNTRUSTED where others may write to the queue, else 0. */
static int
judge_writers(const struct msqid_ds *status, mqc_writers *writers)
{
    *writers = (mqc_writers){
        .owner = status->msg_perm.uid,
        .creator = status->msg_perm.cuid,
        .mode = status->msg_perm.mode & 0777,
    };
    return mqc_others_write(writers) ? MQC_UNTRUSTED : 0;
}

/* The same, or an errno: EACCES for who may not look, and he may not read either. */
static int
check_writers(int id, mqc_writers *writers)
{
    struct msqid_ds status;
    int error = system_stat(id, &status);

    return error != 0 ? error : judge_writers(&status, writers);
}

/* Give the queue its size and learn it. */
static int
size_queue(const open_request *request, int id, long *max_bytes)
{
    struct msqid_ds status;
    int error = 0;

    if (request->max_bytes > 0) {
        error = system_set_max_bytes(id, request->max_bytes);
    }
    if (error == 0) {
        error = system_stat(id, &status);
        *max_bytes = error == 0 ? capacity(&status) : LONG_MAX;
        error = error == EACCES ? 0 : error; /* a writer who may not look */
    }
    return error;
}

/* Open the queue, and change nothing of one that is not to be trusted; one that this call
 * created does not outlive a failure. */
static int
open_and_size_queue(open_request *request, int *id, long *max_bytes)
{
    int error = open_queue(request, id);

    if (error != 0) {
        return error;
    }
    if (request->wary) {
        error = check_writers(*id, &request->writers);
        request->unseen = error == EACCES;
        error = request->unseen ? 0 : error;
    }
    if (error == 0) {
        error = size_queue(request, *id, max_bytes);
    }
    if (error != 0 && request->created) {
        system_remove(*id);
    }
    return error;
}

/* Find what the kernel says of a queue by its id. Who may only write learns all but the size;
 * who has no right to it gets EACCES as from msgget(2), which can only be asked by key. */
static int
find_by_id(open_request *request, int id, long *max_bytes)
{
    struct msqid_ds status;
    int found, error = system_stat(id, &status);

    *max_bytes = error == 0 ? capacity(&status) : LONG_MAX;
    if (error == 0 && request->wary) {
        error = judge_writers(&status, &request->writers);
    }
    else if (error == EACCES) {
        request->unseen = request->wary;
        error = system_look(id, &status);
        if (error == 0 && key_of(&status) != 0) {
            error = find_queue((key_t)key_of(&status), &found);
            error = error == 0 && found != id ? EIDRM : error;
        }
    }
    request->key = error == 0 ? key_of(&status) : 0;
    return error == EIDRM ? ENOENT : error;
}

static void
raise_open(const open_request *request, int error)
{
    PyObject *detail = Py_BuildValue("kl", request->key, request->max_bytes);

    if (detail != NULL) {
        mqc_raise("open", error, NULL, detail);
        Py_DECREF(detail);
    }
}

static int
read_request(PyObject *key, PyObject *max_bytes, PyObject *mode, open_request *request)
{
    long number = 0;

    request->mode = 0600;
    if (request->exclusive && !request->create) {
        PyErr_SetString(PyExc_ValueError, "exclusive=True needs create=True");
        return -1;
    }
    if (key != NULL && key != Py_None &&
        mqc_read_long(key, "key", 0, MOST_KEY, "0 (private) or a positive key of 32 bits",
                      &number) < 0) {
        return -1;
    }
    request->key = (unsigned long)number;
    if (max_bytes != NULL && max_bytes != Py_None &&
        mqc_read_long(max_bytes, "max_bytes", 1, LONG_MAX, "1 or more", &request->max_bytes) < 0) {
        return -1;
    }
    if (mode != NULL &&
        mqc_read_long(mode, "mode", 0, 0777, "permission bits, 0 to 0o777", &request->mode) < 0) {
        return -1;
    }
    return 0;
}

/* The error of an operation on a queue that is known by its id alone. */
static void
raise_by_id(const char *operation, int error, long id)
{
    PyObject *detail = PyLong_FromLong(id);

    if (detail != NULL) {
        mqc_raise(operation, error, NULL, detail);
        Py_DECREF(detail);
    }
}

static int
read_id(PyObject *value, long *id)
{
    return mqc_read_long(value, "msqid", 0, INT_MAX, "0 to 2147483647", id);
}

/* ***** lifecycle ***** */

static PyObject *
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
        self->base.manners.on_signal_raises = 1;
        atomic_store(&self->longest, MQC_SCRATCH);
    }
    return (PyObject *)self;
}

PyDoc_STRVAR(Queue_doc,
             "Queue(key=None, max_bytes=None, *, serializer=None, mode=0o600, create=True, "
             "exclusive=False, on_signal='raise', spin_us=None, trusted=False)\n"
             "--\n\n"
             "A System V message queue, created if it does not exist; see msgget(2).\n"
             "\n"
             ":param key: 1 to 4294967295; 0 or None for a private queue, always a new one\n"
             ":param max_bytes: bytes that the messages in the queue may have together, 1 to\n"
             "    kernel.msgmnb, which changes an existing queue for everybody; None leaves it\n"
             "    as it is\n"
             ":param serializer: anything with dumps(obj) and loads(data); None means\n"
             "    PickleSerializer\n"
             ":param mode: permission bits of a new queue, 0o600 unless given\n"
             ":param create: False to open an existing queue only; a private one is made all\n"
             "    the same\n"
             ":param exclusive: True to fail if the queue exists; needs create\n"
             ":param on_signal: what a signal does to a waiting call in the main thread when\n"
             "    its handler returns: 'raise' QueueError.INTERRUPTED, or 'retry'\n"
             ":param spin_us: microseconds to try again before sleeping, 0 to 1,000,000; None\n"
             "    for SYSVMQ_SPIN_US or 50\n"
             ":param trusted: True to unpickle from a queue that somebody else owns (root\n"
             "    excepted) or may write to, which is refused otherwise: unpickling runs code\n"
             ":raises QueueError: INVALID_VALUE, NO_PERMISSIONS, NO_SYSTEM_RESOURCES,\n"
             "    DOES_NOT_EXIST, EXISTS, ERROR (the first queue cannot import pickle or queue);\n"
             "    the message names the limit that was hit\n"
             ":raises TypeError: an argument of the wrong type, or a serializer without dumps\n"
             "    or loads\n"
             ":raises ValueError: on_signal or spin_us out of range, exclusive without create\n");

/* Put what was opened in its place, and let callers in. */
static void
move_in(Queue *self, const mqc_serializer *methods, int id, const open_request *request,
        long max_bytes)
{
    self->base.serializer = *methods;
    self->id = id;
    self->key = request->key;
    atomic_store(&self->unseen, request->unseen);
    atomic_store(&self->max_bytes, max_bytes);
    mqc_gate_open(&self->base.gate);
}

static void
raise_untrusted(const char *by, long number, const mqc_writers *writers)
{
    PyObject *detail = Py_BuildValue("sllli", by, number, (long)writers->owner,
                                     (long)writers->creator, (int)writers->mode);

    if (detail != NULL) {
        mqc_raise("trust", EACCES, NULL, detail);
        Py_DECREF(detail);
    }
}

/* Open the queue and put all that the constructor was given in its place. */
static int
set_up(Queue *self, open_request *request, PyObject *serializer)
{
    mqc_serializer methods;
    long max_bytes = 0;
    int error, id;

    request->wary =
        mqc_serializer_prepare(self->base.state, &self->base.manners, &methods, serializer);
    if (request->wary < 0) {
        return -1;
    }
    Py_BEGIN_ALLOW_THREADS
    do {
        error = open_and_size_queue(request, &id, &max_bytes);
    } while (error == EIDRM && request->create); /* somebody removed it meanwhile: once more */
    Py_END_ALLOW_THREADS
    if (error != 0) {
        mqc_serializer_clear(&methods);
        if (error == MQC_UNTRUSTED) {
            raise_untrusted("key", (long)request->key, &request->writers);
        }
        else {
            raise_open(request, error);
        }
        return -1;
    }
    self->maker = request->key == 0 ? getpid() : 0;
    move_in(self, &methods, id, request, max_bytes);
    return 0;
}

static int
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
        read_request(key, max_bytes, mode, &request) < 0 || mqc_gate_claim(&self->base.gate) < 0) {
        return -1;
    }
    if (mqc_read_options(&options, &self->base.gate, &self->base.manners) < 0 ||
        set_up(self, &request, options.serializer) < 0) {
        mqc_gate_unclaim(&self->base.gate);
        return -1;
    }
    return 0;
}

PyDoc_STRVAR(Queue_from_id_doc,
             "from_id($type, /, msqid, *, serializer=None, on_signal='raise', spin_us=None, "
             "trusted=False)\n"
             "--\n\n"
             "Open an existing queue by the kernel's identifier, as ipcs(1) shows it; see\n"
             "msgctl(2).\n"
             "\n"
             "This is how another process gets at a private queue. Such a queue is never the\n"
             "opener's own: leaving a with block detaches it. __init__ of a subclass is not\n"
             "called.\n"
             "\n"
             ":param msqid: 0 to 2147483647; the attribute id of an open queue\n"
             ":param serializer: as in the constructor, like on_signal, spin_us and trusted\n"
             ":raises QueueError: DOES_NOT_EXIST, NO_PERMISSIONS, INVALID_VALUE\n"
             ":raises TypeError: an argument of the wrong type, or a serializer without dumps\n"
             "    or loads\n"
             ":raises ValueError: on_signal or spin_us out of range\n"
             "\n"
             "A private queue that this user may not read is opened unseen: put() finds out\n"
             "whether the user may write.\n");

/* Open the queue with this id in an object that was never opened. */
static int
set_up_by_id(Queue *self, long id, PyObject *serializer)
{
    mqc_serializer methods;
    open_request request = {0};
    long max_bytes = 0;
    int error;

    request.wary =
        mqc_serializer_prepare(self->base.state, &self->base.manners, &methods, serializer);
    if (request.wary < 0) {
        return -1;
    }
    error = find_by_id(&request, (int)id, &max_bytes);
    if (error != 0) {
        mqc_serializer_clear(&methods);
        if (error == MQC_UNTRUSTED) {
            raise_untrusted("id", id, &request.writers);
        }
        else {
            raise_by_id("open by id", error, id);
        }
        return -1;
    }
    move_in(self, &methods, (int)id, &request, max_bytes);
    return 0;
}

static PyObject *
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

/* A private queue that its maker drops is one that nobody can find any more. In the child of a
 * fork the copy of an object may go: the parent has its own. */
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
        PyErr_WriteUnraisable((PyObject *)Py_TYPE((PyObject *)self)); /* not self: it goes */
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
    warn_left_behind(self);
    mqc_queue_free(op);
}

static PyObject *
Queue_repr(PyObject *op)
{
    Queue *self = (Queue *)op;
    const char *state = atomic_load(&self->base.gate.closed) ? " closed" : "";
    PyObject *type = mqc_type_name(op);
    PyObject *text;

    if (type == NULL) {
        return NULL;
    }
    if (self->id < 0) {
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

/* Two objects are equal that stand for one queue in the kernel, closed or not; one that was
 * never opened equals itself alone. */
static PyObject *
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

static Py_hash_t
Queue_hash(PyObject *op)
{
    const Queue *self = (Queue *)op;
    hashfunc by_identity = PyType_GetSlot(&PyBaseObject_Type, Py_tp_hash);

    return self->id >= 0 ? self->id : by_identity(op);
}

PyDoc_STRVAR(Queue_reduce_doc,
             "__reduce__($self, /)\n--\n\n"
             "Pickle the queue by its id: unpickled, it is the same queue of the kernel.\n"
             "\n"
             "The serializer goes along, a module by its import name, and so do on_signal,\n"
             "spin_us, and what a subclass has as attributes. It is opened as by from_id(), so\n"
             "the copy is never the queue's owner.\n"
             "\n"
             ":raises QueueError: INVALID_DESCRIPTOR, closed or never opened\n");

static PyObject *
Queue_reduce(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return mqc_queue_reduce(op, "sysvmq._pickling", "reduce");
}

PyDoc_STRVAR(Queue_close_doc,
             "close($self, /)\n--\n\n"
             "Remove the queue with all its messages from the kernel; see IPC_RMID in msgctl(2).\n"
             "\n"
             "Everybody who waits on it, in any process, is woken and raises\n"
             "INVALID_DESCRIPTOR. Closing twice does nothing, nor does closing a queue that\n"
             "somebody else has removed, nor closing after detach(): open the queue again to\n"
             "remove it.\n"
             "\n"
             ":raises QueueError: NO_PERMISSIONS, and then the queue stays open\n");

static PyObject *
Queue_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Queue *self = (Queue *)op;
    int error;

    if (atomic_load(&self->base.gate.closed)) {
        Py_RETURN_NONE;
    }
    error = system_remove(self->id);
    if (error != 0 && error != EIDRM) {
        mqc_raise("close", error, op, NULL);
        return NULL;
    }
    mqc_close_gate(&self->base.gate);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(Queue_detach_doc,
             "detach($self, /)\n--\n\n"
             "Let go of the queue, which stays in the kernel with its messages.\n"
             "\n"
             "Threads that wait on this object are woken and raise INVALID_DESCRIPTOR.\n"
             "Detaching twice, or after close(), does nothing.\n");

static PyObject *
Queue_detach(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    mqc_close_gate(&((mqc_queue *)op)->gate);
    Py_RETURN_NONE;
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
             "__exit__($self, /, *exc_info)\n--\n\n"
             "Detach a queue that has a key or came from from_id(); remove a private one that\n"
             "this very process made, which nobody could find.\n");

static PyObject *
Queue_exit(PyObject *op, PyObject *Py_UNUSED(args))
{
    return mqc_end_block(op, ((Queue *)op)->maker == getpid() ? "close" : "detach");
}

/* ***** send and receive ***** */

/* Send the payload. Returns what mqc_move returns. Never inlined: its buffer is large. */
static Py_NO_INLINE int
send_payload(Queue *self, const mqc_payload *payload, long type, int64_t patience)
{
    union {
        message_buffer message; /* for the alignment */
        char bytes[sizeof(message_buffer) + MQC_SCRATCH];
    } scratch;
    outgoing message = {
        .id = self->id,
        .buffer = &scratch.message,
        .size = (size_t)payload->size,
    };
    int error;

    if (message.size > MQC_SCRATCH) {
        /* Before anything is copied: a message that no queue takes may be of any size. */
        error = never_fits(message.id, message.size);
        if (error != 0) {
            return error;
        }
        message.buffer = malloc(sizeof(message_buffer) + message.size);
        if (message.buffer == NULL) {
            PyErr_NoMemory();
            return -1;
        }
    }
    message.buffer->type = type;
    memcpy(message.buffer->text, payload->data, message.size);
    error = mqc_put(&self->base, (mqc_work){send_attempt, &message, payload->size > MQC_LARGE},
                    patience);
    if (message.buffer != &scratch.message) {
        free(message.buffer);
    }
    if (error == EAGAIN) {
        /* Full is for a message that would fit later. */
        int never = never_fits(message.id, message.size);
        error = never != 0 ? never : error;
    }
    return error;
}

static int
read_type(PyObject *msg_type, long *type)
{
    if (msg_type == NULL) {
        return 0;
    }
    return mqc_read_long(msg_type, "msg_type", 1, LONG_MAX, "1 or more, within a C long", type);
}

static PyObject *
put_item(Queue *self, PyObject *item, int64_t patience, PyObject *msg_type, PyObject *protocol)
{
    mqc_payload payload;
    size_t size;
    int error;
    long type = 1;

    if (read_type(msg_type, &type) < 0) {
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
    error = send_payload(self, &payload, type, patience);
    mqc_payload_release(&payload);
    if (error == 0) {
        Py_RETURN_NONE;
    }
    mqc_raise_put(self->base.state, (PyObject *)self, error, size);
    return NULL;
}

/* What a reader asks for: one type, 0 for any, or any but one (flags = MSG_EXCEPT). With
 * MSG_COPY the number is a place in the queue. After the call it is the type that came. */
typedef struct {
    long type;
    int flags;
    int refusal; /* see mqc_get */
} selection;

static int
read_selection(PyObject *msg_type, PyObject *exclude, selection *wanted)
{
    int excluding;

    if (msg_type != NULL && mqc_read_long(msg_type, "msg_type", LONG_MIN, LONG_MAX,
                                          "within a C long", &wanted->type) < 0) {
        return -1;
    }
    if (exclude == NULL) {
        return 0;
    }
    excluding = PyObject_IsTrue(exclude);
    if (excluding > 0 && wanted->type < 1) { /* the kernel would ignore MSG_EXCEPT */
        PyObject *value = PyLong_FromLong(wanted->type);
        if (value != NULL) {
            mqc_raise_value("msg_type", value, "1 or more where exclude=True");
            Py_DECREF(value);
        }
        return -1;
    }
    wanted->flags = excluding > 0 ? MSG_EXCEPT : 0;
    return excluding < 0 ? -1 : 0;
}

/* Where a long message has come before, more may come: make room at once. */
static int
start_with_longest(Queue *self, incoming *message)
{
    size_t longest = atomic_load_explicit(&self->longest, memory_order_relaxed);

    if (longest > message->capacity) {
        message->buffer = malloc(sizeof(message_buffer) + longest);
        if (message->buffer == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        message->capacity = longest;
    }
    return 0;
}

/* The bytes of one message that is asked for. Never inlined: the buffer must be off the stack
 * while the serializer runs, which may get from a queue itself. */
static Py_NO_INLINE PyObject *
receive_bytes(Queue *self, int64_t patience, selection *wanted, mqc_spare **spare)
{
    union {
        message_buffer message; /* for the alignment */
        char bytes[sizeof(message_buffer) + MQC_SCRATCH];
    } scratch;
    incoming message = {
        .id = self->id,
        .buffer = &scratch.message,
        .scratch = &scratch.message,
        .capacity = MQC_SCRATCH,
        .most = INT_MAX, /* kernel.msgmax is an int */
        .type = wanted->type,
        .flags = wanted->flags,
        .spare = spare,
    };
    PyObject *bytes = NULL;

    if (start_with_longest(self, &message) < 0) {
        return NULL;
    }
    if (mqc_get(&self->base, (mqc_work){receive_attempt, &message, message.capacity > MQC_LARGE},
                patience, message.flags & MSG_COPY ? "peek" : "get", &wanted->refusal) == 0) {
        bytes = mqc_bytes(message.buffer->text, (size_t)message.size, spare);
        wanted->type = message.buffer->type;
    }
    if (message.buffer != &scratch.message) {
        atomic_store_explicit(&self->longest, message.capacity, memory_order_relaxed);
        free(message.buffer);
    }
    return bytes;
}

/* Set aside what the longest message that may come needs, as far as is known. */
static mqc_spare *
take_spare(Queue *self)
{
    size_t longest = atomic_load_explicit(&self->longest, memory_order_relaxed);

    return mqc_spare_take(&self->base.spare, longest > MQC_SCRATCH ? longest : MQC_SCRATCH);
}

/* A queue that could only be written to when it was opened may be readable by now, as its owner
 * can change that: then see who else writes to it before anything is decoded. */
static int
look_again(Queue *self, selection *wanted)
{
    const char *operation = wanted->flags & MSG_COPY ? "peek" : "get";
    mqc_writers writers = {0};
    int error = mqc_hold(&self->base.gate);

    if (error == 0) {
        error = check_writers(self->id, &writers);
        mqc_unhold(&self->base.gate);
    }
    if (error == 0) {
        atomic_store(&self->unseen, 0);
        return 0;
    }
    if (error == MQC_UNTRUSTED) {
        raise_untrusted("id", self->id, &writers);
    }
    else {
        wanted->refusal = error;
        mqc_raise(operation, error, (PyObject *)self, NULL);
    }
    return -1;
}

static inline PyObject *
get_decoded(Queue *self, int64_t patience, selection *wanted, mqc_spare **spare)
{
    PyObject *bytes;

    if (atomic_load_explicit(&self->unseen, memory_order_relaxed) && look_again(self, wanted) < 0) {
        return NULL;
    }
    bytes = receive_bytes(self, patience, wanted, spare);
    return mqc_decode(self->base.state, &self->base.serializer, (PyObject *)self, bytes, "msg_type",
                      wanted->type, spare);
}

static PyObject *
get_item(Queue *self, int64_t patience, selection *wanted)
{
    mqc_spare *spare = take_spare(self);
    PyObject *item;

    if (spare == NULL) {
        return NULL;
    }
    item = get_decoded(self, patience, wanted, &spare);
    mqc_spare_keep(&self->base.spare, spare);
    return item;
}

/* An item with its type. */
static PyObject *
get_message(Queue *self, int64_t patience, selection *wanted)
{
    mqc_spare *spare = take_spare(self);
    PyObject *item, *message;

    if (spare == NULL) {
        return NULL;
    }
    item = get_decoded(self, patience, wanted, &spare);
    message = mqc_message(self->base.state, item, wanted->type, &spare);
    mqc_spare_keep(&self->base.spare, spare);
    return message;
}

static int
send_one(void *context, const mqc_payload *payload, int may_sleep)
{
    outgoing *message = context;

    message->size = (size_t)payload->size;
    memcpy(message->buffer->text, payload->data, message->size);
    return send_attempt(message, may_sleep);
}

/* Send what is in the outbox, whose messages are copied into one buffer by turns. Returns what
 * mqc_move returns. */
static int
send_outbox(Queue *self, mqc_outbox *outbox, long type, int64_t patience)
{
    size_t longest = mqc_outbox_longest(outbox);
    outgoing message = {.id = self->id};
    int error = 0, large;

    /* Ask the kernel only if need be: before anything is sent, the first message finds out by itself
     * whether it fits. But no memory is taken for one that no queue takes, see send_payload. */
    if (longest > (size_t)outbox->payloads[0].size || longest > MQC_SCRATCH) {
        error = never_fits(self->id, longest);
    }
    if (error != 0) {
        return error;
    }
    message.buffer = malloc(sizeof(message_buffer) + longest);
    if (message.buffer == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    message.buffer->type = type;
    outbox->send = send_one;
    outbox->context = &message;
    outbox->stretch = patience == 0 ? 0 : MQC_STRETCH;
    large = mqc_is_large_batch(outbox->count, longest);
    error = mqc_put(&self->base, (mqc_work){mqc_send_batch, outbox, large}, patience);
    outbox->context = NULL;
    free(message.buffer);
    if (error == EAGAIN) {
        int never = never_fits(self->id, (size_t)outbox->payloads[outbox->next].size);
        error = never != 0 ? never : error;
    }
    return error;
}

static PyObject *
put_items(Queue *self, PyObject *items, int64_t patience, PyObject *msg_type, PyObject *protocol)
{
    const mqc_state *state = self->base.state;
    mqc_outbox outbox = {NULL};
    PyObject *result = NULL;
    long type = 1;

    if (read_type(msg_type, &type) < 0) {
        return NULL;
    }
    if (atomic_load(&self->base.gate.closed)) {
        return mqc_outbox_result(state, (PyObject *)self, &outbox, EBADF);
    }
    if (mqc_outbox_fill(state, &self->base.serializer, items, protocol, &outbox) == 0) {
        int error = outbox.count == 0 ? 0 : send_outbox(self, &outbox, type, patience);
        result = mqc_outbox_result(state, (PyObject *)self, &outbox, error);
    }
    mqc_outbox_clear(&outbox);
    return result;
}

/* What a batch of messages is received by. */
typedef struct {
    int id;
    selection wanted;
    mqc_inbox *inbox;
} batch;

/* After the first message, see how many are behind it: writers that keep up must not keep a
 * batch from ending, unless that is a short one. */
static void
count_the_rest(const batch *receiving)
{
    mqc_inbox *inbox = receiving->inbox;
    struct msqid_ds status;

    if (inbox->count == 0 && inbox->most > MQC_STRETCH) {
        size_t there = system_stat(receiving->id, &status) == 0 ? 1 + status.msg_qnum : 1;
        inbox->most = there < inbox->most ? there : inbox->most;
    }
}

static int
receive_one(void *context, mqc_slot *slot, size_t capacity, int may_sleep)
{
    const batch *receiving = context;
    /* The slot is laid out as a message_buffer from its place on. */
    ssize_t size =
        system_receive(receiving->id, &slot->place, capacity, receiving->wanted.type,
                       receiving->wanted.flags | (MQC_SLEEPS(may_sleep) ? 0 : IPC_NOWAIT));

    if (size >= 0) {
        slot->size = (size_t)size;
        count_the_rest(receiving);
        return 0;
    }
    if (errno == ENOMSG) {
        return EAGAIN;
    }
    return removed_or(errno);
}

static PyObject *
get_items(Queue *self, size_t most, int64_t patience, selection *wanted)
{
    mqc_inbox inbox = {
        .receive = receive_one,
        .capacity = atomic_load(&self->longest),
        .most = most > 0 ? most : SIZE_MAX,
    };
    batch receiving = {.id = self->id, .wanted = *wanted, .inbox = &inbox};
    int large = mqc_is_large_batch(inbox.most, inbox.capacity);
    PyObject *items = NULL;

    if (atomic_load(&self->unseen) && look_again(self, wanted) < 0) {
        return NULL;
    }
    inbox.context = &receiving;
    inbox.spare = mqc_spare_swap(&self->base.spare, NULL);
    if (mqc_get(&self->base, (mqc_work){mqc_receive_batch, &inbox, large}, patience, "get",
                &wanted->refusal) == 0) {
        items = mqc_inbox_decode(self->base.state, &self->base.serializer, (PyObject *)self, &inbox,
                                 "msg_type");
    }
    free(inbox.memory);
    mqc_spare_keep(&self->base.spare, inbox.spare);
    return items;
}

/* Receive a message that fits into the view; one that does not stays in the queue. It takes a
 * detour, as msgrcv(2) puts the type before the text. */
static int
receive_into(Queue *self, const Py_buffer *view, int64_t patience, selection *wanted, ssize_t *size)
{
    union {
        message_buffer message; /* for the alignment */
        char bytes[sizeof(message_buffer) + MQC_SCRATCH];
    } scratch;
    size_t room = (size_t)view->len;
    incoming message = {
        .id = self->id,
        .buffer = &scratch.message,
        .scratch = &scratch.message,
        .capacity = room < MQC_SCRATCH ? room : MQC_SCRATCH,
        .most = room,
        .type = wanted->type,
        .flags = wanted->flags,
    };
    int result;

    result =
        mqc_get(&self->base, (mqc_work){receive_attempt, &message, message.capacity > MQC_LARGE},
                patience, "get_into", &wanted->refusal);
    if (result == 0) {
        memcpy(view->buf, message.buffer->text, (size_t)message.size);
        wanted->type = message.buffer->type;
        *size = message.size;
    }
    if (message.buffer != &scratch.message) {
        free(message.buffer);
    }
    return result;
}

static PyObject *
get_into_view(Queue *self, const Py_buffer *view, int64_t patience, selection *wanted)
{
    mqc_spare *spare = mqc_spare_take(&self->base.spare, 0);
    PyObject *result = NULL;
    ssize_t size = 0;

    if (spare == NULL) {
        return NULL;
    }
    if (receive_into(self, view, patience, wanted, &size) == 0) {
        result = mqc_size_and_place(&self->base, (size_t)size, wanted->type, &spare);
    }
    mqc_spare_keep(&self->base.spare, spare);
    return result;
}

static PyObject *
get_into(Queue *self, PyObject *buffer, int64_t patience, selection *wanted)
{
    PyObject *result;
    Py_buffer view;

    if (PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE) < 0) {
        return NULL;
    }
    result = get_into_view(self, &view, patience, wanted);
    PyBuffer_Release(&view);
    return result;
}

PyDoc_STRVAR(Queue_put_doc,
             "put($self, /, item, block=True, msg_type=1, pickle_protocol=1, *, timeout=None)\n"
             "--\n\n"
             "Put item into the queue; see msgsnd(2). The timeout goes by keyword only: the\n"
             "third argument is msg_type.\n"
             "\n"
             ":param item: what the serializer takes\n"
             ":param block: False to raise queue.Full at once where there is no room\n"
             ":param msg_type: 1 to the largest C long; receivers can select by it\n"
             ":param pickle_protocol: for PickleSerializer only\n"
             ":param timeout: seconds to wait, None for ever; ignored if block is false\n"
             ":raises queue.Full: there was no room in time\n"
             ":raises QueueError: TOO_BIG_MESSAGE, INVALID_VALUE, INTERRUPTED,\n"
             "    INVALID_DESCRIPTOR, NO_PERMISSIONS, NO_SYSTEM_RESOURCES, ERROR (no signal is\n"
             "    free)\n"
             ":raises ValueError, OverflowError: a timeout that is negative, NaN or too large\n"
             "\n"
             "What the serializer raises passes through, and nothing is sent.\n");

static PyObject *
Queue_put(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const mqc_parameters parameters = {
        "put", 1, 4, 5, {MQC_ITEM, MQC_BLOCK, MQC_MSG_TYPE, MQC_PROTOCOL, MQC_TIMEOUT}};
    Queue *self = (Queue *)op;
    PyObject *values[5];
    int64_t patience;

    if (mqc_is_plain(&parameters, nargs, kwnames)) {
        return put_item(self, args[0], MQC_FOREVER, NULL, NULL);
    }
    if (mqc_parse(self->base.state, &parameters, args, nargs, kwnames, values) < 0 ||
        mqc_read_patience(values[1], values[4], &patience) < 0) {
        return NULL;
    }
    return put_item(self, values[0], patience, values[2], values[3]);
}

PyDoc_STRVAR(Queue_put_nowait_doc,
             "put_nowait($self, /, item, msg_type=1, pickle_protocol=1)\n--\n\n"
             "Put item into the queue, or raise queue.Full: put(item, block=False).\n");

static PyObject *
Queue_put_nowait(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const mqc_parameters parameters = {
        "put_nowait", 1, 3, 3, {MQC_ITEM, MQC_MSG_TYPE, MQC_PROTOCOL}};
    Queue *self = (Queue *)op;
    PyObject *values[3];

    if (mqc_parse(self->base.state, &parameters, args, nargs, kwnames, values) < 0) {
        return NULL;
    }
    return put_item(self, values[0], 0, values[1], values[2]);
}

PyDoc_STRVAR(Queue_get_doc,
             "get($self, /, block=True, msg_type=0, *, timeout=None, exclude=False)\n--\n\n"
             "Remove and return an item; see msgrcv(2). The timeout goes by keyword only: the\n"
             "second argument is msg_type.\n"
             "\n"
             ":param block: False to raise queue.Empty at once where there is none\n"
             ":param msg_type: 0 for the oldest message, N > 0 for the oldest of type N, N < 0\n"
             "    for the oldest of the lowest type that is at most -N; within a C long\n"
             ":param timeout: seconds to wait, None for ever; ignored if block is false\n"
             ":param exclude: True for the oldest of any type but msg_type, which must then be\n"
             "    1 or more; this is MSG_EXCEPT\n"
             ":raises queue.Empty: there was none in time\n"
             ":raises DecodeError: the serializer refused the message, which .data holds\n"
             ":raises QueueError: INVALID_VALUE, INTERRUPTED, INVALID_DESCRIPTOR,\n"
             "    NO_PERMISSIONS, NO_SYSTEM_RESOURCES, ERROR (no signal is free)\n"
             ":raises ValueError, OverflowError: a timeout that is negative, NaN or too large\n");

/* Read the arguments that get and receive have in common. */
static inline int
parse_get(Queue *self, const mqc_parameters *parameters, PyObject *const *args, Py_ssize_t nargs,
          PyObject *kwnames, int64_t *patience, selection *wanted)
{
    PyObject *values[4];

    if (mqc_parse(self->base.state, parameters, args, nargs, kwnames, values) < 0 ||
        mqc_read_patience(values[0], values[2], patience) < 0) {
        return -1;
    }
    return read_selection(values[1], values[3], wanted);
}

static PyObject *
Queue_get(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const mqc_parameters parameters = {
        "get", 0, 2, 4, {MQC_BLOCK, MQC_MSG_TYPE, MQC_TIMEOUT, MQC_EXCLUDE}};
    Queue *self = (Queue *)op;
    selection wanted = {0};
    int64_t patience;

    if (mqc_is_plain(&parameters, nargs, kwnames)) {
        return get_item(self, MQC_FOREVER, &wanted);
    }
    if (parse_get(self, &parameters, args, nargs, kwnames, &patience, &wanted) < 0) {
        return NULL;
    }
    return get_item(self, patience, &wanted);
}

PyDoc_STRVAR(Queue_get_nowait_doc,
             "get_nowait($self, /, msg_type=0, *, exclude=False)\n--\n\n"
             "Remove and return an item, or raise queue.Empty: get(block=False).\n");

static PyObject *
Queue_get_nowait(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const mqc_parameters parameters = {"get_nowait", 0, 1, 2, {MQC_MSG_TYPE, MQC_EXCLUDE}};
    Queue *self = (Queue *)op;
    PyObject *values[2];
    selection wanted = {0};

    if (mqc_parse(self->base.state, &parameters, args, nargs, kwnames, values) < 0 ||
        read_selection(values[0], values[1], &wanted) < 0) {
        return NULL;
    }
    return get_item(self, 0, &wanted);
}

PyDoc_STRVAR(Queue_receive_doc,
             "receive($self, /, block=True, msg_type=0, *, timeout=None, exclude=False)\n--\n\n"
             "Remove an item and return it with its type, as Message(item, msg_type).\n"
             "\n"
             "Everything else is as in get().\n");

static PyObject *
Queue_receive(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const mqc_parameters parameters = {
        "receive", 0, 2, 4, {MQC_BLOCK, MQC_MSG_TYPE, MQC_TIMEOUT, MQC_EXCLUDE}};
    Queue *self = (Queue *)op;
    selection wanted = {0};
    int64_t patience;

    if (parse_get(self, &parameters, args, nargs, kwnames, &patience, &wanted) < 0) {
        return NULL;
    }
    return get_message(self, patience, &wanted);
}

PyDoc_STRVAR(Queue_put_many_doc,
             "put_many($self, /, items, block=True, msg_type=1, pickle_protocol=1, *, "
             "timeout=None)\n--\n\n"
             "Put the items in their order, and return how many were put.\n"
             "\n"
             "All are serialized, and their sizes looked at, before the first is sent: one that\n"
             "cannot be changes nothing. Where the time runs out, fewer are put than were given.\n"
             "\n"
             ":param items: an iterable of items\n"
             ":param block: False to put what there is room for at once\n"
             ":param msg_type: 1 to the largest C long, the same for all\n"
             ":param pickle_protocol: for PickleSerializer only\n"
             ":param timeout: seconds for all of them, None for ever; ignored if block is false\n"
             ":raises queue.Full: there was no room for any\n"
             ":raises QueueError: as put(); like every exception while they are sent, it says\n"
             "    by its attribute count how many were put\n"
             ":raises ValueError, OverflowError: a timeout that is negative, NaN or too large\n");

static PyObject *
Queue_put_many(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const mqc_parameters parameters = {
        "put_many", 1, 4, 5, {MQC_ITEMS, MQC_BLOCK, MQC_MSG_TYPE, MQC_PROTOCOL, MQC_TIMEOUT}};
    Queue *self = (Queue *)op;
    PyObject *values[5];
    int64_t patience;

    if (mqc_parse(self->base.state, &parameters, args, nargs, kwnames, values) < 0 ||
        mqc_read_patience(values[1], values[4], &patience) < 0) {
        return NULL;
    }
    return put_items(self, values[0], patience, values[2], values[3]);
}

PyDoc_STRVAR(Queue_get_many_doc,
             "get_many($self, /, max_items=None, block=True, msg_type=0, *, timeout=None, "
             "exclude=False)\n--\n\n"
             "Wait for a message, take it and those behind it that are there, and return the list\n"
             "of their items.\n"
             "\n"
             ":param max_items: 1 or more; None for as many as the queue holds when the first\n"
             "    has come, and beyond 256 no more than that are ever taken\n"
             ":param block: False to raise queue.Empty at once where there is none\n"
             ":param msg_type: what to take, as in get()\n"
             ":param timeout: seconds to wait for the first, None for ever; ignored if block is\n"
             "    false\n"
             ":param exclude: as in get()\n"
             ":raises queue.Empty: there was none in time\n"
             ":raises DecodeError: the serializer refused messages; items are those that it took,\n"
             "    failures a DecodeError for each that it refused\n"
             ":raises QueueError: as get()\n"
             ":raises ValueError, OverflowError: a timeout that is negative, NaN or too large\n");

static PyObject *
Queue_get_many(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const mqc_parameters parameters = {
        "get_many", 0, 3, 5, {MQC_MAX_ITEMS, MQC_BLOCK, MQC_MSG_TYPE, MQC_TIMEOUT, MQC_EXCLUDE}};
    Queue *self = (Queue *)op;
    PyObject *values[5];
    selection wanted = {0};
    int64_t patience;
    long most = 0;

    if (mqc_parse(self->base.state, &parameters, args, nargs, kwnames, values) < 0 ||
        mqc_read_most(values[0], &most) < 0 ||
        mqc_read_patience(values[1], values[3], &patience) < 0 ||
        read_selection(values[2], values[4], &wanted) < 0) {
        return NULL;
    }
    return get_items(self, (size_t)most, patience, &wanted);
}

PyDoc_STRVAR(Queue_get_into_doc,
             "get_into($self, /, buffer, block=True, msg_type=0, *, timeout=None, exclude=False)\n"
             "--\n\n"
             "Receive a message's bytes into a buffer, past the serializer, and return\n"
             "(size, msg_type).\n"
             "\n"
             ":param buffer: a writable, contiguous buffer, such as a bytearray; what lies behind\n"
             "    the message stays as it was\n"
             ":param block: False to raise queue.Empty at once where there is none\n"
             ":param msg_type: what to take, as in get()\n"
             ":param timeout: seconds to wait, None for ever; ignored if block is false\n"
             ":param exclude: as in get()\n"
             ":raises queue.Empty: there was none in time\n"
             ":raises QueueError: TOO_BIG_MESSAGE if the message is longer than the buffer, and\n"
             "    then it stays in the queue; else as get()\n"
             ":raises TypeError, BufferError: no such buffer\n"
             ":raises ValueError, OverflowError: a timeout that is negative, NaN or too large\n");

static PyObject *
Queue_get_into(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const mqc_parameters parameters = {
        "get_into", 1, 3, 5, {MQC_BUFFER, MQC_BLOCK, MQC_MSG_TYPE, MQC_TIMEOUT, MQC_EXCLUDE}};
    Queue *self = (Queue *)op;
    PyObject *values[5];
    selection wanted = {0};
    int64_t patience;

    if (mqc_is_plain(&parameters, nargs, kwnames)) {
        return get_into(self, args[0], MQC_FOREVER, &wanted);
    }
    if (mqc_parse(self->base.state, &parameters, args, nargs, kwnames, values) < 0 ||
        mqc_read_patience(values[1], values[3], &patience) < 0 ||
        read_selection(values[2], values[4], &wanted) < 0) {
        return NULL;
    }
    return get_into(self, values[0], patience, &wanted);
}

/* The next item of an iteration, which ends when the queue is closed or removed. */
static PyObject *
Queue_next(PyObject *op)
{
    Queue *self = (Queue *)op;
    selection wanted = {0};
    PyObject *item;

    if (self->id >= 0 && atomic_load(&self->base.gate.closed)) {
        return NULL;
    }
    item = get_item(self, MQC_FOREVER, &wanted);
    /* An EBADF that a signal handler raised, of a file of its own, is another thing. */
    if (item == NULL && self->id >= 0 && (wanted.refusal == EBADF || wanted.refusal == EIDRM)) {
        mqc_end_iteration();
    }
    return item;
}

PyDoc_STRVAR(Queue_peek_doc,
             "peek($self, /, index=0)\n--\n\n"
             "Return Message(item, msg_type) of a message that stays in the queue; see MSG_COPY\n"
             "in msgrcv(2).\n"
             "\n"
             "By the time it returns, another reader may have taken the message.\n"
             "\n"
             ":param index: 0 for the oldest message of any type, 1 for the next, up to the\n"
             "    largest C long\n"
             ":raises queue.Empty: the queue holds no more than index messages\n"
             ":raises DecodeError: the serializer refused the message, which .data holds; here\n"
             "    it stays in the queue as well\n"
             ":raises QueueError: INVALID_VALUE (a negative index), INVALID_DESCRIPTOR,\n"
             "    NO_PERMISSIONS, TOO_BIG_MESSAGE (kernel.msgmax was lowered since it was sent),\n"
             "    NO_SYSTEM_RESOURCES, ERROR (a kernel without MSG_COPY; os_errno is ENOSYS)\n");

static PyObject *
Queue_peek(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const mqc_parameters parameters = {"peek", 0, 1, 1, {MQC_INDEX}};
    Queue *self = (Queue *)op;
    PyObject *values[1];
    selection wanted = {.flags = MSG_COPY};

    if (mqc_parse(self->base.state, &parameters, args, nargs, kwnames, values) < 0) {
        return NULL;
    }
    if (values[0] != NULL && mqc_read_long(values[0], "index", 0, LONG_MAX,
                                           "0 or more, within a C long", &wanted.type) < 0) {
        return NULL;
    }
    return get_message(self, 0, &wanted);
}

/* ***** watching, for sysvmq.asyncio ***** */

typedef struct {
    int id, flags;
    long type;
    message_buffer empty;
} watching;

/* A message that is longer than the buffer stays queued, see E2BIG in msgrcv(2): so with no
 * buffer at all the call sleeps until there is a message, and leaves it to whoever wants it. */
static int
watch_attempt(void *context, int may_sleep)
{
    watching *watch = context;
    int flags = watch->flags | (MQC_SLEEPS(may_sleep) ? 0 : IPC_NOWAIT);

    watch->empty.type = 0;
    if (system_receive(watch->id, &watch->empty, 0, watch->type, flags) == 0 || errno == E2BIG) {
        return 0;
    }
    if (errno == ENOMSG) {
        return EAGAIN;
    }
    return removed_or(errno);
}

PyDoc_STRVAR(Queue_watch_doc,
             "_watch($self, msg_type, exclude, /)\n--\n\n"
             "Wait until there is a message that get(True, msg_type, exclude=exclude) would\n"
             "take; leave it in the queue and return 0.\n"
             "\n"
             "A message of no bytes cannot be left there: it is taken, and its type returned.\n");

static PyObject *
Queue_watch(PyObject *op, PyObject *args)
{
    Queue *self = (Queue *)op;
    watching watch = {.id = self->id};
    int exclude, error;

    if (!PyArg_ParseTuple(args, "lp:_watch", &watch.type, &exclude)) {
        return NULL;
    }
    watch.flags = exclude ? MSG_EXCEPT : 0;
    error = mqc_move(&self->base, MQC_GET, (mqc_work){watch_attempt, &watch, 0}, MQC_FOREVER, 0);
    if (error > 0) {
        mqc_raise("get", error, op, NULL);
    }
    return error == 0 ? PyLong_FromLong(watch.empty.type) : NULL;
}

/* ***** attributes ***** */

/* Ask the kernel; -1 with an exception if it does not say. */
static int
read_status(Queue *self, struct msqid_ds *status)
{
    int error = mqc_hold(&self->base.gate);

    if (error == 0) {
        error = system_stat(self->id, status);
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
             "Return {'size': ..., 'max_bytes': ...}; see msgctl(2).\n"
             "\n"
             "size counts the messages in the queue, and max_bytes is what they may have\n"
             "together.\n"
             "\n"
             ":raises QueueError: INVALID_DESCRIPTOR, NO_PERMISSIONS\n");

static PyObject *
Queue_qattr(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct msqid_ds status;

    if (read_status((Queue *)op, &status) < 0) {
        return NULL;
    }
    return Py_BuildValue("{sksk}", "size", (unsigned long)status.msg_qnum, "max_bytes",
                         (unsigned long)status.msg_qbytes);
}

PyDoc_STRVAR(Queue_stat_doc,
             "stat($self, /)\n--\n\n"
             "Return all that the kernel says of the queue, as a QueueStat; see msgctl(2).\n"
             "\n"
             ":raises QueueError: INVALID_DESCRIPTOR, NO_PERMISSIONS\n");

static PyObject *
Queue_stat(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Queue *self = (Queue *)op;
    PyObject *class, *result;
    struct msqid_ds status;

    if (read_status(self, &status) < 0) {
        return NULL;
    }
    class = mqc_import("sysvmq._stat", "QueueStat");
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

PyDoc_STRVAR(Queue_set_doc,
             "set($self, /, *, mode=None, uid=None, gid=None, max_bytes=None)\n--\n\n"
             "Change the queue for everybody; see IPC_SET in msgctl(2). None leaves a thing as\n"
             "it is.\n"
             "\n"
             ":param mode: permission bits, 0 to 0o777\n"
             ":param uid: the owner's user, 0 to 4294967294; the creator keeps his rights\n"
             ":param gid: the owner's group, 0 to 4294967294\n"
             ":param max_bytes: bytes that the messages in the queue may have together, 1 to\n"
             "    kernel.msgmnb, beyond it with CAP_SYS_RESOURCE. What is queued stays, even if\n"
             "    it is more\n"
             ":raises QueueError: NO_PERMISSIONS (not the owner, nor the creator, nor root; or\n"
             "    max_bytes is over the limit), INVALID_VALUE, INVALID_DESCRIPTOR\n"
             ":raises TypeError: an argument of the wrong type\n"
             "\n"
             "The kernel knows no change of one thing alone: two processes that set at the same\n"
             "time may undo each other's changes. Who waits on the queue goes on waiting, or\n"
             "goes on where there is room now.\n");

static int
read_change(PyObject *value, const char *parameter, long low, long high, const char *range,
            long *result)
{
    return value == Py_None ? 0 : mqc_read_long(value, parameter, low, high, range, result);
}

/* The error of set(), with what was asked for. */
static void
raise_set(Queue *self, int error, const changes *wanted)
{
    PyObject *detail = Py_BuildValue("lll", wanted->uid, wanted->gid, wanted->max_bytes);

    if (detail != NULL) {
        mqc_raise("set", error, (PyObject *)self, detail);
        Py_DECREF(detail);
    }
}

static PyObject *
Queue_set(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"mode", "uid", "gid", "max_bytes", NULL};
    Queue *self = (Queue *)op;
    PyObject *mode = Py_None, *uid = Py_None, *gid = Py_None, *max_bytes = Py_None;
    changes wanted = {-1, -1, -1, -1};
    int error;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$OOOO:set", names, &mode, &uid, &gid,
                                     &max_bytes) ||
        read_change(mode, "mode", 0, 0777, "permission bits, 0 to 0o777", &wanted.mode) < 0 ||
        read_change(uid, "uid", 0, MOST_USER, "0 to 4294967294", &wanted.uid) < 0 ||
        read_change(gid, "gid", 0, MOST_USER, "0 to 4294967294", &wanted.gid) < 0 ||
        read_change(max_bytes, "max_bytes", 1, LONG_MAX, "1 or more", &wanted.max_bytes) < 0) {
        return NULL;
    }
    error = mqc_hold(&self->base.gate);
    if (error == 0) {
        error = system_set(self->id, &wanted);
        mqc_unhold(&self->base.gate);
    }
    if (error != 0) {
        raise_set(self, error, &wanted);
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(Queue_qsize_doc,
             "qsize($self, /)\n--\n\n"
             "Return the approximate number of messages in the queue.\n"
             "\n"
             "qsize() > 0 does not mean that get() will not block: other processes are at\n"
             "work.\n"
             "\n"
             ":raises QueueError: INVALID_DESCRIPTOR, NO_PERMISSIONS\n");

static PyObject *
Queue_qsize(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct msqid_ds status;

    if (read_status((Queue *)op, &status) < 0) {
        return NULL;
    }
    return PyLong_FromUnsignedLong(status.msg_qnum);
}

PyDoc_STRVAR(Queue_empty_doc,
             "empty($self, /)\n--\n\n"
             "Return True if the queue held no message a moment ago.\n");

static PyObject *
Queue_empty(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct msqid_ds status;

    if (read_status((Queue *)op, &status) < 0) {
        return NULL;
    }
    return PyBool_FromLong(status.msg_qnum == 0);
}

static PyObject *
Queue_get_key(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLong(((Queue *)op)->key);
}

static PyObject *
Queue_get_id(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(((Queue *)op)->id);
}

/* The capacity may be changed by anybody with the right to: ask as long as the queue is open. */
static long
current_max_bytes(Queue *self)
{
    struct msqid_ds status;

    if (mqc_hold(&self->base.gate) == 0) {
        if (system_stat(self->id, &status) == 0) {
            atomic_store(&self->max_bytes, capacity(&status));
        }
        mqc_unhold(&self->base.gate);
    }
    return atomic_load(&self->max_bytes);
}

static PyObject *
Queue_get_max_bytes(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(current_max_bytes((Queue *)op));
}

static PyObject *
Queue_get_maxmsgsize(PyObject *op, void *Py_UNUSED(closure))
{
    long max_bytes = current_max_bytes((Queue *)op);
    long msgmax = system_msgmax();

    return PyLong_FromLong(max_bytes < msgmax ? max_bytes : msgmax);
}

/* ***** type spec ***** */

#define METHOD(name, flags)                                                                        \
    {#name, (PyCFunction)(void (*)(void))Queue_##name, flags, Queue_##name##_doc}

static PyMethodDef Queue_methods[] = {
    METHOD(put, METH_FASTCALL | METH_KEYWORDS),
    METHOD(put_nowait, METH_FASTCALL | METH_KEYWORDS),
    METHOD(get, METH_FASTCALL | METH_KEYWORDS),
    METHOD(get_nowait, METH_FASTCALL | METH_KEYWORDS),
    METHOD(receive, METH_FASTCALL | METH_KEYWORDS),
    METHOD(put_many, METH_FASTCALL | METH_KEYWORDS),
    METHOD(get_many, METH_FASTCALL | METH_KEYWORDS),
    METHOD(get_into, METH_FASTCALL | METH_KEYWORDS),
    METHOD(peek, METH_FASTCALL | METH_KEYWORDS),
    METHOD(from_id, METH_VARARGS | METH_KEYWORDS | METH_CLASS),
    METHOD(qattr, METH_NOARGS),
    METHOD(stat, METH_NOARGS),
    METHOD(set, METH_VARARGS | METH_KEYWORDS),
    METHOD(qsize, METH_NOARGS),
    METHOD(empty, METH_NOARGS),
    {"_watch", Queue_watch, METH_VARARGS, Queue_watch_doc},
    METHOD(close, METH_NOARGS),
    METHOD(detach, METH_NOARGS),
    {"__enter__", Queue_enter, METH_NOARGS, Queue_enter_doc},
    {"__exit__", Queue_exit, METH_VARARGS, Queue_exit_doc},
    {"__reduce__", Queue_reduce, METH_NOARGS, Queue_reduce_doc},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS,
     "Queue[T] is a queue whose items are of type T."},
    {NULL},
};

static PyGetSetDef Queue_getset[] = {
    {"key", Queue_get_key, NULL, "The key; 0 for a private queue.", NULL},
    {"id", Queue_get_id, NULL, "The kernel's identifier, as ipcs(1) shows it.", NULL},
    {"serializer", mqc_get_serializer, NULL, "What turns items into messages and back.", NULL},
    {"max_bytes", Queue_get_max_bytes, NULL,
     "The bytes that the messages in the queue may have together; sys.maxsize where this\n"
     "user may write but not look.",
     NULL},
    {"maxmsgsize", Queue_get_maxmsgsize, NULL,
     "The longest message in bytes: kernel.msgmax or max_bytes, whichever is less.", NULL},
    {"on_signal", mqc_get_on_signal, NULL,
     "What a signal does to a waiting call in the main thread: 'raise' or 'retry'.", NULL},
    {"trusted", mqc_get_trusted, NULL, "Whether others' pickles are let in.", NULL},
    {"spin_us", mqc_get_spin_us, NULL, "Microseconds to try again before sleeping.", NULL},
    {"closed", mqc_get_closed, NULL, "True once close() or detach() was called.", NULL},
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
    {Py_tp_richcompare, Queue_richcompare},
    {Py_tp_hash, Queue_hash},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, Queue_next},
    {Py_tp_methods, Queue_methods},
    {Py_tp_getset, Queue_getset},
    {Py_tp_members, Queue_members},
    {0, NULL},
};

static PyType_Spec Queue_spec = {
    .name = "sysvmq.Queue",
    .basicsize = sizeof(Queue),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = Queue_slots,
};

/* ***** module functions ***** */

PyDoc_STRVAR(sysvmq_ftok_doc,
             "ftok($module, /, path, project_id)\n--\n\n"
             "Return the key that ftok(3) makes of an existing file.\n"
             "\n"
             "It is made of the low 8 bits of the device and the low 16 of the inode: two files\n"
             "may give one key, and a file that is made anew gives another. A number agreed\n"
             "upon is a better key.\n"
             "\n"
             ":param path: str, bytes or path-like; the file must exist, and is not read\n"
             ":param project_id: 1 to 255\n"
             ":raises QueueError: DOES_NOT_EXIST (no such file), NO_PERMISSIONS, INVALID_VALUE,\n"
             "    ERROR (what is no folder on the way to it, a circle of links)\n"
             ":raises TypeError, ValueError: no path, or one with a null character\n");

static PyObject *
sysvmq_ftok(PyObject *Py_UNUSED(module), PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"path", "project_id", NULL};
    PyObject *path = NULL, *project, *result = NULL;
    long project_id;
    key_t key;
    int error;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&O:ftok", names, PyUnicode_FSConverter, &path,
                                     &project)) {
        return NULL;
    }
    if (mqc_read_long(project, "project_id", 1, 255, "1 to 255", &project_id) < 0) {
        Py_DECREF(path);
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    errno = 0;
    key = ftok(PyBytes_AsString(path), (int)project_id);
    error = key == -1 ? errno : 0; /* -1 is a key as well */
    Py_END_ALLOW_THREADS
    if (error != 0) {
        mqc_raise("ftok", error, NULL, path);
    }
    else {
        result = PyLong_FromUnsignedLong((uint32_t)key);
    }
    Py_DECREF(path);
    return result;
}

PyDoc_STRVAR(sysvmq_remove_doc,
             "remove($module, /, msqid)\n--\n\n"
             "Remove a queue with all its messages from the kernel, by its id; see IPC_RMID in\n"
             "msgctl(2).\n"
             "\n"
             "Everybody who waits on it is woken and raises INVALID_DESCRIPTOR. An open Queue\n"
             "is removed by its close().\n"
             "\n"
             ":param msqid: 0 to 2147483647, as ipcs(1) and list_queues() show it\n"
             ":raises QueueError: DOES_NOT_EXIST, NO_PERMISSIONS (only its owner, its creator\n"
             "    or root may), INVALID_VALUE\n");

static PyObject *
sysvmq_remove(PyObject *Py_UNUSED(module), PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"msqid", NULL};
    PyObject *msqid;
    long id;
    int error;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:remove", names, &msqid) ||
        read_id(msqid, &id) < 0) {
        return NULL;
    }
    error = system_remove((int)id);
    if (error != 0) {
        raise_by_id("remove", error == EIDRM ? ENOENT : error, id);
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(sysvmq_limits_doc,
             "limits($module, /)\n--\n\n"
             "Return the system's limits, and how much of them is in use now, as a Limits; see\n"
             "MSG_INFO in msgctl(2). It counts the queues of this IPC namespace.\n"
             "\n"
             ":raises QueueError: ERROR\n");

static PyObject *
sysvmq_limits(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
#ifndef __linux__
    mqc_raise("limits", ENOSYS, NULL, NULL);
    return NULL;
#else
    PyObject *class, *result;
    struct msginfo information;

    if (msgctl(0, MSG_INFO, (struct msqid_ds *)&information) < 0) {
        mqc_raise("limits", errno, NULL, NULL);
        return NULL;
    }
    class = mqc_import("sysvmq._limits", "Limits");
    if (class == NULL) {
        return NULL;
    }
    /* MSG_INFO gives three fields another meaning than their names say. */
    result = PyObject_CallFunction(class, "iiiiii", information.msgmax, information.msgmnb,
                                   information.msgmni, information.msgpool, information.msgmap,
                                   information.msgtql);
    Py_DECREF(class);
    return result;
#endif
}

static PyMethodDef sysvmq_functions[] = {
    {"ftok", (PyCFunction)(void (*)(void))sysvmq_ftok, METH_VARARGS | METH_KEYWORDS,
     sysvmq_ftok_doc},
    {"remove", (PyCFunction)(void (*)(void))sysvmq_remove, METH_VARARGS | METH_KEYWORDS,
     sysvmq_remove_doc},
    {"limits", sysvmq_limits, METH_NOARGS, sysvmq_limits_doc},
    {NULL},
};

/* ***** exec, traverse, clear ***** */

static int
sysvmq_exec(PyObject *module)
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
sysvmq_traverse(PyObject *module, visitproc visit, void *arg)
{
    module_state *state = PyModule_GetState(module);

    Py_VISIT(state->Queue);
    return mqc_state_traverse(&state->common, visit, arg);
}

static int
sysvmq_clear(PyObject *module)
{
    module_state *state = PyModule_GetState(module);

    Py_CLEAR(state->Queue);
    mqc_state_clear(&state->common);
    return 0;
}

static void
sysvmq_free(void *module)
{
    sysvmq_clear(module);
}

/* ***** definition ***** */

MQC_MODULE_SLOTS(sysvmq_slots, sysvmq_exec);

static struct PyModuleDef sysvmq_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "sysvmq._sysvmq",
    .m_doc = "System V message queues; use them through the package sysvmq.",
    .m_size = sizeof(module_state),
    .m_methods = sysvmq_functions,
    .m_traverse = sysvmq_traverse,
    .m_clear = sysvmq_clear,
    .m_free = sysvmq_free,
};

PyMODINIT_FUNC
PyInit__sysvmq(void)
{
    sysvmq_module.m_slots = mqc_module_slots(sysvmq_slots);
    return PyModuleDef_Init(&sysvmq_module);
}
