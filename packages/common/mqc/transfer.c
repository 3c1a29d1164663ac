/* The methods that transfer one message: put, get, receive, get_into and iteration. */

#include "mqc.h"

#include "transfer.h"

/* Room for one message on the stack. */
typedef union {
    mqc_message message; /* for the alignment */
    char bytes[sizeof(mqc_message) + MQC_SCRATCH];
} mqc_scratch;

/* ***** put ***** */

static inline Py_ALWAYS_INLINE mqc_outcome
mqc_send_attempt(void *context, int may_sleep, int *os_errno)
{
    return mqc_outcome_of(mqc_family.send(context, may_sleep), os_errno);
}

/* Find out why the queue can never hold a message of this size. Returns MQC_DONE if it can. */
mqc_outcome
mqc_check_size(mqc_call *call, size_t size)
{
    int error = mqc_family.never_fits(call->queue, size);

    return error == 0 ? MQC_DONE : mqc_call_fail(call, error);
}

/* Send a copy of the message that has its mark in front. Never inlined: the buffer is large. */
static Py_NO_INLINE mqc_outcome
mqc_send_copy(mqc_call *call)
{
    mqc_scratch scratch;
    mqc_message *message = &scratch.message;
    mqc_outcome outcome;

    if (call->size > MQC_SCRATCH) {
        message = malloc(sizeof(mqc_message) + call->size);
        if (message == NULL) {
            PyErr_NoMemory();
            return MQC_RAISED;
        }
    }
    message->mark = call->mark;
    memcpy(message->text, call->data, call->size);
    call->data = message->text;
    outcome =
        mqc_transfer(call, (mqc_work){mqc_send_attempt, call, MQC_PUT, call->size > MQC_LARGE});
    call->data = NULL; /* the copy ends here */
    if (message != &scratch.message) {
        free(message);
    }
    return outcome;
}

static inline mqc_outcome
mqc_send(mqc_call *call)
{
    mqc_outcome outcome;

    /* Before anything is copied: a message that no queue takes may have any size. */
    if (call->size > call->queue->check_above) {
        outcome = mqc_check_size(call, call->size);
        if (outcome != MQC_DONE) {
            return outcome;
        }
    }
    if (mqc_family.mark_in_front) {
        outcome = mqc_send_copy(call);
    }
    else {
        outcome =
            mqc_transfer(call, (mqc_work){mqc_send_attempt, call, MQC_PUT, call->size > MQC_LARGE});
    }
    if (outcome == MQC_WOULD_BLOCK) { /* Full is for a message that would fit later */
        mqc_outcome fits = mqc_check_size(call, call->size);
        return fits == MQC_DONE ? MQC_WOULD_BLOCK : fits;
    }
    return outcome;
}

/* Raise the error of a put that ended with this outcome; size is that of the message. */
void
mqc_raise_put(mqc_call *call, mqc_outcome outcome, size_t size)
{
    if (outcome == MQC_WOULD_BLOCK) {
        PyErr_SetNone(call->queue->state->Full);
    }
    else if (outcome != MQC_RAISED) {
        mqc_raise_with(call->operation, mqc_call_error(call, outcome), (PyObject *)call->queue,
                       PyLong_FromSize_t(size));
    }
}

static inline PyObject *
mqc_put_item(mqc_call *call, PyObject *item, PyObject *mark, PyObject *protocol)
{
    mqc_queue *queue = call->queue;
    mqc_payload payload;
    mqc_outcome outcome;

    if (mark != NULL && mqc_family.read_mark(mark, &call->mark) < 0) {
        return NULL;
    }
    if (atomic_load_explicit(&queue->gate.closed, memory_order_relaxed)) {
        mqc_raise(call->operation, EBADF, (PyObject *)queue, NULL);
        return NULL;
    }
    if (mqc_encode(queue->state, &queue->serializer, item, protocol, &payload) < 0) {
        return NULL;
    }
    call->data = payload.data;
    call->size = (size_t)payload.size;
    outcome = mqc_send(call);
    mqc_payload_release(&payload);
    if (outcome != MQC_DONE) {
        mqc_raise_put(call, outcome, call->size);
        return NULL;
    }
    Py_RETURN_NONE;
}

PyObject *
mqc_put(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    const mqc_parameters *parameters = &mqc_family.put;
    PyObject *values[MQC_WORDS];
    mqc_arguments given;
    mqc_call call;

    mqc_call_begin(&call, op, MQC_OP_PUT, MQC_FOREVER);
    call.mark = mqc_family.first_mark;
    if (mqc_is_plain(parameters, nargs, kwnames)) {
        return mqc_put_item(&call, args[0], NULL, NULL);
    }
    given = (mqc_arguments){parameters, args, nargs, kwnames};
    if (mqc_parse(call.queue->state, &given, values) < 0 ||
        mqc_read_wait(values[MQC_BLOCK], values[MQC_TIMEOUT], &call.wait_ns) < 0) {
        return NULL;
    }
    return mqc_put_item(&call, values[MQC_ITEM], values[MQC_MARK], values[MQC_PROTOCOL]);
}

PyObject *
mqc_put_nowait(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    const mqc_arguments given = {&mqc_family.put_nowait, args, nargs, kwnames};
    PyObject *values[MQC_WORDS];
    mqc_call call;

    mqc_call_begin(&call, op, MQC_OP_PUT, 0);
    call.mark = mqc_family.first_mark;
    if (mqc_parse(call.queue->state, &given, values) < 0) {
        return NULL;
    }
    return mqc_put_item(&call, values[MQC_ITEM], values[MQC_MARK], values[MQC_PROTOCOL]);
}

/* ***** get ***** */

/* Make more room: the kernel has kept a message that is longer. Returns 0 or an errno. */
static int
mqc_grow_room(mqc_call *call)
{
    size_t capacity = call->capacity * 2;
    mqc_message *message;

    if (call->capacity >= call->most) {
        return E2BIG;
    }
    capacity = capacity > call->most ? call->most : capacity;
    if (call->view == NULL && /* the bytes are to become an object */
        mqc_reserve_grow(&call->reserve, capacity + 4 * MQC_EXCEPTION_BYTES) < 0) {
        return ENOMEM;
    }
    message = malloc(sizeof(mqc_message) + capacity); /* not Python's: nobody holds the GIL */
    if (message == NULL) {
        return ENOMEM;
    }
    free(call->heap);
    call->heap = message;
    call->text = message->text;
    call->capacity = capacity;
    return 0;
}

static inline Py_ALWAYS_INLINE mqc_outcome
mqc_receive_attempt(void *context, int may_sleep, int *os_errno)
{
    mqc_call *call = context;

    for (;;) {
        int error = mqc_family.receive_message(call, may_sleep);
        if (error == E2BIG) {
            error = mqc_grow_room(call);
            if (error == 0) {
                continue;
            }
        }
        return mqc_outcome_of(error, os_errno);
    }
}

/* A queue that could only be written to when it was opened may be readable by now, as its owner
 * can change that. Check who else writes to it before anything is decoded. */
int
mqc_recheck_writers(mqc_call *call)
{
    if (!atomic_load_explicit(&call->queue->unchecked, memory_order_relaxed)) {
        return 0;
    }
    return mqc_family.recheck_writers(call);
}

/* Begin with room for the longest message that is known of, as more of that size may come. */
static inline int
mqc_make_room(mqc_call *call, mqc_message *message)
{
    call->capacity = atomic_load_explicit(&call->queue->longest, memory_order_relaxed);
    call->most = INT_MAX; /* kernel.msgmax is an int */
    if (call->capacity > MQC_SCRATCH) {
        message = malloc(sizeof(mqc_message) + call->capacity);
        if (message == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        call->heap = message;
    }
    call->text = message->text;
    return 0;
}

/* The bytes of one message. Never inlined: the buffer must be off the stack while the serializer
 * runs, which may get from a queue itself. */
static Py_NO_INLINE PyObject *
mqc_receive_bytes(mqc_call *call)
{
    mqc_scratch scratch;
    PyObject *bytes = NULL;

    if (mqc_make_room(call, &scratch.message) < 0) {
        return NULL;
    }
    if (mqc_receive_work(call, (mqc_work){mqc_receive_attempt, call, MQC_GET,
                                          call->capacity > MQC_LARGE}) == 0) {
        bytes = mqc_call_bytes(call);
    }
    if (call->heap != NULL) {
        atomic_store_explicit(&call->queue->longest, call->capacity, memory_order_relaxed);
        free(call->heap);
    }
    call->text = NULL; /* the room ends here */
    return bytes;
}

/* Receive and decode a message. The caller has taken the reserve. */
static inline PyObject *
mqc_receive_item(mqc_call *call)
{
    if (mqc_recheck_writers(call) < 0) {
        return NULL;
    }
    return mqc_call_decode(call, mqc_receive_bytes(call));
}

/* Reserve memory for the longest message that is known of. Returns -1 with MemoryError. */
static inline int
mqc_take_reserve(mqc_call *call)
{
    mqc_queue *queue = call->queue;
    size_t longest = atomic_load_explicit(&queue->longest, memory_order_relaxed);

    call->reserve = mqc_reserve_take(&queue->reserve, longest);
    return call->reserve == NULL ? -1 : 0;
}

static PyObject *
mqc_get_item(mqc_call *call)
{
    PyObject *item;

    if (mqc_take_reserve(call) < 0) {
        return NULL;
    }
    item = mqc_receive_item(call);
    mqc_reserve_keep(&call->queue->reserve, call->reserve);
    return item;
}

/* An item with its mark, as a Message. */
PyObject *
mqc_receive_message(mqc_call *call)
{
    PyObject *message;

    if (mqc_take_reserve(call) < 0) {
        return NULL;
    }
    message = mqc_call_message(call, mqc_receive_item(call));
    mqc_reserve_keep(&call->queue->reserve, call->reserve);
    return message;
}

/* Read what get and its relatives have in common: how long to wait, unless the method is one that
 * never does, and what to receive. */
int
mqc_read_selection(mqc_call *call, PyObject *const *values)
{
    if (call->wait_ns != 0 &&
        mqc_read_wait(values[MQC_BLOCK], values[MQC_TIMEOUT], &call->wait_ns) < 0) {
        return -1;
    }
    if (mqc_family.select == NULL) {
        return 0;
    }
    return mqc_family.select(call, values[MQC_MARK], values[MQC_EXCLUDE]);
}

static inline Py_ALWAYS_INLINE PyObject *
mqc_get_one(PyObject *op, const mqc_arguments *given, int64_t wait_ns)
{
    mqc_call call;

    mqc_call_begin(&call, op, MQC_OP_GET, wait_ns);
    if (!mqc_is_plain(given->parameters, given->nargs, given->kwnames)) {
        PyObject *values[MQC_WORDS];
        if (mqc_parse(call.queue->state, given, values) < 0 ||
            mqc_read_selection(&call, values) < 0) {
            return NULL;
        }
    }
    return mqc_get_item(&call);
}

PyObject *
mqc_get(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    const mqc_arguments given = {&mqc_family.get, args, nargs, kwnames};

    return mqc_get_one(op, &given, MQC_FOREVER);
}

PyObject *
mqc_get_nowait(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    const mqc_arguments given = {&mqc_family.get_nowait, args, nargs, kwnames};

    return mqc_get_one(op, &given, 0);
}

PyObject *
mqc_receive(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    const mqc_arguments given = {&mqc_family.receive, args, nargs, kwnames};
    PyObject *values[MQC_WORDS];
    mqc_call call;

    mqc_call_begin(&call, op, MQC_OP_GET, MQC_FOREVER);
    if (mqc_parse(call.queue->state, &given, values) < 0 || mqc_read_selection(&call, values) < 0) {
        return NULL;
    }
    return mqc_receive_message(&call);
}

/* ***** get_into ***** */

/* Receive into the view. Where the mark stands in front of the text, the message takes a detour:
 * one that does not fit then stays in the queue. Without the detour the view must have room for
 * the longest message, or the kernel would refuse even those that fit. */
static Py_NO_INLINE int
mqc_receive_into(mqc_call *call)
{
    size_t room = (size_t)call->view->len;
    mqc_scratch scratch;
    mqc_message *message = &scratch.message;
    int result;

    if (mqc_family.mark_in_front) {
        call->text = message->text;
        call->capacity = room < MQC_SCRATCH ? room : MQC_SCRATCH;
        call->most = room;
    }
    else {
        call->text = call->view->buf;
        call->capacity = atomic_load(&call->queue->longest);
    }
    result = mqc_receive_work(
        call, (mqc_work){mqc_receive_attempt, call, MQC_GET, call->capacity > MQC_LARGE});
    if (result == 0 && mqc_family.mark_in_front) {
        memcpy(call->view->buf, call->text, call->size);
    }
    call->text = NULL; /* the room ends here */
    free(call->heap);
    return result;
}

static PyObject *
mqc_get_into_view(mqc_call *call)
{
    mqc_queue *queue = call->queue;
    PyObject *result = NULL;

    if (!mqc_family.mark_in_front && (size_t)call->view->len < atomic_load(&queue->longest)) {
        mqc_raise_with(call->operation, EMSGSIZE, (PyObject *)queue,
                       PyLong_FromSsize_t(call->view->len));
        return NULL;
    }
    call->reserve = mqc_reserve_take(&queue->reserve, 0);
    if (call->reserve == NULL) {
        return NULL;
    }
    if (mqc_receive_into(call) == 0) {
        result = mqc_call_size_and_mark(call);
    }
    mqc_reserve_keep(&queue->reserve, call->reserve);
    return result;
}

static PyObject *
mqc_get_into_buffer(mqc_call *call, PyObject *buffer)
{
    PyObject *result;
    Py_buffer view;

    if (PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE) < 0) {
        return NULL;
    }
    call->view = &view;
    result = mqc_get_into_view(call);
    call->view = NULL;
    PyBuffer_Release(&view);
    return result;
}

PyObject *
mqc_get_into(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    const mqc_parameters *parameters = &mqc_family.get_into;
    PyObject *values[MQC_WORDS];
    mqc_arguments given;
    mqc_call call;

    mqc_call_begin(&call, op, MQC_OP_GET_INTO, MQC_FOREVER);
    if (mqc_is_plain(parameters, nargs, kwnames)) {
        return mqc_get_into_buffer(&call, args[0]);
    }
    given = (mqc_arguments){parameters, args, nargs, kwnames};
    if (mqc_parse(call.queue->state, &given, values) < 0 || mqc_read_selection(&call, values) < 0) {
        return NULL;
    }
    return mqc_get_into_buffer(&call, values[MQC_BUFFER]);
}

/* ***** iteration ***** */

/* If the exception says that the queue is closed or removed, clear it: that ends an iteration. */
static void
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

/* The next item of an iteration, which ends when the queue is closed or removed. */
PyObject *
mqc_next(PyObject *op)
{
    mqc_queue *queue = (mqc_queue *)op;
    mqc_call call;
    PyObject *item;

    mqc_call_begin(&call, op, MQC_OP_GET, MQC_FOREVER);
    if (queue->opened && atomic_load(&queue->gate.closed)) {
        return NULL;
    }
    item = mqc_get_item(&call);
    if (item == NULL && queue->opened) {
        /* Only what the queue itself refused: a signal handler may have closed it, and raised the
         * EBADF of something else. */
        int is_closed = call.refusal == EBADF && atomic_load(&queue->gate.closed);
        if (is_closed || call.refusal == EIDRM) {
            mqc_end_iteration();
        }
    }
    return item;
}
