/* The gate of a queue: which threads are inside, whether others may enter, and how close() gets
 * all of them out before it gives up the descriptor. */

#include "wait_internal.h"

#include <sched.h>

pthread_mutex_t mqc_lock = PTHREAD_MUTEX_INITIALIZER;
static mqc_gate *mqc_gates;

void
mqc_gate_register(mqc_gate *gate)
{
    pthread_mutex_lock(&mqc_lock);
    gate->previous = NULL;
    gate->next = mqc_gates;
    if (mqc_gates != NULL) {
        mqc_gates->previous = gate;
    }
    mqc_gates = gate;
    atomic_store(&gate->closed, 1);
    pthread_mutex_unlock(&mqc_lock);
}

void
mqc_gate_unregister(mqc_gate *gate)
{
    pthread_mutex_lock(&mqc_lock);
    if (gate->previous != NULL) {
        gate->previous->next = gate->next;
    }
    else {
        mqc_gates = gate->next;
    }
    if (gate->next != NULL) {
        gate->next->previous = gate->previous;
    }
    pthread_mutex_unlock(&mqc_lock);
}

/* Open the gate. Set every field that callers use before this. */
void
mqc_gate_open(mqc_gate *gate)
{
    mqc_count_cpus(gate);
    atomic_store(&gate->closed, 0);
}

/* Enter the gate. Call it before the GIL is released. Returns MQC_DONE or MQC_CLOSED. */
mqc_outcome
mqc_wait_begin(mqc_gate *gate, mqc_waiter *waiter, mqc_tid_t tid)
{
    mqc_outcome outcome = MQC_CLOSED;

    waiter->tid = tid;
    pthread_mutex_lock(&mqc_lock);
    if (!atomic_load(&gate->closed)) {
        outcome = MQC_DONE;
        waiter->previous = NULL;
        waiter->next = gate->waiters;
        if (waiter->next != NULL) {
            waiter->next->previous = waiter;
        }
        gate->waiters = waiter;
        atomic_fetch_add(&gate->inside, 1);
    }
    pthread_mutex_unlock(&mqc_lock);
    return outcome;
}

/* Leave the gate. Call it before the GIL is taken again: at the end of the interpreter a daemon
 * thread never gets the GIL, and close() would wait for it for ever. */
void
mqc_wait_end(mqc_gate *gate, mqc_waiter *waiter)
{
    pthread_mutex_lock(&mqc_lock);
    if (waiter->previous != NULL) {
        waiter->previous->next = waiter->next;
    }
    else {
        gate->waiters = waiter->next;
    }
    if (waiter->next != NULL) {
        waiter->next->previous = waiter->previous;
    }
    atomic_fetch_sub(&gate->inside, 1);
    pthread_mutex_unlock(&mqc_lock);
}

/* Close the gate for newcomers. Returns 0 if it was closed before. */
int
mqc_gate_shut(mqc_gate *gate)
{
    int was_closed;

    pthread_mutex_lock(&mqc_lock);
    was_closed = atomic_exchange(&gate->closed, 1);
    pthread_mutex_unlock(&mqc_lock);
    return !was_closed;
}

/* Wake the threads inside a shut gate until all have left. Call it without the GIL. */
void
mqc_gate_drain(mqc_gate *gate)
{
    const struct timespec pause = {.tv_nsec = MQC_MILLISECOND};

    while (atomic_load(&gate->inside) > 0) {
        mqc_wake_all(gate);
        sched_yield();
        if (atomic_load(&gate->inside) > 0) {
            nanosleep(&pause, NULL);
        }
    }
}

/* In the child of a fork, no thread is inside any gate. The caller holds the lock. */
void
mqc_gates_empty(void)
{
    for (mqc_gate *gate = mqc_gates; gate != NULL; gate = gate->next) {
        gate->waiters = NULL;
        atomic_store(&gate->inside, 0);
    }
}
