/* Linux's system calls with 64-bit times, by the kernel's own layout: so a 32-bit build outlives
 * 2038, and no version of libc matters. */

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

/* 32-bit systems have calls of their own for it since Linux 5.1, everywhere by these numbers,
 * which older headers lack. */
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
