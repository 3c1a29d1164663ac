/* get_many(). */

#include "mqc.h"

#include "batch.h"

/* One message as it lies in an inbox. */
typedef struct {
    size_t size;
    mqc_message message;
} mqc_slot;

/* Messages that came in, one after the other in one piece of memory. */
typedef struct {
    mqc_call *call;
    size_t most; /* how many are wanted */
    size_t count, used, allocated;
    char *memory;
} mqc_inbox;

/* ***** receiving ***** */

/* Reserve what all messages, and one more, need as objects or as exceptions. */
static int
mqc_inbox_grow_reserve(const mqc_inbox *inbox, size_t used)
{
    mqc_reserve **reserve = &inbox->call->reserve;
    size_t wanted = 2 * used + (inbox->count + 4) * MQC_EXCEPTION_BYTES;

    if (*reserve != NULL && (*reserve)->size >= wanted) {
        return 0;
    }
    return mqc_reserve_grow(reserve, wanted + wanted / 2);
}

/* Make room for one more message. It uses malloc(3), as nobody holds the GIL. */
static mqc_slot *
mqc_inbox_make_room(mqc_inbox *inbox)
{
    size_t wanted = inbox->used + sizeof(mqc_slot) + inbox->call->capacity;

    if (mqc_inbox_grow_reserve(inbox, wanted) < 0) {
        return NULL;
    }
    if (wanted > inbox->allocated) {
        size_t allocated = 2 * wanted; /* enough for several that are not the longest */
        char *memory = realloc(inbox->memory, allocated);
        if (memory == NULL) {
            return NULL;
        }
        inbox->memory = memory;
        inbox->allocated = allocated;
    }
    return (mqc_slot *)(inbox->memory + inbox->used);
}

static size_t
mqc_slot_length(const mqc_slot *slot)
{
    size_t length = sizeof(mqc_slot) + slot->size;
    size_t alignment = _Alignof(mqc_slot);

    return (length + alignment - 1) / alignment * alignment;
}

/* After the first message, count those behind it: writers that keep up must not keep a batch from
 * ending, unless that is a short one. */
static void
mqc_inbox_limit(mqc_inbox *inbox)
{
    if (mqc_family.count_messages != NULL && inbox->count == 1 && inbox->most > MQC_STRETCH) {
        size_t there = 1 + mqc_family.count_messages(inbox->call->queue);
        inbox->most = there < inbox->most ? there : inbox->most;
    }
}

/* Receive one message into the inbox. */
static mqc_outcome
mqc_inbox_receive(mqc_inbox *inbox, int may_sleep, int *os_errno)
{
    mqc_call *call = inbox->call;
    mqc_slot *slot = mqc_inbox_make_room(inbox);
    mqc_outcome outcome;

    if (slot == NULL) {
        return mqc_outcome_of(ENOMEM, os_errno);
    }
    call->text = slot->message.text;
    outcome = mqc_outcome_of(mqc_family.receive_message(call, may_sleep), os_errno);
    if (outcome == MQC_DONE) {
        slot->size = call->size;
        slot->message.mark = call->mark;
        inbox->used += mqc_slot_length(slot);
        inbox->count++;
        mqc_inbox_limit(inbox);
    }
    return outcome;
}

/* Receive what is there, and sleep for the first message only. If something else ends a batch that
 * holds a message, the next call meets it. */
static mqc_outcome
mqc_inbox_attempt(void *context, int may_sleep, int *os_errno)
{
    mqc_inbox *inbox = context;
    mqc_call *call = inbox->call;

    while (inbox->count < inbox->most) {
        int sleeps = inbox->count == 0 ? may_sleep : MQC_MUST_RETURN;
        mqc_outcome outcome = mqc_inbox_receive(inbox, sleeps, os_errno);

        if (outcome == MQC_FAILED && *os_errno == E2BIG && call->capacity < INT_MAX / 2) {
            call->capacity *= 2; /* the kernel has kept a message that is longer */
        }
        else if (outcome != MQC_DONE) {
            return inbox->count > 0 ? MQC_DONE : outcome;
        }
    }
    return MQC_DONE;
}

/* ***** decoding ***** */

/* What a batch becomes: the items, and what went wrong. */
typedef struct {
    mqc_call *call;
    PyObject *items;
    PyObject *failures; /* a DecodeError for each message that did not decode */
    PyObject *raised;   /* what to raise in the end: the first that went wrong */
    int raises_first;   /* raised is a DecodeError, the first of the failures */
} mqc_decoded;

/* Append to a list, which is made if there is none. Returns -1 with an exception. */
static int
mqc_decoded_append(const mqc_decoded *decoded, PyObject **list, PyObject *object)
{
    int result = -1;

    do {
        if (*list == NULL) {
            *list = PyList_New(0);
        }
        if (*list != NULL) {
            result = PyList_Append(*list, object);
        }
    } while (result < 0 && mqc_reserve_retry(&decoded->call->reserve));
    return result;
}

/* Keep the exception that is set, with the message that is lost by it. */
static int
mqc_decoded_fail(mqc_decoded *decoded, PyObject *bytes)
{
    PyObject *cause = mqc_take_exception();
    int foreign;
    PyObject *failure = mqc_call_decode_error(decoded->call, cause, bytes, &foreign);
    int result = mqc_decoded_append(decoded, &decoded->failures, failure);

    /* KeyboardInterrupt passes through, and so does an exception of a signal handler. Ask for the
     * type, as an object may fail to tell its __class__. */
    if (!PyErr_GivenExceptionMatches(cause, PyExc_Exception)) {
        Py_XDECREF(decoded->raised);
        decoded->raised = Py_NewRef(cause);
        decoded->raises_first = 0;
    }
    else if (foreign || decoded->raised == NULL) {
        Py_XDECREF(decoded->raised);
        decoded->raised = Py_NewRef(failure);
        decoded->raises_first = !foreign && failure != cause;
    }
    Py_DECREF(failure);
    Py_DECREF(cause);
    return result;
}

static int
mqc_decode_slot(mqc_decoded *decoded, mqc_slot *slot)
{
    mqc_call *call = decoded->call;
    const mqc_serializer *serializer = &call->queue->serializer;
    PyObject *bytes, *item;
    int result;

    call->text = slot->message.text;
    call->size = slot->size;
    call->mark = slot->message.mark;
    bytes = mqc_call_bytes(call);
    if (bytes == NULL) {
        return -1;
    }
    if (serializer->kind == MQC_RAW) {
        item = Py_NewRef(bytes);
    }
    else {
        item = PyObject_CallFunctionObjArgs(serializer->loads, bytes, NULL);
    }
    if (item != NULL) {
        result = mqc_decoded_append(decoded, &decoded->items, item);
        Py_DECREF(item);
    }
    else {
        result = mqc_decoded_fail(decoded, bytes);
    }
    Py_DECREF(bytes);
    return result;
}

/* Raise the first exception, with the items and failures of the whole batch. A DecodeError must
 * not hold itself: None stands in its place, and its property failures puts it back. */
static void
mqc_decoded_raise(const mqc_decoded *decoded)
{
    const char *failures = decoded->raises_first ? "_failures" : "failures";
    int result;

    if (decoded->raises_first) {
        PyList_SetItem(decoded->failures, 0, Py_NewRef(Py_None)); /* allocates nothing */
    }
    do {
        result = mqc_set_attribute(decoded->raised, "items", decoded->items);
        if (result == 0) {
            result = mqc_set_attribute(decoded->raised, failures, decoded->failures);
        }
    } while (result < 0 && mqc_reserve_retry(&decoded->call->reserve));
    if (result == 0) {
        mqc_raise_again(Py_NewRef(decoded->raised));
    }
    mqc_reserve_free(&decoded->call->reserve); /* the traceback needs memory, too */
}

/* Return the list of all items of a batch. Where messages did not decode, raise the DecodeError of
 * the first one. Its attributes hold all items and all failures: nothing is lost. */
static PyObject *
mqc_inbox_decode(const mqc_inbox *inbox)
{
    mqc_decoded decoded = {.call = inbox->call};
    char *position = inbox->memory;
    int result = 0;

    do {
        decoded.items = PyList_New(0);
    } while (decoded.items == NULL && mqc_reserve_retry(&inbox->call->reserve));
    if (decoded.items == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < inbox->count && result == 0; i++) {
        mqc_slot *slot = (mqc_slot *)position;
        result = mqc_decode_slot(&decoded, slot);
        position += mqc_slot_length(slot);
    }
    if (result == 0 && decoded.raised != NULL) {
        mqc_decoded_raise(&decoded);
        result = -1;
    }
    Py_XDECREF(decoded.failures);
    Py_XDECREF(decoded.raised);
    if (result < 0) {
        Py_CLEAR(decoded.items);
    }
    return decoded.items;
}

/* ***** the method ***** */

static PyObject *
mqc_get_items(mqc_call *call, size_t most)
{
    mqc_queue *queue = call->queue;
    size_t at_once = queue->most_at_once;
    mqc_inbox inbox = {.call = call, .most = most > 0 && most < at_once ? most : at_once};
    PyObject *items = NULL;
    int large;

    if (mqc_recheck_writers(call) < 0) {
        return NULL;
    }
    call->capacity = atomic_load(&queue->longest);
    call->reserve = mqc_reserve_swap(&queue->reserve, NULL);
    large = mqc_is_large_batch(inbox.most, call->capacity);
    if (mqc_receive_work(call, (mqc_work){mqc_inbox_attempt, &inbox, MQC_GET, large}) == 0) {
        items = mqc_inbox_decode(&inbox);
    }
    free(inbox.memory);
    mqc_reserve_keep(&queue->reserve, call->reserve);
    return items;
}

PyObject *
mqc_get_many(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const mqc_range max_items = {"max_items", 1, LONG_MAX, "1 or more"};
    const mqc_arguments given = {&mqc_family.get_many, args, nargs, kwnames};
    PyObject *values[MQC_WORDS];
    mqc_call call;
    long most = 0; /* all that are there */

    mqc_call_begin(&call, op, MQC_OP_GET, MQC_FOREVER);
    if (mqc_parse(call.queue->state, &given, values) < 0 ||
        mqc_read_optional(values[MQC_MAX_ITEMS], &max_items, &most) < 0 ||
        mqc_read_selection(&call, values) < 0) {
        return NULL;
    }
    return mqc_get_items(&call, (size_t)most);
}
