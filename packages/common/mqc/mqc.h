/* Include this first: Python's headers, with what has to be defined before them, and the wait. */

#ifndef MQC_H
#define MQC_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* SIGEV_THREAD_ID, IPC_INFO, MSG_EXCEPT, ipc_perm.__key */
#endif
#define PY_SSIZE_T_CLEAN

#include <Python.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wait/kernel_time.h"
#include "wait/use.h"
#include "wait/wait.h"

#define MQC_LARGE 65536   /* copies beyond this many bytes are made without the GIL */
#define MQC_SCRATCH 16384 /* a message up to this many bytes is received on the stack */
#define MQC_STRETCH 256   /* messages of a batch between two looks at the clock and for close() */

#endif /* MQC_H */
