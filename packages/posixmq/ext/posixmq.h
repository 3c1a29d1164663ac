/* What the files of this extension call of each other. Include it first. */

#ifndef POSIXMQ_H
#define POSIXMQ_H

#include "mqc/mqc.h"

#ifdef __APPLE__
#error "macOS has no POSIX message queues; its System V queues are in the package sysvmq"
#endif

#include <mqueue.h> /* struct mq_attr, which libc has as the kernel lays it out */
#include <signal.h> /* struct sigevent */
#include <sys/syscall.h>

#include "mqc/call.h"
#include "mqc/queue.h"

typedef struct {
    mqc_state common;
    PyTypeObject *Queue;
} module_state;

typedef struct {
    mqc_queue base;
    atomic_int fd; /* -1 unless open */
    int access;    /* O_RDWR, O_RDONLY or O_WRONLY */
    long maxsize;
    long maxmsgsize;
    uint64_t device; /* together with the inode this identifies the queue */
    uint64_t inode;
    PyObject *name; /* NULL for an anonymous queue */
    PyObject *weakrefs;
} Queue;

extern struct PyModuleDef posixmq_module;

/* The layout of statx(2). */
struct system_time {
    int64_t seconds;
    uint32_t nanoseconds;
    int32_t reserved;
};

struct system_status {
    uint32_t mask, block_size;
    uint64_t attributes;
    uint32_t links, uid, gid;
    uint16_t mode, reserved;
    uint64_t inode, size, blocks, attributes_mask;
    struct system_time access, birth, change, modification;
    uint32_t raw_major, raw_minor, major, minor;
    uint64_t spare[14];
};

typedef struct {
    long maxsize, maxmsgsize, mode;
    int create, exclusive, readable, writable;
} open_request;

/* What was found out about a queue by its descriptor. */
typedef struct {
    int fd;
    int created;
    int access;
    struct mq_attr attributes;
    struct system_status status;
} opened_queue;

/* All that the kernel tells about a queue. */
typedef struct {
    struct mq_attr attributes;
    struct system_status status;
    char text[256]; /* "QSIZE:... NOTIFY:... SIGNO:... NOTIFY_PID:...", see mq_overview(7) */
    ssize_t length; /* of the text, or -1 where the descriptor does not permit reading */
} queue_details;

/* kernel.c */
int system_open(const char *name, int flags, mode_t mode, struct mq_attr *attributes, int *fd);
int system_unlink(const char *name);
int system_getattr(int fd, struct mq_attr *attributes);
int system_status(int fd, struct system_status *status);
int system_fcntl(int fd, int command, int argument);
int system_notify(int fd, const struct sigevent *event);
int system_mount(int *folder);

/* open.c */
PyObject *encode_name(PyObject *name);
PyObject *unlink_name(PyObject *name);
int read_sizes(PyObject *maxsize, PyObject *maxmsgsize, open_request *request);
int read_request(PyObject *maxsize, PyObject *maxmsgsize, PyObject *mode, open_request *request);
int find_status(const char *name, struct system_status *status);
int set_up(Queue *self, PyObject *name, const char *encoded, const open_request *request,
           PyObject *serializer);
int set_up_by_name(Queue *self, PyObject *name, const open_request *request, PyObject *serializer);
int set_up_by_descriptor(Queue *self, int fd, PyObject *serializer);

/* lifecycle.c */
PyObject *Queue_new(PyTypeObject *type, PyObject *args, PyObject *kwargs);
int Queue_init(PyObject *op, PyObject *args, PyObject *kwargs);
PyObject *Queue_anonymous(PyObject *type, PyObject *args, PyObject *kwargs);
PyObject *Queue_from_fd(PyObject *type, PyObject *args, PyObject *kwargs);
void Queue_dealloc(PyObject *op);
PyObject *Queue_repr(PyObject *op);
PyObject *Queue_close(PyObject *op, PyObject *ignored);
PyObject *Queue_unlink(PyObject *op, PyObject *ignored);
PyObject *Queue_exit(PyObject *op, PyObject *args);
PyObject *Queue_richcompare(PyObject *op, PyObject *other, int operation);
Py_hash_t Queue_hash(PyObject *op);
PyObject *Queue_reduce(PyObject *op, PyObject *ignored);

/* transfer.c */
int send_message(const mqc_call *call, int may_sleep);
int receive_message(mqc_call *call, int may_sleep);
int never_fits(const mqc_queue *queue, size_t size);
int read_priority(PyObject *priority, long *mark);

/* attributes.c */
PyObject *Queue_qattr(PyObject *op, PyObject *ignored);
PyObject *Queue_qsize(PyObject *op, PyObject *ignored);
PyObject *Queue_empty(PyObject *op, PyObject *ignored);
PyObject *Queue_full(PyObject *op, PyObject *ignored);
PyObject *Queue_fileno(PyObject *op, PyObject *ignored);
PyObject *Queue_get_name(PyObject *op, void *closure);
PyObject *Queue_get_maxsize(PyObject *op, void *closure);
PyObject *Queue_get_maxmsgsize(PyObject *op, void *closure);
PyObject *Queue_get_readable(PyObject *op, void *closure);
PyObject *Queue_get_writable(PyObject *op, void *closure);
int read_all(int fd, queue_details *details);
PyObject *queue_stat_arguments(const queue_details *details);
PyObject *Queue_stat(PyObject *op, PyObject *ignored);

/* notify.c */
PyObject *Queue_notify(PyObject *op, PyObject *target);

#endif /* POSIXMQ_H */
