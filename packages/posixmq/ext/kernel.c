/* System calls of POSIX message queues. */

#include "posixmq.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#ifdef __FreeBSD__
#include <sys/param.h> /* which module.h needs */

#include <sys/module.h> /* modfind */
#endif

#ifdef __FreeBSD__
#define SYS_mq_open SYS_kmq_open
#define SYS_mq_unlink SYS_kmq_unlink
#define SYS_mq_getsetattr SYS_kmq_setattr
#define SYS_mq_notify SYS_kmq_notify
#endif

/* The calls go through syscall(2): on Linux because glibc's wrappers would tie the wheel to its
 * version 2.34 or later, on FreeBSD because its wrappers hide the descriptor in a structure. */

/* Linux wants the name without the slash that mq_overview(7) asks for, FreeBSD with it. */
static const char *
kernel_name(const char *name)
{
#ifdef __FreeBSD__
    return name;
#else
    return name + 1;
#endif
}

/* Whether the kernel has these calls. FreeBSD has them in a module. Where it is not loaded, a call
 * does not return ENOSYS: SIGSYS ends the process. */
static int
system_has_queues(void)
{
#ifdef __FreeBSD__
    return modfind("mqueuefs") >= 0;
#else
    return 1;
#endif
}

int
system_open(const char *name, int flags, mode_t mode, struct mq_attr *attributes, int *fd)
{
    long result;

    if (!system_has_queues()) {
        return ENOSYS;
    }
    result = syscall(SYS_mq_open, kernel_name(name), flags, mode, attributes);
    if (result < 0) {
        return errno;
    }
    *fd = (int)result;
    return 0;
}

int
system_unlink(const char *name)
{
    if (!system_has_queues()) {
        return ENOSYS;
    }
    return syscall(SYS_mq_unlink, kernel_name(name)) < 0 ? errno : 0;
}

int
system_getattr(int fd, struct mq_attr *attributes)
{
    return syscall(SYS_mq_getsetattr, fd, NULL, attributes) < 0 ? errno : 0;
}

#ifdef __linux__

/* statx(2) has the same layout everywhere, and its number is all that it needs of glibc. */
#ifndef SYS_statx
#if defined(__x86_64__) && !defined(__ILP32__)
#define SYS_statx 332
#elif defined(__aarch64__) || defined(__riscv)
#define SYS_statx 291
#elif defined(__i386__) || defined(__powerpc64__)
#define SYS_statx 383
#elif defined(__arm__)
#define SYS_statx 397
#else
#error "these headers lack SYS_statx: those of Linux 4.11 or newer are needed"
#endif
#endif

/* These numbers are the same everywhere since Linux 5.2. Older headers lack them. */
#ifndef SYS_fsopen
#define SYS_fsopen 430
#define SYS_fsconfig 431
#define SYS_fsmount 432
#endif

/* Constants of statx(2) and fsopen(2), which older headers lack. */
enum {
    STATUS_BASIC = 0x7ff,      /* STATX_BASIC_STATS: all that stat(2) tells */
    CONTEXT_CLOSE_ON_EXEC = 1, /* FSOPEN_CLOEXEC and FSMOUNT_CLOEXEC */
    CONTEXT_CREATE = 6,        /* FSCONFIG_CMD_CREATE */
};

#endif /* __linux__ */

int
system_status(int fd, struct system_status *status)
{
#ifdef __linux__
    return syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATUS_BASIC, status) < 0 ? errno : 0;
#else
    struct stat found;

    if (fstat(fd, &found) < 0) {
        return errno;
    }
    *status = (struct system_status){
        .links = 1, /* FreeBSD tells neither this nor the inode */
        .uid = found.st_uid,
        .gid = found.st_gid,
        .mode = (uint16_t)found.st_mode,
        .inode = (uint64_t)found.st_ino,
        .access = {.seconds = found.st_atime},
        .change = {.seconds = found.st_ctime},
        .modification = {.seconds = found.st_mtime},
        .major = (uint32_t)((uint64_t)found.st_dev >> 32),
        .minor = (uint32_t)found.st_dev,
    };
    return 0;
#endif
}

/* The fcntl(3) of glibc would need glibc 2.28. */
int
system_fcntl(int fd, int command, int argument)
{
#ifndef __linux__
    return fcntl(fd, command, argument);
#elif defined(SYS_fcntl64)
    return (int)syscall(SYS_fcntl64, fd, command, argument);
#else
    return (int)syscall(SYS_fcntl, fd, command, argument);
#endif
}

int
system_notify(int fd, const struct sigevent *event)
{
#ifndef __linux__
    if (event != NULL && event->sigev_notify == SIGEV_THREAD) {
        return ENOSYS; /* only Linux writes to a socket */
    }
#endif
    return syscall(SYS_mq_notify, fd, event) < 0 ? errno : 0;
}

/* Mount the queues of this process's IPC namespace where nobody sees it. The mount ends with the
 * last descriptor of it. */
int
system_mount(int *folder)
{
#ifndef __linux__
    (void)folder;
    return ENOSYS;
#else
    int context = (int)syscall(SYS_fsopen, "mqueue", CONTEXT_CLOSE_ON_EXEC);
    int mount = -1;
    int error = 0;

    if (context < 0) {
        return errno;
    }
    if (syscall(SYS_fsconfig, context, CONTEXT_CREATE, NULL, NULL, 0) == 0) {
        mount = (int)syscall(SYS_fsmount, context, CONTEXT_CLOSE_ON_EXEC, 0);
    }
    if (mount >= 0) {
        /* The descriptor of a mount is an O_PATH one, which cannot be read. */
        *folder = openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (mount < 0 || *folder < 0) {
        error = errno;
    }
    if (mount >= 0) {
        close(mount);
    }
    close(context);
    return error;
#endif
}
