/* put_many(). */

#include "mqc.h"

#include "batch.h"

/* Messages on their way out. */
typedef struct {
    mqc_call *call;
    mqc_payload *payloads;
    size_t count, encoded;
    size_t next;          /* how many have gone */
    size_t stretch;       /* an attempt returns after so many; 0 for all */
    mqc_message *message; /* where each is copied if its mark stands in front; NULL otherwise */
} mqc_outbox;

/* ***** serializing ***** */

static void
mqc_outbox_clear(mqc_outbox *outbox)
{
    for (size_t i = 0; i < outbox->encoded; i++) {
        mqc_payload_release(&outbox->payloads[i]);
    }
    PyMem_Free(outbox->payloads);
}

static int
mqc_outbox_encode(mqc_outbox *outbox, PyObject *list, PyObject *protocol)
{
    const mqc_queue *queue = outbox->call->queue;

    outbox->count = (size_t)PyList_Size(list);
    outbox->payloads = PyMem_Calloc(outbox->count + 1, sizeof(mqc_payload));
    if (outbox->payloads == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < outbox->count; i++) {
        PyObject *item = PyList_GetItem(list, (Py_ssize_t)i);
        if (item == NULL || mqc_encode(queue->state, &queue->serializer, item, protocol,
                                       &outbox->payloads[i]) < 0) {
            return -1;
        }
        outbox->encoded++;
    }
    return 0;
}

/* Serialize all items before the first is sent: one that cannot be serialized changes nothing. */
static int
mqc_outbox_fill(mqc_outbox *outbox, PyObject *items, PyObject *protocol)
{
    PyObject *list = PySequence_List(items);
    int result;

    if (list == NULL) {
        return -1;
    }
    result = mqc_outbox_encode(outbox, list, protocol);
    Py_DECREF(list);
    return result;
}

static size_t
mqc_outbox_longest(const mqc_outbox *outbox)
{
    size_t longest = 0;

    for (size_t i = 0; i < outbox->encoded; i++) {
        size_t size = (size_t)outbox->payloads[i].size;
        longest = size > longest ? size : longest;
    }
    return longest;
}

/* ***** sending ***** */

static int
mqc_outbox_send_next(const mqc_outbox *outbox, int may_sleep)
{
    const mqc_payload *payload = &outbox->payloads[outbox->next];
    mqc_call *call = outbox->call;

    call->data = payload->data;
    call->size = (size_t)payload->size;
    if (outbox->message != NULL) {
        memcpy(outbox->message->text, call->data, call->size);
        call->data = outbox->message->text;
    }
    return mqc_family.send(call, may_sleep);
}

/* Send as many as there is room for, and sleep for the first only. Returns MQC_DONE once all have
 * gone. Returns MQC_PROGRESS when some have gone and the next would block, or when a stretch has
 * gone: readers that keep up must not keep the call from seeing that time is up, that a signal
 * waits or that the queue was closed. */
static mqc_outcome
mqc_outbox_attempt(void *context, int may_sleep, int *os_errno)
{
    mqc_outbox *outbox = context;
    size_t before = outbox->next;

    while (outbox->next < outbox->count) {
        int sleeps = outbox->next == before ? may_sleep : MQC_MUST_RETURN;
        mqc_outcome outcome;
        if (outbox->stretch > 0 && outbox->next - before == outbox->stretch) {
            return MQC_PROGRESS;
        }
        outcome = mqc_outcome_of(mqc_outbox_send_next(outbox, sleeps), os_errno);
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

/* Send a batch that is not empty. */
static mqc_outcome
mqc_outbox_send(mqc_outbox *outbox, size_t longest)
{
    mqc_call *call = outbox->call;
    int large = mqc_is_large_batch(outbox->count, longest);
    mqc_outcome outcome;

    if (mqc_family.mark_in_front) {
        outbox->message = malloc(sizeof(mqc_message) + longest);
        if (outbox->message == NULL) {
            PyErr_NoMemory();
            return MQC_RAISED;
        }
        outbox->message->mark = call->mark;
    }
    outbox->stretch = call->wait_ns == 0 ? 0 : MQC_STRETCH;
    outcome = mqc_transfer(call, (mqc_work){mqc_outbox_attempt, outbox, MQC_PUT, large});
    free(outbox->message);
    if (outcome == MQC_WOULD_BLOCK) { /* Full is for a message that would fit later */
        mqc_outcome fits = mqc_check_size(call, (size_t)outbox->payloads[outbox->next].size);
        return fits == MQC_DONE ? MQC_WOULD_BLOCK : fits;
    }
    return outcome;
}

/* Check the sizes and send. The kernel is asked only where need be: as nothing has gone before it,
 * the first message finds out by itself whether it fits. But no memory is taken for a message that
 * no queue takes. */
static mqc_outcome
mqc_outbox_check_and_send(mqc_outbox *outbox)
{
    size_t longest = mqc_outbox_longest(outbox);
    mqc_outcome outcome = MQC_DONE;

    if (outbox->count == 0) {
        return MQC_DONE;
    }
    if (longest > (size_t)outbox->payloads[0].size || longest > outbox->call->queue->check_above) {
        outcome = mqc_check_size(outbox->call, longest);
    }
    return outcome == MQC_DONE ? mqc_outbox_send(outbox, longest) : outcome;
}

/* ***** the method ***** */

/* Give the exception that is set an attribute count: how many messages had gone. */
static void
mqc_note_count(size_t count)
{
    PyObject *exception = mqc_take_exception();
    PyObject *number = PyLong_FromSize_t(count);

    if (mqc_set_attribute(exception, "count", number) < 0) {
        PyErr_Clear(); /* the exception itself is more important */
    }
    Py_XDECREF(number);
    mqc_raise_again(exception);
}

/* Return how many messages have gone. Raise if the outcome is an error or if none had room. */
static PyObject *
mqc_outbox_result(const mqc_outbox *outbox, mqc_outcome outcome)
{
    if (outcome == MQC_DONE || (outcome == MQC_WOULD_BLOCK && outbox->next > 0)) {
        return PyLong_FromSize_t(outbox->next);
    }
    mqc_raise_put(outbox->call, outcome, mqc_outbox_longest(outbox));
    mqc_note_count(outbox->next);
    return NULL;
}

static PyObject *
mqc_put_items(mqc_call *call, PyObject *items, PyObject *protocol)
{
    mqc_outbox outbox = {.call = call};
    PyObject *result = NULL;

    if (atomic_load(&call->queue->gate.closed)) {
        return mqc_outbox_result(&outbox, MQC_CLOSED);
    }
    if (mqc_outbox_fill(&outbox, items, protocol) < 0) {
        mqc_note_count(0);
    }
    else {
        result = mqc_outbox_result(&outbox, mqc_outbox_check_and_send(&outbox));
    }
    mqc_outbox_clear(&outbox);
    return result;
}

PyObject *
mqc_put_many(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    const mqc_arguments given = {&mqc_family.put_many, args, nargs, kwnames};
    PyObject *values[MQC_WORDS];
    mqc_call call;

    mqc_call_begin(&call, op, MQC_OP_PUT, 0);
    call.mark = mqc_family.first_mark;
    if (mqc_parse(call.queue->state, &given, values) < 0 ||
        mqc_read_wait(values[MQC_BLOCK], values[MQC_TIMEOUT], &call.wait_ns) < 0) {
        return NULL;
    }
    if (values[MQC_MARK] != NULL && mqc_family.read_mark(values[MQC_MARK], &call.mark) < 0) {
        return NULL;
    }
    return mqc_put_items(&call, values[MQC_ITEMS], values[MQC_PROTOCOL]);
}
