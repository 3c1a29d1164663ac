/* The record of a thread, which Python drops when the thread ends. */

#ifndef MQC_THREAD_RECORD_H
#define MQC_THREAD_RECORD_H

#include "state.h"

PyObject *mqc_this_thread(const mqc_state *state);

#endif /* MQC_THREAD_RECORD_H */
