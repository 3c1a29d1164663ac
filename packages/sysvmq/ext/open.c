/* Opening by key and by id, and who else writes to a queue. */

#include "sysvmq.h"

#include "mqc/argument.h"
#include "mqc/error.h"

/* Find an existing queue, with the most rights that this user has to it. */
static int
find_queue(key_t key, int *id)
{
    static const int rights[] = {0600, 0400, 0200};

    for (size_t i = 0; i < sizeof(rights) / sizeof(rights[0]); i++) {
        *id = msgget(key, rights[i]);
        if (*id >= 0) {
            return 0;
        }
        if (errno != EACCES) {
            return errno;
        }
    }
    return EACCES;
}

static int
open_queue(open_request *request, int *id)
{
    key_t key = (key_t)request->key;

    request->created = 0; /* this may not be the first try */
    for (;;) {
        int error;

        if (request->create || key == IPC_PRIVATE) { /* a private queue is always a new one */
            *id = msgget(key, IPC_CREAT | IPC_EXCL | (int)request->mode);
            if (*id >= 0) {
                request->created = 1;
                return 0;
            }
            if (errno != EEXIST || request->exclusive) {
                return errno;
            }
        }
        error = find_queue(key, id);
        if (error != ENOENT || !request->create) {
            return error;
        }
        /* Somebody removed it between the two calls: create it after all. */
    }
}

/* MQC_UNTRUSTED where others may write to the queue, 0 otherwise. */
static int
judge_writers(const struct msqid_ds *status, mqc_writers *writers)
{
    *writers = (mqc_writers){
        .owner = status->msg_perm.uid,
        .creator = status->msg_perm.cuid,
        .mode = status->msg_perm.mode & 0777,
    };
    return mqc_others_write(writers) ? MQC_UNTRUSTED : 0;
}

/* The same, or an errno. EACCES means that this user may not look, and may not read either. */
int
check_writers(int id, mqc_writers *writers)
{
    struct msqid_ds status;
    int error = system_stat(id, &status);

    return error != 0 ? error : judge_writers(&status, writers);
}

/* Set the queue's capacity if asked to, and read it. */
static int
size_queue(const open_request *request, int id, long *max_bytes)
{
    struct msqid_ds status;
    int error = 0;

    if (request->max_bytes > 0) {
        error = system_set_max_bytes(id, request->max_bytes);
    }
    if (error == 0) {
        error = system_stat(id, &status);
        *max_bytes = error == 0 ? capacity(&status) : LONG_MAX;
        error = error == EACCES ? 0 : error; /* a writer who may not look */
    }
    return error;
}

/* Open the queue, and change nothing of one that is not trusted. A queue that was made by a call
 * which fails is gone again. */
static int
open_and_size_queue(open_request *request, int *id, long *max_bytes)
{
    int error = open_queue(request, id);

    if (error != 0) {
        return error;
    }
    if (request->check_writers) {
        error = check_writers(*id, &request->writers);
        request->unchecked = error == EACCES;
        error = request->unchecked ? 0 : error;
    }
    if (error == 0) {
        error = size_queue(request, *id, max_bytes);
    }
    if (error != 0 && request->created) {
        system_remove(*id);
    }
    return error;
}

/* Find a queue by its id. A user who may only write learns all but the capacity. A user without
 * any right gets EACCES, as from msgget(2), which can only be asked by key. */
static int
find_by_id(open_request *request, int id, long *max_bytes)
{
    struct msqid_ds status;
    int found, error = system_stat(id, &status);

    *max_bytes = error == 0 ? capacity(&status) : LONG_MAX;
    if (error == 0 && request->check_writers) {
        error = judge_writers(&status, &request->writers);
    }
    else if (error == EACCES) {
        request->unchecked = request->check_writers;
        error = system_stat_any(id, &status);
        if (error == 0 && key_of(&status) != 0) {
            error = find_queue((key_t)key_of(&status), &found);
            error = error == 0 && found != id ? EIDRM : error;
        }
    }
    request->key = error == 0 ? key_of(&status) : 0;
    return error == EIDRM ? ENOENT : error;
}

static void
raise_open(const open_request *request, int error)
{
    mqc_raise_with(MQC_OP_OPEN, error, NULL, Py_BuildValue("kl", request->key, request->max_bytes));
}

int
read_request(PyObject *key, PyObject *max_bytes, PyObject *mode, open_request *request)
{
    static const mqc_range keys = {"key", 0, MOST_KEY, "0 (private) or a positive key of 32 bits"};
    static const mqc_range bytes = {"max_bytes", 1, LONG_MAX, "1 or more"};
    static const mqc_range bits = {"mode", 0, 0777, "permission bits, 0 to 0o777"};
    long number = 0;

    request->mode = 0600;
    if (request->exclusive && !request->create) {
        PyErr_SetString(PyExc_ValueError, "exclusive=True needs create=True");
        return -1;
    }
    if (mqc_read_optional(key, &keys, &number) < 0) {
        return -1;
    }
    request->key = (unsigned long)number;
    if (mqc_read_optional(max_bytes, &bytes, &request->max_bytes) < 0) {
        return -1;
    }
    if (mode != NULL && mqc_read_long(mode, &bits, &request->mode) < 0) {
        return -1;
    }
    return 0;
}

/* Raise the error of an operation on a queue that is known by its id only. */
void
raise_by_id(mqc_operation operation, int error, long id)
{
    mqc_raise_with(operation, error, NULL, PyLong_FromLong(id));
}

int
read_id(PyObject *value, long *id)
{
    static const mqc_range range = {"msqid", 0, INT_MAX, "0 to 2147483647"};

    return mqc_read_long(value, &range, id);
}

/* Let calls into the queue that was opened. This takes over the references of the serializer. */
static void
install(Queue *self, const mqc_serializer *methods, int id, const open_request *request,
        long max_bytes)
{
    self->id = id;
    self->key = request->key;
    atomic_store(&self->base.unchecked, request->unchecked);
    atomic_store(&self->max_bytes, max_bytes);
    mqc_queue_install(&self->base, methods);
}

void
raise_untrusted(const char *by, long number, const mqc_writers *writers)
{
    mqc_raise_with(MQC_OP_TRUST, EACCES, NULL,
                   Py_BuildValue("sllli", by, number, (long)writers->owner, (long)writers->creator,
                                 (int)writers->mode));
}

/* Open the queue, and set all fields by what the constructor was given. */
int
set_up(Queue *self, open_request *request, PyObject *serializer)
{
    mqc_serializer methods;
    long max_bytes = 0;
    int error, id;

    request->check_writers =
        mqc_serializer_prepare(self->base.state, &self->base.policy, &methods, serializer);
    if (request->check_writers < 0) {
        return -1;
    }
    Py_BEGIN_ALLOW_THREADS
    do {
        error = open_and_size_queue(request, &id, &max_bytes);
    } while (error == EIDRM && request->create); /* somebody removed it meanwhile: try again */
    Py_END_ALLOW_THREADS
    if (error != 0) {
        mqc_serializer_clear(&methods);
        if (error == MQC_UNTRUSTED) {
            raise_untrusted("key", (long)request->key, &request->writers);
        }
        else {
            raise_open(request, error);
        }
        return -1;
    }
    self->maker = request->key == 0 ? getpid() : 0;
    install(self, &methods, id, request, max_bytes);
    return 0;
}

/* Open the queue with this id in an object that was never opened. */
int
set_up_by_id(Queue *self, long id, PyObject *serializer)
{
    mqc_serializer methods;
    open_request request = {0};
    long max_bytes = 0;
    int error;

    request.check_writers =
        mqc_serializer_prepare(self->base.state, &self->base.policy, &methods, serializer);
    if (request.check_writers < 0) {
        return -1;
    }
    error = find_by_id(&request, (int)id, &max_bytes);
    if (error != 0) {
        mqc_serializer_clear(&methods);
        if (error == MQC_UNTRUSTED) {
            raise_untrusted("id", id, &request.writers);
        }
        else {
            raise_by_id(MQC_OP_FROM_ID, error, id);
        }
        return -1;
    }
    install(self, &methods, (int)id, &request, max_bytes);
    return 0;
}
