/* What the files of this extension call of each other. Include it first. */

#ifndef SYSVMQ_H
#define SYSVMQ_H

#include "mqc/mqc.h"

#include <sys/ipc.h>
#include <sys/msg.h>

#include "mqc/call.h"
#include "mqc/family.h"
#include "mqc/queue.h"

/* Flags of Linux, which not every libc names. system_receive refuses them on other systems. */
#ifndef MSG_EXCEPT
#define MSG_EXCEPT 020000
#endif
#ifndef MSG_COPY
#define MSG_COPY 040000
#endif
#ifndef MSG_STAT_ANY
#define MSG_STAT_ANY 13
#endif

typedef struct {
    mqc_state common;
    PyTypeObject *Queue;
} module_state;

typedef struct {
    mqc_queue base;
    int id;
    pid_t maker;           /* the process that made this private queue; 0 for any other */
    unsigned long key;     /* 0 for a private queue */
    atomic_long max_bytes; /* as last seen; LONG_MAX where this user may not look */
    PyObject *weakrefs;
} Queue;

/* key_t has 32 bits. Where long has no more, half of the keys cannot be named. */
#define MOST_KEY (LONG_MAX > 4294967295 ? (long)4294967295 : LONG_MAX)
#define MOST_USER (LONG_MAX > 4294967294 ? (long)4294967294 : LONG_MAX) /* (uid_t)-1 is no user */

extern struct PyModuleDef sysvmq_module;

/* What IPC_SET can change; -1 leaves a value as it is. */
typedef struct {
    long mode, uid, gid, max_bytes;
} changes;

typedef struct {
    unsigned long key;
    long max_bytes, mode;
    int create, exclusive;
    int check_writers;   /* refuse the queue if others may write to it */
    int created;         /* result: this call made the queue */
    int unchecked;       /* result: this user may not look who writes to it */
    mqc_writers writers; /* result, where the queue is not trusted */
} open_request;

/* kernel.c */
int removed_or(int error);
long system_msgmax(void);
int system_stat(int id, struct msqid_ds *status);
int system_stat_any(int id, struct msqid_ds *status);
long capacity(const struct msqid_ds *status);
unsigned long key_of(const struct msqid_ds *status);
ssize_t system_receive(int id, void *buffer, size_t size, long type, int flags);
int system_remove(int id);
int system_set(int id, const changes *wanted);
int system_set_max_bytes(int id, long max_bytes);
int system_never_fits(int id, size_t size);

/* open.c */
int check_writers(int id, mqc_writers *writers);
int read_request(PyObject *key, PyObject *max_bytes, PyObject *mode, open_request *request);
void raise_by_id(mqc_operation operation, int error, long id);
int read_id(PyObject *value, long *id);
void raise_untrusted(const char *by, long number, const mqc_writers *writers);
int set_up(Queue *self, open_request *request, PyObject *serializer);
int set_up_by_id(Queue *self, long id, PyObject *serializer);

/* lifecycle.c */
PyObject *Queue_new(PyTypeObject *type, PyObject *args, PyObject *kwargs);
int Queue_init(PyObject *op, PyObject *args, PyObject *kwargs);
PyObject *Queue_from_id(PyObject *type, PyObject *args, PyObject *kwargs);
void Queue_dealloc(PyObject *op);
PyObject *Queue_repr(PyObject *op);
PyObject *Queue_richcompare(PyObject *op, PyObject *other, int comparison);
Py_hash_t Queue_hash(PyObject *op);
PyObject *Queue_reduce(PyObject *op, PyObject *ignored);
PyObject *Queue_close(PyObject *op, PyObject *ignored);
PyObject *Queue_detach(PyObject *op, PyObject *ignored);
PyObject *Queue_exit(PyObject *op, PyObject *args);

/* transfer.c */
int send_message(const mqc_call *call, int may_sleep);
int receive_message(mqc_call *call, int may_sleep);
int never_fits(const mqc_queue *queue, size_t size);
int read_type(PyObject *msg_type, long *type);
int select_type(mqc_call *call, PyObject *msg_type, PyObject *exclude);
int recheck_writers(mqc_call *call);
size_t count_messages(const mqc_queue *queue);
PyObject *Queue_peek(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);

/* watch.c */
PyObject *Queue_watch(PyObject *op, PyObject *args);

/* attributes.c */
PyObject *Queue_qattr(PyObject *op, PyObject *ignored);
PyObject *Queue_stat(PyObject *op, PyObject *ignored);
PyObject *Queue_set(PyObject *op, PyObject *args, PyObject *kwargs);
PyObject *Queue_qsize(PyObject *op, PyObject *ignored);
PyObject *Queue_empty(PyObject *op, PyObject *ignored);
PyObject *Queue_get_key(PyObject *op, void *closure);
PyObject *Queue_get_id(PyObject *op, void *closure);
PyObject *Queue_get_max_bytes(PyObject *op, void *closure);
PyObject *Queue_get_maxmsgsize(PyObject *op, void *closure);

#endif /* SYSVMQ_H */
