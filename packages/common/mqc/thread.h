/* The record of a thread, where Python drops it when the thread ends. */

#ifndef MQC_THREAD_H
#define MQC_THREAD_H

#include "state.h"

PyObject *mqc_this_thread(const mqc_state *state);

#endif /* MQC_THREAD_H */
