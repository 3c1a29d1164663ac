/* Put and get. */

#include "sysvmq.h"

#include "mqc/argument.h"
#include "mqc/batch.h"
#include "mqc/call.h"
#include "mqc/error.h"
#include "mqc/transfer.h"

typedef struct {
    int id;
    message_buffer *buffer;
    size_t size;
} outgoing;

static inline Py_ALWAYS_INLINE mqc_outcome
send_attempt(void *context, int may_sleep, int *os_errno)
{
    const outgoing *message = context;
    int error;

    if (may_sleep) { /* the kernel would let a message wait that is longer than the queue */
        error = never_fits(message->id, message->size);
        if (error != 0) {
            return mqc_outcome_of(error, os_errno);
        }
    }
    if (msgsnd(message->id, message->buffer, message->size,
               MQC_SLEEPS(may_sleep) ? 0 : IPC_NOWAIT) == 0) {
        return MQC_DONE;
    }
    error = errno;
    if (error == EINVAL) {
        error = never_fits(message->id, message->size);
        error = error != 0 ? error : EIDRM;
    }
    return mqc_outcome_of(error, os_errno);
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
static inline Py_ALWAYS_INLINE mqc_outcome
receive_attempt(void *context, int may_sleep, int *os_errno)
{
    incoming *message = context;

    for (;;) {
        int error;

        message->size =
            system_receive(message->id, message->buffer, message->capacity, message->type,
                           message->flags | (MQC_SLEEPS(may_sleep) ? 0 : IPC_NOWAIT));
        if (message->size >= 0) {
            return MQC_DONE;
        }
        error = errno;
        if (error == EINVAL) {
            error = no_message(message);
        }
        else if (error == E2BIG) {
            error = grow(message);
        }
        if (error != 0) {
            return mqc_outcome_of(error, os_errno);
        }
    }
}

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
    int error = mqc_use_begin(&self->base.gate);

    if (error == 0) {
        error = check_writers(self->id, &writers);
        mqc_use_end(&self->base.gate);
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

static mqc_outcome
send_one(void *context, const mqc_payload *payload, int may_sleep, int *os_errno)
{
    outgoing *message = context;

    message->size = (size_t)payload->size;
    memcpy(message->buffer->text, payload->data, message->size);
    return send_attempt(message, may_sleep, os_errno);
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

static mqc_outcome
receive_one(void *context, mqc_slot *slot, size_t capacity, int may_sleep, int *os_errno)
{
    const batch *receiving = context;
    /* The slot is laid out as a message_buffer from its place on. */
    ssize_t size =
        system_receive(receiving->id, &slot->place, capacity, receiving->wanted.type,
                       receiving->wanted.flags | (MQC_SLEEPS(may_sleep) ? 0 : IPC_NOWAIT));

    if (size >= 0) {
        slot->size = (size_t)size;
        count_the_rest(receiving);
        return MQC_DONE;
    }
    return mqc_outcome_of(removed_or(errno), os_errno);
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

PyObject *
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

PyObject *
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

PyObject *
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

PyObject *
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

PyObject *
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

PyObject *
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

PyObject *
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

PyObject *
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

PyObject *
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
PyObject *
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

PyObject *
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
