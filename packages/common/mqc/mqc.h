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

#endif /* MQC_H */
