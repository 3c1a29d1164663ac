/* Opening by key and by id, and who else writes to a queue. */

#include "sysvmq.h"

#include "mqc/argument.h"
#include "mqc/error.h"

/* Find an existing queue, asking for the most rights that this user has to it. */
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

/* MQC_UNTRUSTED where others may write to the queue, else 0. */
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

/* The same, or an errno: EACCES for who may not look, and he may not read either. */
int
check_writers(int id, mqc_writers *writers)
{
    struct msqid_ds status;
    int error = system_stat(id, &status);

    return error != 0 ? error : judge_writers(&status, writers);
}

/* Give the queue its size and learn it. */
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

/* Open the queue, and change nothing of one that is not to be trusted; one that this call
 * created does not outlive a failure. */
static int
open_and_size_queue(open_request *request, int *id, long *max_bytes)
{
    int error = open_queue(request, id);

    if (error != 0) {
        return error;
    }
    if (request->wary) {
        error = check_writers(*id, &request->writers);
        request->unseen = error == EACCES;
        error = request->unseen ? 0 : error;
    }
    if (error == 0) {
        error = size_queue(request, *id, max_bytes);
    }
    if (error != 0 && request->created) {
        system_remove(*id);
    }
    return error;
}

/* Find what the kernel says of a queue by its id. Who may only write learns all but the size;
 * who has no right to it gets EACCES as from msgget(2), which can only be asked by key. */
static int
find_by_id(open_request *request, int id, long *max_bytes)
{
    struct msqid_ds status;
    int found, error = system_stat(id, &status);

    *max_bytes = error == 0 ? capacity(&status) : LONG_MAX;
    if (error == 0 && request->wary) {
        error = judge_writers(&status, &request->writers);
    }
    else if (error == EACCES) {
        request->unseen = request->wary;
        error = system_look(id, &status);
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
    PyObject *detail = Py_BuildValue("kl", request->key, request->max_bytes);

    if (detail != NULL) {
        mqc_raise("open", error, NULL, detail);
        Py_DECREF(detail);
    }
}

int
read_request(PyObject *key, PyObject *max_bytes, PyObject *mode, open_request *request)
{
    long number = 0;

    request->mode = 0600;
    if (request->exclusive && !request->create) {
        PyErr_SetString(PyExc_ValueError, "exclusive=True needs create=True");
        return -1;
    }
    if (key != NULL && key != Py_None &&
        mqc_read_long(key, "key", 0, MOST_KEY, "0 (private) or a positive key of 32 bits",
                      &number) < 0) {
        return -1;
    }
    request->key = (unsigned long)number;
    if (max_bytes != NULL && max_bytes != Py_None &&
        mqc_read_long(max_bytes, "max_bytes", 1, LONG_MAX, "1 or more", &request->max_bytes) < 0) {
        return -1;
    }
    if (mode != NULL &&
        mqc_read_long(mode, "mode", 0, 0777, "permission bits, 0 to 0o777", &request->mode) < 0) {
        return -1;
    }
    return 0;
}

/* The error of an operation on a queue that is known by its id alone. */
void
raise_by_id(const char *operation, int error, long id)
{
    PyObject *detail = PyLong_FromLong(id);

    if (detail != NULL) {
        mqc_raise(operation, error, NULL, detail);
        Py_DECREF(detail);
    }
}

int
read_id(PyObject *value, long *id)
{
    return mqc_read_long(value, "msqid", 0, INT_MAX, "0 to 2147483647", id);
}

/* Put what was opened in its place, and let callers in. */
static void
move_in(Queue *self, const mqc_serializer *methods, int id, const open_request *request,
        long max_bytes)
{
    self->base.serializer = *methods;
    self->id = id;
    self->key = request->key;
    atomic_store(&self->unseen, request->unseen);
    atomic_store(&self->max_bytes, max_bytes);
    mqc_gate_open(&self->base.gate);
}

void
raise_untrusted(const char *by, long number, const mqc_writers *writers)
{
    PyObject *detail = Py_BuildValue("sllli", by, number, (long)writers->owner,
                                     (long)writers->creator, (int)writers->mode);

    if (detail != NULL) {
        mqc_raise("trust", EACCES, NULL, detail);
        Py_DECREF(detail);
    }
}

/* Open the queue and put all that the constructor was given in its place. */
int
set_up(Queue *self, open_request *request, PyObject *serializer)
{
    mqc_serializer methods;
    long max_bytes = 0;
    int error, id;

    request->wary =
        mqc_serializer_prepare(self->base.state, &self->base.manners, &methods, serializer);
    if (request->wary < 0) {
        return -1;
    }
    Py_BEGIN_ALLOW_THREADS
    do {
        error = open_and_size_queue(request, &id, &max_bytes);
    } while (error == EIDRM && request->create); /* somebody removed it meanwhile: once more */
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
    move_in(self, &methods, id, request, max_bytes);
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

    request.wary =
        mqc_serializer_prepare(self->base.state, &self->base.manners, &methods, serializer);
    if (request.wary < 0) {
        return -1;
    }
    error = find_by_id(&request, (int)id, &max_bytes);
    if (error != 0) {
        mqc_serializer_clear(&methods);
        if (error == MQC_UNTRUSTED) {
            raise_untrusted("id", id, &request.writers);
        }
        else {
            raise_by_id("open by id", error, id);
        }
        return -1;
    }
    move_in(self, &methods, (int)id, &request, max_bytes);
    return 0;
}
