/* Put and get. */

#include "posixmq.h"

#include <poll.h> /* waiting on a descriptor that somebody made non-blocking */

#include "mqc/argument.h"
#include "mqc/batch.h"
#include "mqc/call.h"
#include "mqc/error.h"
#include "mqc/transfer.h"

/* A deadline long past: the call returns ETIMEDOUT where it would block. O_NONBLOCK would be
 * seen by every process that shares the open file description. */
static const mq_timespec LONG_PAST;

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

static inline Py_ALWAYS_INLINE mqc_outcome
send_attempt(void *context, int may_sleep, int *os_errno)
{
    const outgoing *message = context;
    const mq_timespec *timeout = MQC_SLEEPS(may_sleep) ? NULL : &LONG_PAST;

    for (;;) {
        if (syscall(MQC_SYS_mq_timedsend, message->fd, message->data, message->size,
                    message->priority, timeout) >= 0) {
            return MQC_DONE;
        }
        if (errno != EAGAIN || !MQC_SLEEPS(may_sleep) ||
            sleep_on_descriptor(message->fd, POLLOUT) != 0) {
            return mqc_outcome_of(errno, os_errno);
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
static inline Py_ALWAYS_INLINE mqc_outcome
receive_attempt(void *context, int may_sleep, int *os_errno)
{
    incoming *message = context;
    const mq_timespec *timeout = MQC_SLEEPS(may_sleep) ? NULL : &LONG_PAST;

    for (;;) {
        message->size = syscall(MQC_SYS_mq_timedreceive, message->fd, message->buffer,
                                message->capacity, &message->priority, timeout);
        if (message->size >= 0) {
            return MQC_DONE;
        }
        if (errno != EAGAIN || !MQC_SLEEPS(may_sleep) ||
            sleep_on_descriptor(message->fd, POLLIN) != 0) {
            return mqc_outcome_of(errno, os_errno);
        }
    }
}

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

static mqc_outcome
send_one(void *context, const mqc_payload *payload, int may_sleep, int *os_errno)
{
    outgoing *message = context;

    message->data = payload->data;
    message->size = (size_t)payload->size;
    return send_attempt(message, may_sleep, os_errno);
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

static mqc_outcome
receive_one(void *context, mqc_slot *slot, size_t capacity, int may_sleep, int *os_errno)
{
    const Queue *self = context;
    incoming message = {.fd = self->fd, .buffer = slot->text, .capacity = capacity};
    mqc_outcome outcome = receive_attempt(&message, may_sleep, os_errno);

    if (outcome == MQC_DONE) {
        slot->size = (size_t)message.size;
        slot->place = (long)message.priority;
    }
    return outcome;
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

PyObject *
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

PyObject *
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

PyObject *
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

PyObject *
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

PyObject *
Queue_get_nowait(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    origin from = {0};

    return get_item((Queue *)op, 0, &from);
}

PyObject *
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

PyObject *
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

PyObject *
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

PyObject *
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
PyObject *
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
