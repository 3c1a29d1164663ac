/* System V message queues for Python: one call into C and one system call a message.
 *
 * The file follows a message: module state, system calls, opening and closing, put and get,
 * attributes, and at the end the type and the module. mqc_wait.h says how a call waits,
 * mqc_python.h what both extensions of the project need of Python.
 */

/* ***** includes ***** */

#define _GNU_SOURCE /* sched_getaffinity, SIGEV_THREAD_ID, IPC_INFO */
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
#include "mqc_python.h"

/* ***** module state ***** */

typedef struct {
    mqc_state common;
    PyTypeObject *Queue;
} module_state;

typedef struct {
    PyObject_HEAD
    module_state *state; /* the type keeps the module alive, and the module its state */
    mqc_gate gate;
    int id;
    int on_signal_raises;
    unsigned long key;     /* 0 for a private queue */
    atomic_long max_bytes; /* as last seen; LONG_MAX where this user may not look */
    atomic_size_t longest; /* the receive buffer to start with: grows with what arrives */
    mqc_serializer serializer;
    PyObject *weakrefs;
} Queue;

/* key_t has 32 bits; where long has no more, the upper half of them cannot be named. */
#define MOST_KEY (LONG_MAX > 4294967295 ? (long)4294967295 : LONG_MAX)

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

static long
capacity(const struct msqid_ds *status)
{
    return status->msg_qbytes > LONG_MAX ? LONG_MAX : (long)status->msg_qbytes;
}

static int
system_remove(int id)
{
    return msgctl(id, IPC_RMID, NULL) < 0 ? removed_or(errno) : 0;
}

/* Change the capacity unless it is what was asked for: others' queues may be used as well. */
static int
system_set_max_bytes(int id, long max_bytes)
{
    struct msqid_ds status;
    int error = system_stat(id, &status);

    if (error != 0 || status.msg_qbytes == (unsigned long)max_bytes) {
        return error;
    }
    status.msg_qbytes = (unsigned long)max_bytes;
    if (msgctl(id, IPC_SET, &status) == 0) {
        return 0;
    }
    if (errno != EINVAL) {
        return errno;
    }
    /* Removed, or its owner has no number in this user namespace. */
    error = system_stat(id, &status);
    return error != 0 ? error : EPERM;
}

/* Why a message that the kernel refused with EINVAL, or has no room for, can never be sent. */
static int
never_fits(int id, size_t size)
{
    struct msqid_ds status;
    int error = system_stat(id, &status);

    if (error == EACCES) { /* a writer who may not look */
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

static int
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
    ssize_t size;
    long type; /* asked for; what came is in buffer->type */
} incoming;

/* The kernel keeps a message that is longer than the buffer: make room for it. */
static int
grow(incoming *message)
{
    size_t capacity = message->capacity * 2;
    message_buffer *buffer;

    if (capacity > INT_MAX) {
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

static int
receive_attempt(void *context, int may_sleep)
{
    incoming *message = context;

    for (;;) {
        message->size = msgrcv(message->id, message->buffer, message->capacity, message->type,
                               MQC_SLEEPS(may_sleep) ? 0 : IPC_NOWAIT);
        if (message->size >= 0) {
            return 0;
        }
        if (errno == ENOMSG) {
            return EAGAIN;
        }
        if (errno != E2BIG) {
            return removed_or(errno);
        }
        if (grow(message) != 0) {
            return ENOMEM;
        }
    }
}

/* ***** opening ***** */

typedef struct {
    unsigned long key;
    long max_bytes, mode;
    int create, exclusive;
    int created; /* result: this call made the queue */
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

/* Give the queue its size; one that this call created does not outlive a failure. */
static int
open_and_size_queue(open_request *request, int *id, long *max_bytes)
{
    struct msqid_ds status;
    int error = open_queue(request, id);

    if (error == 0 && request->max_bytes > 0) {
        error = system_set_max_bytes(*id, request->max_bytes);
        if (error != 0 && request->created) {
            system_remove(*id);
        }
    }
    if (error == 0) {
        error = system_stat(*id, &status);
        *max_bytes = error == 0 ? capacity(&status) : LONG_MAX;
        error = error == EACCES ? 0 : error; /* a writer who may not look */
    }
    return error;
}

static void
raise_open(const open_request *request, int error)
{
    PyObject *detail = Py_BuildValue("klii", request->key, request->max_bytes, request->create,
                                     request->exclusive);

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

/* ***** lifecycle ***** */

static PyObject *
Queue_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    allocfunc allocate = PyType_GetSlot(type, Py_tp_alloc);
    module_state *state = mqc_state_of_type(type, &sysvmq_module);
    Queue *self;

    if (state == NULL) {
        return NULL;
    }
    self = (Queue *)allocate(type, 0);
    if (self != NULL) {
        self->state = state;
        self->id = -1;
        atomic_store(&self->longest, MQC_SCRATCH);
        mqc_gate_register(&self->gate);
    }
    return (PyObject *)self;
}

PyDoc_STRVAR(Queue_doc,
             "Queue(key=None, max_bytes=None, *, serializer=None, mode=0o600, create=True, "
             "exclusive=False, on_signal='raise', spin_us=None)\n"
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
             ":raises QueueError: INVALID_VALUE, NO_PERMISSIONS, NO_SYSTEM_RESOURCES,\n"
             "    DOES_NOT_EXIST, EXISTS; the message names the limit that was hit\n"
             ":raises TypeError: an argument of the wrong type, or a serializer without dumps\n"
             "    or loads\n"
             ":raises ValueError: on_signal or spin_us out of range, exclusive without create\n");

/* Open the queue and put all that the constructor was given in its place. */
static int
set_up(Queue *self, open_request *request, PyObject *serializer)
{
    mqc_serializer methods;
    long max_bytes = 0;
    int error, id;

    if (mqc_serializer_init(&self->state->common, &methods, serializer) < 0) {
        return -1;
    }
    Py_BEGIN_ALLOW_THREADS
    do {
        error = open_and_size_queue(request, &id, &max_bytes);
    } while (error == EIDRM && request->create); /* somebody removed it meanwhile: once more */
    Py_END_ALLOW_THREADS
    if (error != 0) {
        mqc_serializer_clear(&methods);
        raise_open(request, error);
        return -1;
    }
    self->serializer = methods;
    self->id = id;
    self->key = request->key;
    atomic_store(&self->max_bytes, max_bytes);
    mqc_gate_open(&self->gate);
    return 0;
}

static int
Queue_init(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"key",       "max_bytes", "serializer", "mode", "create",
                            "exclusive", "on_signal", "spin_us",    NULL};
    Queue *self = (Queue *)op;
    PyObject *key = NULL, *max_bytes = NULL, *serializer = NULL, *mode = NULL;
    PyObject *on_signal = NULL, *spin_us = NULL;
    open_request request = {.create = 1};

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OO$OOppOO:Queue", names, &key, &max_bytes,
                                     &serializer, &mode, &request.create, &request.exclusive,
                                     &on_signal, &spin_us)) {
        return -1;
    }
    if (request.exclusive && !request.create) {
        PyErr_SetString(PyExc_ValueError, "exclusive=True needs create=True");
        return -1;
    }
    if (mqc_gate_claim(&self->gate) < 0) {
        return -1;
    }
    if (read_request(key, max_bytes, mode, &request) < 0 ||
        mqc_read_on_signal(on_signal, &self->on_signal_raises) < 0 ||
        mqc_read_spin(spin_us, &self->gate.spin_ns) < 0 || set_up(self, &request, serializer) < 0) {
        mqc_gate_unclaim(&self->gate);
        return -1;
    }
    return 0;
}

static int
Queue_traverse(PyObject *op, visitproc visit, void *arg)
{
    Queue *self = (Queue *)op;

    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->serializer.object);
    Py_VISIT(self->serializer.dumps);
    Py_VISIT(self->serializer.loads);
    return 0;
}

static int
Queue_clear(PyObject *op)
{
    mqc_serializer_clear(&((Queue *)op)->serializer);
    return 0;
}

static void
Queue_dealloc(PyObject *op)
{
    Queue *self = (Queue *)op;
    PyTypeObject *type = Py_TYPE(op);
    freefunc release = PyType_GetSlot(type, Py_tp_free);

    PyObject_GC_UnTrack(op);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(op);
    }
    mqc_gate_unregister(&self->gate);
    Queue_clear(op);
    release(op);
    Py_DECREF(type);
}

static PyObject *
Queue_repr(PyObject *op)
{
    Queue *self = (Queue *)op;
    const char *state = atomic_load(&self->gate.closed) ? " closed" : "";
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

    if (atomic_load(&self->gate.closed)) {
        Py_RETURN_NONE;
    }
    error = system_remove(self->id);
    if (error != 0 && error != EIDRM) {
        mqc_raise("close", error, op, NULL);
        return NULL;
    }
    mqc_close_gate(&self->gate);
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
    mqc_close_gate(&((Queue *)op)->gate);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(Queue_enter_doc, "__enter__($self, /)\n--\n\nReturn the queue itself.\n");

static PyObject *
Queue_enter(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    if (atomic_load(&((Queue *)op)->gate.closed)) {
        mqc_raise("enter a with block", EBADF, op, NULL);
        return NULL;
    }
    return Py_NewRef(op);
}

PyDoc_STRVAR(Queue_exit_doc,
             "__exit__($self, /, *exc_info)\n--\n\n"
             "Detach a queue that has a key; remove a private one, which nobody could find.\n");

static PyObject *
Queue_exit(PyObject *op, PyObject *Py_UNUSED(args))
{
    return mqc_end_block(op, ((Queue *)op)->key == 0 ? "close" : "detach");
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
    error = mqc_move(&self->state->common, &(mqc_transfer){
                                               .gate = &self->gate,
                                               .direction = MQC_PUT,
                                               .attempt = send_attempt,
                                               .context = &message,
                                               .patience = patience,
                                               .on_signal_raises = self->on_signal_raises,
                                               .large = payload->size > MQC_LARGE,
                                           });
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

static PyObject *
put_item(Queue *self, PyObject *item, int64_t patience, PyObject *msg_type, PyObject *protocol)
{
    mqc_payload payload;
    size_t size;
    int error;
    long type = 1;

    if (msg_type != NULL &&
        mqc_read_long(msg_type, "msg_type", 1, LONG_MAX, "1 or more, within a C long", &type) < 0) {
        return NULL;
    }
    if (atomic_load_explicit(&self->gate.closed, memory_order_relaxed)) {
        mqc_raise("put", EBADF, (PyObject *)self, NULL);
        return NULL;
    }
    if (mqc_encode(&self->state->common, &self->serializer, item, protocol, &payload) < 0) {
        return NULL;
    }
    size = (size_t)payload.size;
    error = send_payload(self, &payload, type, patience);
    mqc_payload_release(&payload);
    if (error == 0) {
        Py_RETURN_NONE;
    }
    mqc_raise_put(&self->state->common, (PyObject *)self, error, size);
    return NULL;
}

static int
receive_message(Queue *self, incoming *message, int64_t patience)
{
    mqc_state *state = &self->state->common;
    int error = mqc_move(state, &(mqc_transfer){
                                    .gate = &self->gate,
                                    .direction = MQC_GET,
                                    .attempt = receive_attempt,
                                    .context = message,
                                    .patience = patience,
                                    .on_signal_raises = self->on_signal_raises,
                                    .large = message->capacity > MQC_LARGE,
                                });

    if (error == 0) {
        return 0;
    }
    if (error == EAGAIN) {
        PyErr_SetNone(state->Empty);
    }
    else if (error > 0) {
        mqc_raise("get", error, (PyObject *)self, NULL);
    }
    return -1;
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

/* The bytes of one message, whose type is asked for and returned in *type. Never inlined: the
 * buffer must be off the stack while the serializer runs, which may get from a queue itself. */
static Py_NO_INLINE PyObject *
receive_bytes(Queue *self, int64_t patience, long *type)
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
        .type = *type,
    };
    PyObject *bytes = NULL;

    if (start_with_longest(self, &message) < 0) {
        return NULL;
    }
    if (receive_message(self, &message, patience) == 0) {
        bytes = PyBytes_FromStringAndSize(message.buffer->text, message.size);
        *type = message.buffer->type;
    }
    if (message.buffer != &scratch.message) {
        atomic_store_explicit(&self->longest, message.capacity, memory_order_relaxed);
        free(message.buffer);
    }
    return bytes;
}

static PyObject *
get_item(Queue *self, int64_t patience, PyObject *msg_type)
{
    PyObject *bytes;
    long type = 0;

    if (msg_type != NULL &&
        mqc_read_long(msg_type, "msg_type", LONG_MIN, LONG_MAX, "within a C long", &type) < 0) {
        return NULL;
    }
    bytes = receive_bytes(self, patience, &type);
    return mqc_decode(&self->state->common, &self->serializer, (PyObject *)self, bytes, "msg_type",
                      type);
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
    PyObject *values[5] = {NULL};
    int64_t patience;

    if (mqc_parse(&self->state->common, &parameters, args, nargs, kwnames, values) < 0 ||
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
    PyObject *values[3] = {NULL};

    if (mqc_parse(&self->state->common, &parameters, args, nargs, kwnames, values) < 0) {
        return NULL;
    }
    return put_item(self, values[0], 0, values[1], values[2]);
}

PyDoc_STRVAR(Queue_get_doc,
             "get($self, /, block=True, msg_type=0, *, timeout=None)\n--\n\n"
             "Remove and return an item; see msgrcv(2). The timeout goes by keyword only: the\n"
             "second argument is msg_type.\n"
             "\n"
             ":param block: False to raise queue.Empty at once where there is none\n"
             ":param msg_type: 0 for the oldest message, N > 0 for the oldest of type N, N < 0\n"
             "    for the oldest of the lowest type that is at most -N; within a C long\n"
             ":param timeout: seconds to wait, None for ever; ignored if block is false\n"
             ":raises queue.Empty: there was none in time\n"
             ":raises DecodeError: the serializer refused the message, which .data holds\n"
             ":raises QueueError: INVALID_VALUE, INTERRUPTED, INVALID_DESCRIPTOR,\n"
             "    NO_PERMISSIONS, NO_SYSTEM_RESOURCES, ERROR (no signal is free)\n"
             ":raises ValueError, OverflowError: a timeout that is negative, NaN or too large\n");

static PyObject *
Queue_get(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const mqc_parameters parameters = {
        "get", 0, 2, 3, {MQC_BLOCK, MQC_MSG_TYPE, MQC_TIMEOUT}};
    Queue *self = (Queue *)op;
    PyObject *values[3] = {NULL};
    int64_t patience;

    if (mqc_parse(&self->state->common, &parameters, args, nargs, kwnames, values) < 0 ||
        mqc_read_patience(values[0], values[2], &patience) < 0) {
        return NULL;
    }
    return get_item(self, patience, values[1]);
}

PyDoc_STRVAR(Queue_get_nowait_doc,
             "get_nowait($self, /, msg_type=0)\n--\n\n"
             "Remove and return an item, or raise queue.Empty: get(block=False).\n");

static PyObject *
Queue_get_nowait(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const mqc_parameters parameters = {"get_nowait", 0, 1, 1, {MQC_MSG_TYPE}};
    Queue *self = (Queue *)op;
    PyObject *values[1] = {NULL};

    if (mqc_parse(&self->state->common, &parameters, args, nargs, kwnames, values) < 0) {
        return NULL;
    }
    return get_item(self, 0, values[0]);
}

/* ***** attributes ***** */

/* Ask the kernel; -1 with an exception if it does not say. */
static int
read_status(Queue *self, struct msqid_ds *status)
{
    int error = mqc_hold(&self->gate);

    if (error == 0) {
        error = system_stat(self->id, status);
        mqc_unhold(&self->gate);
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

static PyObject *
Queue_get_serializer(PyObject *op, void *Py_UNUSED(closure))
{
    PyObject *object = ((Queue *)op)->serializer.object;

    return Py_NewRef(object == NULL ? Py_None : object);
}

/* The capacity may be changed by anybody with the right to: ask as long as the queue is open. */
static long
current_max_bytes(Queue *self)
{
    struct msqid_ds status;

    if (mqc_hold(&self->gate) == 0) {
        if (system_stat(self->id, &status) == 0) {
            atomic_store(&self->max_bytes, capacity(&status));
        }
        mqc_unhold(&self->gate);
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

static PyObject *
Queue_get_closed(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(atomic_load(&((Queue *)op)->gate.closed));
}

/* ***** type spec ***** */

#define METHOD(name, flags)                                                                        \
    {#name, (PyCFunction)(void (*)(void))Queue_##name, flags, Queue_##name##_doc}

static PyMethodDef Queue_methods[] = {
    METHOD(put, METH_FASTCALL | METH_KEYWORDS),
    METHOD(put_nowait, METH_FASTCALL | METH_KEYWORDS),
    METHOD(get, METH_FASTCALL | METH_KEYWORDS),
    METHOD(get_nowait, METH_FASTCALL | METH_KEYWORDS),
    METHOD(qattr, METH_NOARGS),
    METHOD(qsize, METH_NOARGS),
    METHOD(empty, METH_NOARGS),
    METHOD(close, METH_NOARGS),
    METHOD(detach, METH_NOARGS),
    {"__enter__", Queue_enter, METH_NOARGS, Queue_enter_doc},
    {"__exit__", Queue_exit, METH_VARARGS, Queue_exit_doc},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS,
     "Queue[T] is a queue whose items are of type T."},
    {NULL},
};

static PyGetSetDef Queue_getset[] = {
    {"key", Queue_get_key, NULL, "The key; 0 for a private queue.", NULL},
    {"id", Queue_get_id, NULL, "The kernel's identifier, as ipcs(1) shows it.", NULL},
    {"serializer", Queue_get_serializer, NULL, "What turns items into messages and back.", NULL},
    {"max_bytes", Queue_get_max_bytes, NULL,
     "The bytes that the messages in the queue may have together; sys.maxsize where this\n"
     "user may write but not look.",
     NULL},
    {"maxmsgsize", Queue_get_maxmsgsize, NULL,
     "The longest message in bytes: kernel.msgmax or max_bytes, whichever is less.", NULL},
    {"closed", Queue_get_closed, NULL, "True once close() or detach() was called.", NULL},
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
    {Py_tp_traverse, Queue_traverse},
    {Py_tp_clear, Queue_clear},
    {Py_tp_repr, Queue_repr},
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
