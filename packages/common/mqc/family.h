/* What tells the two families of queues apart. Each package defines one such table. */

#ifndef MQC_FAMILY_H
#define MQC_FAMILY_H

#include "call.h"

/* A message as msgsnd(2) and msgrcv(2) want it. */
typedef struct {
    long mark;
    char text[];
} mqc_message;

typedef struct {
    mqc_parameters put, put_nowait, put_many;
    mqc_parameters get, get_nowait, get_many, get_into, receive;
    reprfunc repr; /* that of Queue itself: a subclass's may fail, or come back here */

    /* Attempts to transfer a message. They return 0 or an errno, and run without the GIL. */
    int (*send)(const mqc_call *call, int may_sleep);      /* call->size bytes of call->data */
    int (*receive_message)(mqc_call *call, int may_sleep); /* up to call->capacity bytes, to text */
    int (*never_fits)(const mqc_queue *queue, size_t size); /* why this can never be sent, or 0 */
    int mark_in_front; /* data and text are those of an mqc_message */

    long first_mark;                               /* that of a message which is put without one */
    int (*read_mark)(PyObject *value, long *mark); /* -1 with an exception */

    /* Only System V queues have these; NULL otherwise. */
    int (*select)(mqc_call *call, PyObject *mark, PyObject *exclude); /* -1 with an exception */
    int (*recheck_writers)(mqc_call *call);                           /* -1 with an exception */
    size_t (*count_messages)(const mqc_queue *queue);
} mqc_family_table;

extern const mqc_family_table mqc_family;

#endif /* MQC_FAMILY_H */
