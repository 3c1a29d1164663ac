/* Batches: put_many and get_many. */

#ifndef MQC_BATCH_H
#define MQC_BATCH_H

#include "call.h"
#include "transfer.h"

#define MQC_SMALL_BATCH 16 /* the most messages of a batch that is tried under the GIL first */

/* Messages on their way out. send() tries to send one of them. */
typedef struct {
    mqc_outcome (*send)(void *context, const mqc_payload *payload, int may_sleep, int *os_errno);
    void *context;
    mqc_payload *payloads;
    size_t count, encoded;
    size_t next;    /* how many have gone */
    size_t stretch; /* how many may go without a look about, 0 for all */
} mqc_outbox;

/* A message as it lies in an inbox. From place on it is laid out as msgrcv(2) wants it. */
typedef struct {
    size_t size;
    long place; /* priority or message type */
    char text[];
} mqc_slot;

/* Messages that came in, one after the other in one piece of memory. receive() tries to receive
 * one, and fails with E2BIG where the queue keeps a message that needs more room. */
typedef struct {
    mqc_outcome (*receive)(void *context, mqc_slot *slot, size_t capacity, int may_sleep,
                           int *os_errno);
    void *context;
    size_t capacity; /* the longest message to make room for */
    size_t most;     /* how many are wanted */
    size_t count, used, allocated;
    char *memory;
    mqc_spare *spare;
} mqc_inbox;

/* What a batch becomes: the items, and what went wrong. */
typedef struct {
    PyObject *items;
    PyObject *failures; /* a DecodeError to each message that did not decode */
    PyObject *raised;   /* what to raise in the end: the first that went wrong */
    mqc_spare **spare;
} mqc_decoded;

int mqc_is_large_batch(size_t count, size_t longest);
mqc_outcome mqc_send_batch(void *context, int may_sleep, int *os_errno);
void mqc_outbox_clear(mqc_outbox *outbox);
int mqc_outbox_fill(const mqc_state *state, const mqc_serializer *serializer, PyObject *items,
                    PyObject *protocol, mqc_outbox *outbox);
size_t mqc_outbox_longest(const mqc_outbox *outbox);
PyObject *mqc_outbox_result(const mqc_state *state, PyObject *queue, const mqc_outbox *outbox,
                            int error);
mqc_outcome mqc_receive_batch(void *context, int may_sleep, int *os_errno);
PyObject *mqc_inbox_decode(const mqc_state *state, const mqc_serializer *serializer,
                           PyObject *queue, mqc_inbox *inbox, const char *place);

#endif /* MQC_BATCH_H */
