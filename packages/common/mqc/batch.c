/* Batches: put_many and get_many. */

#include "mqc.h"

#include "batch.h"
#include "error.h"

/* Whether a batch takes so long that the GIL is released at once. For a small one that, and to
 * enter the gate, takes as long as two of its messages. */
int
mqc_is_large_batch(size_t count, size_t longest)
{
    return count > MQC_SMALL_BATCH || longest > MQC_SCRATCH;
}

/* Send as many as there is room for, and sleep for the first only. Returns MQC_DONE once all have
 * gone. Returns MQC_PROGRESS when some have gone and the next would block, or when a stretch has
 * gone: readers that keep up must not keep the call from seeing that time is up, that a signal
 * waits or that the queue was closed. */
mqc_outcome
mqc_send_batch(void *context, int may_sleep, int *os_errno)
{
    mqc_outbox *outbox = context;
    size_t before = outbox->next;

    while (outbox->next < outbox->count) {
        int sleeps = outbox->next == before ? may_sleep : MQC_MUST_RETURN;
        mqc_outcome outcome;
        if (outbox->stretch > 0 && outbox->next - before == outbox->stretch) {
            return MQC_PROGRESS;
        }
        outcome = outbox->send(outbox->context, &outbox->payloads[outbox->next], sleeps, os_errno);
        if (outcome == MQC_WOULD_BLOCK && outbox->next > before) {
            return MQC_PROGRESS;
        }
        if (outcome != MQC_DONE) {
            return outcome;
        }
        outbox->next++;
    }
    return MQC_DONE;
}

void
mqc_outbox_clear(mqc_outbox *outbox)
{
    for (size_t i = 0; i < outbox->encoded; i++) {
        mqc_payload_release(&outbox->payloads[i]);
    }
    PyMem_Free(outbox->payloads);
}

/* Tell by its attribute count how many messages had gone when the exception was raised. */
static void
mqc_note_count(size_t count)
{
    PyObject *exception = mqc_take_exception();
    PyObject *number = PyLong_FromSize_t(count);

    if (mqc_set_attribute(exception, "count", number) < 0) {
        PyErr_Clear(); /* it is more important what happened */
    }
    Py_XDECREF(number);
    mqc_raise_again(exception);
}

static int
mqc_outbox_encode(const mqc_state *state, const mqc_serializer *serializer, PyObject *items,
                  PyObject *protocol, mqc_outbox *outbox)
{
    PyObject *list = PySequence_List(items);

    if (list == NULL) {
        return -1;
    }
    outbox->count = (size_t)PyList_Size(list);
    outbox->payloads = PyMem_Calloc(outbox->count + 1, sizeof(mqc_payload));
    if (outbox->payloads == NULL) {
        Py_DECREF(list);
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < outbox->count; i++) {
        PyObject *item = PyList_GetItem(list, (Py_ssize_t)i);
        if (item == NULL ||
            mqc_encode(state, serializer, item, protocol, &outbox->payloads[i]) < 0) {
            Py_DECREF(list);
            return -1;
        }
        outbox->encoded++;
    }
    Py_DECREF(list);
    return 0;
}

/* Serialize all items before the first is sent: one that cannot be changes nothing. */
int
mqc_outbox_fill(const mqc_state *state, const mqc_serializer *serializer, PyObject *items,
                PyObject *protocol, mqc_outbox *outbox)
{
    if (mqc_outbox_encode(state, serializer, items, protocol, outbox) < 0) {
        mqc_note_count(0);
        return -1;
    }
    return 0;
}

size_t
mqc_outbox_longest(const mqc_outbox *outbox)
{
    size_t longest = 0;

    for (size_t i = 0; i < outbox->encoded; i++) {
        size_t size = (size_t)outbox->payloads[i].size;
        longest = size > longest ? size : longest;
    }
    return longest;
}

/* What put_many() returns after mqc_move() returned error: how many went, unless none did. */
PyObject *
mqc_outbox_result(const mqc_state *state, PyObject *queue, const mqc_outbox *outbox, int error)
{
    if (error == 0 || (error == EAGAIN && outbox->next > 0)) {
        return PyLong_FromSize_t(outbox->next);
    }
    mqc_raise_put(state, queue, error, mqc_outbox_longest(outbox));
    mqc_note_count(outbox->next);
    return NULL;
}

/* Set aside what all messages need as objects, one more included, or as exceptions. */
static int
mqc_inbox_set_aside(mqc_inbox *inbox, size_t used)
{
    size_t wanted = 2 * used + (inbox->count + 4) * MQC_EXCEPTION;

    if (inbox->spare != NULL && inbox->spare->size >= wanted) {
        return 0;
    }
    return mqc_spare_grow(&inbox->spare, wanted + wanted / 2);
}

/* Make room for one more message. It uses malloc(3): the GIL is not held. */
static mqc_slot *
mqc_inbox_reserve(mqc_inbox *inbox)
{
    size_t wanted = inbox->used + sizeof(mqc_slot) + inbox->capacity;

    if (mqc_inbox_set_aside(inbox, wanted) < 0) {
        return NULL;
    }
    if (wanted > inbox->allocated) {
        size_t allocated = 2 * wanted; /* which is enough for several that are not the longest */
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

/* Receive one message into the inbox. */
static mqc_outcome
mqc_inbox_receive(mqc_inbox *inbox, int may_sleep, int *os_errno)
{
    mqc_slot *slot = mqc_inbox_reserve(inbox);
    mqc_outcome outcome;

    if (slot == NULL) {
        return mqc_outcome_of(ENOMEM, os_errno);
    }
    outcome = inbox->receive(inbox->context, slot, inbox->capacity, may_sleep, os_errno);
    if (outcome == MQC_DONE) {
        inbox->used += mqc_slot_length(slot);
        inbox->count++;
    }
    return outcome;
}

/* Receive what is there, and sleep for the first message only. If something else ends a batch that
 * holds a message, the next call meets it. */
mqc_outcome
mqc_receive_batch(void *context, int may_sleep, int *os_errno)
{
    mqc_inbox *inbox = context;

    while (inbox->count < inbox->most) {
        int sleeps = inbox->count == 0 ? may_sleep : MQC_MUST_RETURN;
        mqc_outcome outcome = mqc_inbox_receive(inbox, sleeps, os_errno);

        if (outcome == MQC_FAILED && *os_errno == E2BIG && inbox->capacity < INT_MAX / 2) {
            inbox->capacity *= 2;
        }
        else if (outcome != MQC_DONE) {
            return inbox->count > 0 ? MQC_DONE : outcome;
        }
    }
    return MQC_DONE;
}

/* Append to a list, which is made if there is none; -1 with an exception. */
static int
mqc_decoded_append(mqc_decoded *decoded, PyObject **list, PyObject *object)
{
    int result = -1;

    do {
        if (*list == NULL) {
            *list = PyList_New(0);
        }
        if (*list != NULL) {
            result = PyList_Append(*list, object);
        }
    } while (result < 0 && mqc_give_back(decoded->spare));
    return result;
}

/* Keep the exception that is set, with the message that it cost. */
static int
mqc_decoded_fail(const mqc_state *state, mqc_decoded *decoded, PyObject *queue, PyObject *bytes,
                 const char *place, long value)
{
    PyObject *cause = mqc_take_exception();
    int foreign;
    PyObject *failure =
        mqc_decode_error(state, queue, cause, bytes, place, value, decoded->spare, &foreign);
    int result = mqc_decoded_append(decoded, &decoded->failures, failure);

    /* KeyboardInterrupt gets through, and so does what a signal handler raised. By its type, as an
     * object may fail to say what its __class__ is. */
    if (!PyErr_GivenExceptionMatches(cause, PyExc_Exception)) {
        Py_XDECREF(decoded->raised);
        decoded->raised = Py_NewRef(cause);
    }
    else if (foreign || decoded->raised == NULL) {
        Py_XDECREF(decoded->raised);
        decoded->raised = Py_NewRef(failure);
    }
    Py_DECREF(failure);
    Py_DECREF(cause);
    return result;
}

static int
mqc_decode_slot(const mqc_state *state, const mqc_serializer *serializer, PyObject *queue,
                const mqc_slot *slot, const char *place, mqc_decoded *decoded)
{
    PyObject *bytes = mqc_bytes(slot->text, slot->size, decoded->spare);
    PyObject *item;
    int result;

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
        result = mqc_decoded_fail(state, decoded, queue, bytes, place, slot->place);
    }
    Py_DECREF(bytes);
    return result;
}

/* Raise the first exception, with the items and failures of the whole batch. */
static void
mqc_decoded_raise(const mqc_decoded *decoded)
{
    int result;

    do {
        result = mqc_set_attribute(decoded->raised, "items", decoded->items);
        if (result == 0) {
            result = mqc_set_attribute(decoded->raised, "failures", decoded->failures);
        }
    } while (result < 0 && mqc_give_back(decoded->spare));
    if (result == 0) {
        mqc_raise_again(Py_NewRef(decoded->raised));
    }
    free(*decoded->spare); /* the traceback needs memory, too */
    *decoded->spare = NULL;
}

/* The list of all items of a batch. Where messages did not decode, the first one's DecodeError
 * is raised, with all the others' items and failures as its attributes: nothing is lost. */
PyObject *
mqc_inbox_decode(const mqc_state *state, const mqc_serializer *serializer, PyObject *queue,
                 mqc_inbox *inbox, const char *place)
{
    mqc_decoded decoded = {.spare = &inbox->spare};
    const char *position = inbox->memory;
    int result = 0;

    do {
        decoded.items = PyList_New(0);
    } while (decoded.items == NULL && mqc_give_back(decoded.spare));
    if (decoded.items == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < inbox->count && result == 0; i++) {
        const mqc_slot *slot = (const mqc_slot *)position;
        result = mqc_decode_slot(state, serializer, queue, slot, place, &decoded);
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
