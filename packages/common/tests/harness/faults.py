"""System calls and malloc that fail where they hardly ever do: see the fixture with_faults."""

LIBRARY = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/stat.h>

long fault_number = -1; /* of the system call, -2 for fchmod, -3 for IPC_SET */
int fault_error;
size_t fault_size; /* the next malloc of this size or more fails */

static int strikes(long number)
{
    if (number != fault_number)
        return 0;
    fault_number = -1;
    errno = fault_error;
    return 1;
}
long syscall(long number, ...)
{
    static long (*next)(long, ...);
    long arguments[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        arguments[i] = va_arg(list, long);
    va_end(list);
    if (strikes(number))
        return -1;
    if (!next)
        next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    return next(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4],
                arguments[5]);
}
int fchmod(int fd, mode_t mode)
{
    static int (*next)(int, mode_t);
    if (strikes(-2))
        return -1;
    if (!next)
        next = (int (*)(int, mode_t))dlsym(RTLD_NEXT, "fchmod");
    return next(fd, mode);
}
int msgctl(int id, int command, struct msqid_ds *status)
{
    static int (*next)(int, int, struct msqid_ds *);
    if (command == IPC_SET && strikes(-3))
        return -1;
    if (!next)
        next = (int (*)(int, int, struct msqid_ds *))dlsym(RTLD_NEXT, "msgctl");
    return next(id, command, status);
}
#ifdef __GLIBC__
extern void *__libc_malloc(size_t size);

void *malloc(size_t size)
{
    if (fault_size && size >= fault_size) {
        fault_size = 0;
        errno = ENOMEM;
        return NULL;
    }
    return __libc_malloc(size);
}
#endif
"""

# What a script with faults finds besides.
SCRIPT = """\
import platform
if platform.machine() != "x86_64":
    skip("the numbers of the system calls are those of x86-64")
LIBRARY = ctypes.CDLL(None)
FCHMOD, IPC_SET, TIMER_CREATE, TIMER_SETTIME, MQ_GETSETATTR = -2, -3, 222, 223, 245

def fail(number, error):
    ctypes.c_int.in_dll(LIBRARY, "fault_error").value = error
    ctypes.c_long.in_dll(LIBRARY, "fault_number").value = number

def fail_malloc(size):
    ctypes.c_size_t.in_dll(LIBRARY, "fault_size").value = size

def error_of(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except (QueueError, MemoryError) as error:
        assert ctypes.c_long.in_dll(LIBRARY, "fault_number").value == -1, "no call failed"
        assert ctypes.c_size_t.in_dll(LIBRARY, "fault_size").value == 0, "no malloc failed"
        return error
    raise AssertionError("nothing was raised")

"""
