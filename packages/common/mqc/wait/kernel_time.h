/* Linux's system calls with 64-bit times, in the kernel's own layout. So a 32-bit build works
 * beyond 2038, and does not depend on the version of libc. */

#ifndef MQC_KERNEL_TIME_H
#define MQC_KERNEL_TIME_H

#ifdef __linux__

#include <limits.h>
#include <stdint.h>
#include <sys/syscall.h>

struct mqc_timespec {
    int64_t seconds;
    int64_t nanoseconds;
};

/* 32-bit systems have separate calls for it since Linux 5.1. Their numbers are the same on all
 * machines, and older headers lack them. */
#if LONG_MAX == 2147483647 && !defined(__x86_64__)
#define MQC_SYS_timer_settime 409
#define MQC_SYS_mq_timedsend 418
#define MQC_SYS_mq_timedreceive 419
#else
#define MQC_SYS_timer_settime SYS_timer_settime
#define MQC_SYS_mq_timedsend SYS_mq_timedsend
#define MQC_SYS_mq_timedreceive SYS_mq_timedreceive
#endif

#endif /* __linux__ */

#endif /* MQC_KERNEL_TIME_H */
