/* System calls of System V message queues. */

#include "sysvmq.h"

#ifndef __linux__
#include <sys/sysctl.h> /* instead of IPC_INFO */
#endif

/* The errno for a removed queue is EIDRM, or EINVAL as long as its slot in the table is free. */
int
removed_or(int error)
{
    return error == EINVAL ? EIDRM : error;
}

/* The longest message that this system allows: kernel.msgmax, or kern.ipc.msgmax on FreeBSD.
 * LONG_MAX on macOS, which does not tell. */
long
system_msgmax(void)
{
#ifdef __linux__
    struct msginfo information;

    /* IPC_INFO needs no permission. */
    return msgctl(0, IPC_INFO, (struct msqid_ds *)&information) < 0 ? LONG_MAX : information.msgmax;
#else
    int limit;
    size_t size = sizeof(limit);

    return sysctlbyname("kern.ipc.msgmax", &limit, &size, NULL, 0) < 0 ? LONG_MAX : limit;
#endif
}

int
system_stat(int id, struct msqid_ds *status)
{
    return msgctl(id, IPC_STAT, status) < 0 ? removed_or(errno) : 0;
}

/* The same, also where this user may not read the queue, which IPC_STAT requires. MSG_STAT_ANY
 * reads any queue of the kernel's table by its index, as /proc/sysvipc/msg does. The index is the
 * low bits of an id, and Linux (4.17 and later) takes a whole id for it. */
int
system_stat_any(int id, struct msqid_ds *status)
{
    int error = system_stat(id, status);
#ifdef __linux__
    int found;
#endif

    if (error != EACCES) {
        return error;
    }
#ifndef __linux__
    return error;
#else
    found = msgctl(id, MSG_STAT_ANY, status);
    if (found < 0) {
        return errno == EINVAL ? EACCES : errno; /* an older kernel: keep the errno of IPC_STAT */
    }
    return found == id ? 0 : EIDRM;
#endif
}

long
capacity(const struct msqid_ds *status)
{
    return status->msg_qbytes > LONG_MAX ? LONG_MAX : (long)status->msg_qbytes;
}

/* key_t is signed; a key is not. */
unsigned long
key_of(const struct msqid_ds *status)
{
#if defined(__linux__)
    return (uint32_t)status->msg_perm.__key;
#elif defined(__APPLE__)
    return (uint32_t)status->msg_perm._key;
#else
    return (uint32_t)status->msg_perm.key;
#endif
}

/* msgrcv(2). Only Linux has flags to look at a message and to except a type. */
ssize_t
system_receive(int id, void *buffer, size_t size, long type, int flags)
{
#ifndef __linux__
    if (flags & (MSG_EXCEPT | MSG_COPY)) {
        errno = ENOSYS;
        return -1;
    }
#endif
    return msgrcv(id, buffer, size, type, flags);
}

int
system_remove(int id)
{
    return msgctl(id, IPC_RMID, NULL) < 0 ? removed_or(errno) : 0;
}

static void
apply_changes(const changes *wanted, struct msqid_ds *status)
{
    if (wanted->mode >= 0) {
        status->msg_perm.mode = (unsigned short)wanted->mode;
    }
    if (wanted->uid >= 0) {
        status->msg_perm.uid = (uid_t)wanted->uid;
    }
    if (wanted->gid >= 0) {
        status->msg_perm.gid = (gid_t)wanted->gid;
    }
    if (wanted->max_bytes >= 0) {
        status->msg_qbytes = (unsigned long)wanted->max_bytes;
    }
}

/* IPC_SET sets everything at once, so read the present values first. */
int
system_set(int id, const changes *wanted)
{
    struct msqid_ds status;
    int error = system_stat_any(id, &status);

    if (error != 0) {
        return error;
    }
    apply_changes(wanted, &status);
    if (msgctl(id, IPC_SET, &status) == 0) {
        return 0;
    }
    if (errno != EINVAL) {
        return errno;
    }
    /* The queue was removed, or an owner has no number in this user namespace. */
    error = system_stat_any(id, &status);
    return error != 0 ? error : EINVAL;
}

/* Change the capacity, unless it is right already: a user who may not change a queue may use it. */
int
system_set_max_bytes(int id, long max_bytes)
{
    const changes wanted = {.mode = -1, .uid = -1, .gid = -1, .max_bytes = max_bytes};
    struct msqid_ds status;
    int error = system_stat_any(id, &status);

    if (error != 0 || status.msg_qbytes == (unsigned long)max_bytes) {
        return error;
    }
    error = system_set(id, &wanted);
    return error == EINVAL ? EPERM : error;
}

/* Why a message of this size can never be sent; 0 if it can. */
int
system_never_fits(int id, size_t size)
{
    struct msqid_ds status;
    int error = system_stat_any(id, &status);

    if (error == EACCES) { /* a writer who may not look, on an older kernel */
        return size > (size_t)system_msgmax() ? EMSGSIZE : 0;
    }
    if (error != 0) {
        return error;
    }
    return size > status.msg_qbytes || size > (size_t)system_msgmax() ? EMSGSIZE : 0;
}
