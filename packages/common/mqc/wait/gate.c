/* The gate of a queue: who is inside, who may still enter, and that all are out before the
 * descriptor goes. */

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

/* Let callers in: everything that they use is in its place. */
void
mqc_gate_open(mqc_gate *gate)
{
    mqc_count_cpus(gate);
    atomic_store(&gate->closed, 0);
}

/* Enter before the GIL is released; EBADF once the gate is closed. */
int
mqc_enter(mqc_gate *gate, mqc_waiter *waiter, mqc_tid_t tid)
{
    int error = EBADF;

    waiter->tid = tid;
    pthread_mutex_lock(&mqc_lock);
    if (!atomic_load(&gate->closed)) {
        error = 0;
        waiter->previous = NULL;
        waiter->next = gate->waiters;
        if (waiter->next != NULL) {
            waiter->next->previous = waiter;
        }
        gate->waiters = waiter;
        atomic_fetch_add(&gate->inside, 1);
    }
    pthread_mutex_unlock(&mqc_lock);
    return error;
}

/* Leave before the GIL is taken: whoever closes the gate may wait for this with the GIL. */
void
mqc_leave(mqc_gate *gate, mqc_waiter *waiter)
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

/* Let nobody enter any more. Returns 0 if the gate was closed before. */
int
mqc_shut(mqc_gate *gate)
{
    int was_closed;

    pthread_mutex_lock(&mqc_lock);
    was_closed = atomic_exchange(&gate->closed, 1);
    pthread_mutex_unlock(&mqc_lock);
    return !was_closed;
}

/* Wake everybody inside a shut gate until all have left. Call it without the GIL. */
void
mqc_drain(mqc_gate *gate)
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

void
mqc_gates_empty(void)
{
    for (mqc_gate *gate = mqc_gates; gate != NULL; gate = gate->next) {
        gate->waiters = NULL;
        atomic_store(&gate->inside, 0);
    }
}
