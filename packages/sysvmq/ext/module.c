/* The module: docstrings, the type, module functions, definition. */

#include "sysvmq.h"

#include <structmember.h> /* T_PYSSIZET for the weak reference list */

#include "mqc/argument.h"
#include "mqc/error.h"
#include "mqc/family.h"
#include "mqc/import.h"
#include "mqc/names.h"
#include "mqc/transfer.h"

/* ***** tables for the core ***** */

const mqc_name_table mqc_names = {
    .package = "sysvmq",
    .mark = "msg_type",
    .signal_variable = "SYSVMQ_SIGNAL",
    .spin_variable = "SYSVMQ_SPIN_US",
};

const mqc_family_table mqc_family = {
    .put = {"put", 1, 4, 5, {MQC_ITEM, MQC_BLOCK, MQC_MARK, MQC_PROTOCOL, MQC_TIMEOUT}},
    .put_nowait = {"put_nowait", 1, 3, 3, {MQC_ITEM, MQC_MARK, MQC_PROTOCOL}},
    .put_many = {"put_many", 1, 4, 5, {MQC_ITEMS, MQC_BLOCK, MQC_MARK, MQC_PROTOCOL, MQC_TIMEOUT}},
    .get = {"get", 0, 2, 4, {MQC_BLOCK, MQC_MARK, MQC_TIMEOUT, MQC_EXCLUDE}},
    .get_nowait = {"get_nowait", 0, 1, 2, {MQC_MARK, MQC_EXCLUDE}},
    .get_many =
        {"get_many", 0, 3, 5, {MQC_MAX_ITEMS, MQC_BLOCK, MQC_MARK, MQC_TIMEOUT, MQC_EXCLUDE}},
    .get_into = {"get_into", 1, 3, 5, {MQC_BUFFER, MQC_BLOCK, MQC_MARK, MQC_TIMEOUT, MQC_EXCLUDE}},
    .receive = {"receive", 0, 2, 4, {MQC_BLOCK, MQC_MARK, MQC_TIMEOUT, MQC_EXCLUDE}},
    .repr = Queue_repr,
    .send = send_message,
    .receive_message = receive_message,
    .never_fits = never_fits,
    .mark_in_front = 1,
    .first_mark = 1,
    .read_mark = read_type,
    .select = select_type,
    .recheck_writers = recheck_writers,
    .count_messages = count_messages,
};

/* ***** docstrings of the type ***** */

PyDoc_STRVAR(Queue_doc,
             "Queue(key=None, max_bytes=None, *, serializer=None, mode=0o600, create=True, "
             "exclusive=False, on_signal='raise', spin_us=None, trusted=False)\n"
             "--\n\n"
             "A System V message queue, created if it does not exist; see msgget(2).\n"
             "\n"
             ":param key: 1 to 4294967295; 0 or None for a private queue, always a new one\n"
             ":param max_bytes: bytes that the messages in the queue may have together, 1 to\n"
             "    kernel.msgmnb. This changes an existing queue for everybody; None leaves it as\n"
             "    it is\n"
             ":param serializer: anything with dumps(obj) and loads(data); None means\n"
             "    PickleSerializer\n"
             ":param mode: permission bits of a new queue, 0o600 unless given\n"
             ":param create: False to open an existing queue only; a private queue is created\n"
             "    nevertheless\n"
             ":param exclusive: True to fail if the queue exists; needs create\n"
             ":param on_signal: what a signal does to a waiting call in the main thread when\n"
             "    its handler returns: 'raise' QueueError.INTERRUPTED, or 'retry'\n"
             ":param spin_us: microseconds to try again before sleeping, 0 to 1,000,000; None\n"
             "    for SYSVMQ_SPIN_US or 50\n"
             ":param trusted: True to unpickle from a queue that somebody other than root owns\n"
             "    or may write to; this is refused otherwise, as unpickling runs code\n"
             ":raises QueueError: INVALID_VALUE, NO_PERMISSIONS, NO_SYSTEM_RESOURCES,\n"
             "    DOES_NOT_EXIST, EXISTS, ERROR (the first queue cannot import pickle or queue);\n"
             "    the message names the limit that was hit\n"
             ":raises TypeError: an argument of the wrong type, or a serializer without dumps\n"
             "    or loads\n"
             ":raises ValueError: on_signal or spin_us out of range, exclusive without create\n");

PyDoc_STRVAR(Queue_from_id_doc,
             "from_id($type, /, msqid, *, serializer=None, on_signal='raise', spin_us=None, "
             "trusted=False)\n"
             "--\n\n"
             "Open an existing queue by the kernel's identifier, as ipcs(1) shows it; see\n"
             "msgctl(2).\n"
             "\n"
             "This is how another process opens a private queue. A queue opened like this never\n"
             "belongs to the opener: a with block detaches it at its end. __init__ of a subclass\n"
             "is not called.\n"
             "\n"
             ":param msqid: 0 to 2147483647; the attribute id of an open queue\n"
             ":param serializer: as in the constructor, like on_signal, spin_us and trusted\n"
             ":raises QueueError: DOES_NOT_EXIST, NO_PERMISSIONS, INVALID_VALUE\n"
             ":raises TypeError: an argument of the wrong type, or a serializer without dumps\n"
             "    or loads\n"
             ":raises ValueError: on_signal or spin_us out of range\n"
             "\n"
             "A private queue that this user may not read is opened without a check: put() finds\n"
             "out whether the user may write.\n");

PyDoc_STRVAR(Queue_reduce_doc,
             "__reduce__($self, /)\n--\n\n"
             "Pickle the queue by its id: unpickled, it is the same queue of the kernel.\n"
             "\n"
             "This includes the serializer (a module by its import name), on_signal, spin_us, and\n"
             "the attributes of a subclass. Unpickling opens the queue as from_id() does, so the\n"
             "copy never owns it.\n"
             "\n"
             ":raises QueueError: INVALID_DESCRIPTOR, closed or never opened\n");

PyDoc_STRVAR(Queue_close_doc,
             "close($self, /)\n--\n\n"
             "Remove the queue with all its messages from the kernel; see IPC_RMID in msgctl(2).\n"
             "\n"
             "Everybody who waits on it, in any process, wakes up and raises INVALID_DESCRIPTOR.\n"
             "It does nothing for a queue that is closed, detached, or removed by somebody else.\n"
             "To remove a queue after detach(), open it again.\n"
             "\n"
             ":raises QueueError: NO_PERMISSIONS, and then the queue stays open\n");

PyDoc_STRVAR(Queue_detach_doc,
             "detach($self, /)\n--\n\n"
             "Close this object only; the queue and its messages stay in the kernel.\n"
             "\n"
             "Threads that wait on this object wake up and raise INVALID_DESCRIPTOR. A second\n"
             "detach() does nothing, nor does one after close().\n");

PyDoc_STRVAR(Queue_enter_doc, "__enter__($self, /)\n--\n\nReturn the queue itself.\n");

PyDoc_STRVAR(Queue_exit_doc,
             "__exit__($self, /, *exc_info)\n--\n\n"
             "Detach a queue that has a key or came from from_id(). Remove a private queue that\n"
             "this process created, as nobody could find it.\n");

PyDoc_STRVAR(Queue_put_doc,
             "put($self, /, item, block=True, msg_type=1, pickle_protocol=1, *, timeout=None)\n"
             "--\n\n"
             "Put item into the queue; see msgsnd(2). The timeout is keyword-only, as the third\n"
             "argument is msg_type.\n"
             "\n"
             ":param item: what the serializer takes\n"
             ":param block: False to raise queue.Full at once where there is no room\n"
             ":param msg_type: 1 to the largest C long; receivers can select by it\n"
             ":param pickle_protocol: for PickleSerializer only\n"
             ":param timeout: seconds to wait, None for ever; ignored if block is false\n"
             ":raises queue.Full: there was no room in time\n"
             ":raises QueueError: TOO_BIG_MESSAGE, INVALID_VALUE, INTERRUPTED,\n"
             "    INVALID_DESCRIPTOR, NO_PERMISSIONS, NO_SYSTEM_RESOURCES, ERROR (no signal is\n"
             "    free)\n"
             ":raises ValueError, OverflowError: a timeout that is negative, NaN or too large\n"
             "\n"
             "What the serializer raises passes through, and nothing is sent.\n");

PyDoc_STRVAR(Queue_put_nowait_doc,
             "put_nowait($self, /, item, msg_type=1, pickle_protocol=1)\n--\n\n"
             "Put item into the queue, or raise queue.Full: put(item, block=False).\n");

PyDoc_STRVAR(Queue_get_doc,
             "get($self, /, block=True, msg_type=0, *, timeout=None, exclude=False)\n--\n\n"
             "Remove and return an item; see msgrcv(2). The timeout is keyword-only, as the\n"
             "second argument is msg_type.\n"
             "\n"
             ":param block: False to raise queue.Empty at once where there is none\n"
             ":param msg_type: 0 for the oldest message, N > 0 for the oldest of type N, N < 0\n"
             "    for the oldest of the lowest type that is at most -N; within a C long\n"
             ":param timeout: seconds to wait, None for ever; ignored if block is false\n"
             ":param exclude: True for the oldest of any type but msg_type, which must then be\n"
             "    1 or more; this is MSG_EXCEPT\n"
             ":raises queue.Empty: there was none in time\n"
             ":raises DecodeError: the serializer refused the message, which .data holds\n"
             ":raises QueueError: INVALID_VALUE, INTERRUPTED, INVALID_DESCRIPTOR,\n"
             "    NO_PERMISSIONS, NO_SYSTEM_RESOURCES, ERROR (no signal is free)\n"
             ":raises ValueError, OverflowError: a timeout that is negative, NaN or too large\n");

PyDoc_STRVAR(Queue_get_nowait_doc,
             "get_nowait($self, /, msg_type=0, *, exclude=False)\n--\n\n"
             "Remove and return an item, or raise queue.Empty: get(block=False).\n");

PyDoc_STRVAR(Queue_receive_doc,
             "receive($self, /, block=True, msg_type=0, *, timeout=None, exclude=False)\n--\n\n"
             "Remove an item and return it with its type, as Message(item, msg_type).\n"
             "\n"
             "Parameters and errors are those of get().\n");

PyDoc_STRVAR(Queue_put_many_doc,
             "put_many($self, /, items, block=True, msg_type=1, pickle_protocol=1, *, "
             "timeout=None)\n--\n\n"
             "Put the items in their order, and return how many were put.\n"
             "\n"
             "All items are serialized, and their sizes checked, before the first is sent. If one\n"
             "fails, nothing is sent. If the time runs out, fewer are put than were given.\n"
             "\n"
             ":param items: an iterable of items\n"
             ":param block: False to put only what there is room for at once\n"
             ":param msg_type: 1 to the largest C long, the same for all\n"
             ":param pickle_protocol: for PickleSerializer only\n"
             ":param timeout: seconds for all of them, None for ever; ignored if block is false\n"
             ":raises queue.Full: there was no room for any\n"
             ":raises QueueError: as put(); every exception that is raised while they are sent\n"
             "    has an attribute count: how many were put\n"
             ":raises ValueError, OverflowError: a timeout that is negative, NaN or too large\n");

PyDoc_STRVAR(Queue_get_many_doc,
             "get_many($self, /, max_items=None, block=True, msg_type=0, *, timeout=None, "
             "exclude=False)\n--\n\n"
             "Wait for a message, receive it and all others that are there by then, and return\n"
             "the list of their items.\n"
             "\n"
             ":param max_items: 1 or more; None for as many as the queue holds when the first has\n"
             "    come, which is also the upper limit beyond 256\n"
             ":param block: False to raise queue.Empty at once where there is none\n"
             ":param msg_type: what to receive, as in get()\n"
             ":param timeout: seconds to wait for the first, None for ever; ignored if block is\n"
             "    false\n"
             ":param exclude: as in get()\n"
             ":raises queue.Empty: there was none in time\n"
             ":raises DecodeError: the serializer refused messages; its attribute items holds the\n"
             "    decoded items, failures one DecodeError for each message that was refused\n"
             ":raises QueueError: as get()\n"
             ":raises ValueError, OverflowError: a timeout that is negative, NaN or too large\n");

PyDoc_STRVAR(Queue_get_into_doc,
             "get_into($self, /, buffer, block=True, msg_type=0, *, timeout=None, exclude=False)\n"
             "--\n\n"
             "Receive a message's bytes into a buffer, without the serializer, and return\n"
             "(size, msg_type).\n"
             "\n"
             ":param buffer: a writable, contiguous buffer, such as a bytearray; the bytes behind\n"
             "    the message stay as they were\n"
             ":param block: False to raise queue.Empty at once where there is none\n"
             ":param msg_type: what to receive, as in get()\n"
             ":param timeout: seconds to wait, None for ever; ignored if block is false\n"
             ":param exclude: as in get()\n"
             ":raises queue.Empty: there was none in time\n"
             ":raises QueueError: TOO_BIG_MESSAGE if the message is longer than the buffer, and\n"
             "    then it stays in the queue; all others as in get()\n"
             ":raises TypeError, BufferError: buffer is not such a buffer\n"
             ":raises ValueError, OverflowError: a timeout that is negative, NaN or too large\n");

PyDoc_STRVAR(Queue_peek_doc,
             "peek($self, /, index=0)\n--\n\n"
             "Return Message(item, msg_type) of a message that stays in the queue; see MSG_COPY\n"
             "in msgrcv(2).\n"
             "\n"
             "When it returns, another reader may have received the message already.\n"
             "\n"
             ":param index: 0 for the oldest message of any type, 1 for the next, up to the\n"
             "    largest C long\n"
             ":raises queue.Empty: the queue holds no more than index messages\n"
             ":raises DecodeError: the serializer refused the message, which .data holds and\n"
             "    which stays in the queue\n"
             ":raises QueueError: INVALID_VALUE (a negative index), INVALID_DESCRIPTOR,\n"
             "    NO_PERMISSIONS, TOO_BIG_MESSAGE (kernel.msgmax was lowered since it was sent),\n"
             "    NO_SYSTEM_RESOURCES, ERROR (a kernel without MSG_COPY; os_errno is ENOSYS)\n");

PyDoc_STRVAR(
    Queue_watch_doc,
    "_watch($self, msg_type, exclude, /)\n--\n\n"
    "Wait until there is a message that get(True, msg_type, exclude=exclude) would\n"
    "take; leave it in the queue and return 0.\n"
    "\n"
    "A message without bytes cannot be left there: it is received and its type returned.\n");

PyDoc_STRVAR(Queue_qattr_doc,
             "qattr($self, /)\n--\n\n"
             "Return {'size': ..., 'max_bytes': ...}; see msgctl(2).\n"
             "\n"
             "size is the number of messages in the queue, and max_bytes the bytes that they may\n"
             "have together.\n"
             "\n"
             ":raises QueueError: INVALID_DESCRIPTOR, NO_PERMISSIONS\n");

PyDoc_STRVAR(Queue_stat_doc,
             "stat($self, /)\n--\n\n"
             "Return all that the kernel tells about the queue, as a QueueStat; see msgctl(2).\n"
             "\n"
             ":raises QueueError: INVALID_DESCRIPTOR, NO_PERMISSIONS\n");

PyDoc_STRVAR(Queue_set_doc,
             "set($self, /, *, mode=None, uid=None, gid=None, max_bytes=None)\n--\n\n"
             "Change the queue for everybody; see IPC_SET in msgctl(2). None leaves a value as it\n"
             "is.\n"
             "\n"
             ":param mode: permission bits, 0 to 0o777\n"
             ":param uid: the owner's user, 0 to 4294967294; the creator keeps its rights\n"
             ":param gid: the owner's group, 0 to 4294967294\n"
             ":param max_bytes: bytes that the messages in the queue may have together, 1 to\n"
             "    kernel.msgmnb, or more with CAP_SYS_RESOURCE. Messages that are in the queue\n"
             "    stay, even if they have more bytes\n"
             ":raises QueueError: NO_PERMISSIONS (not the owner, nor the creator, nor root; or\n"
             "    max_bytes is over the limit), INVALID_VALUE, INVALID_DESCRIPTOR\n"
             ":raises TypeError: an argument of the wrong type\n"
             "\n"
             "The kernel sets all values at once: two processes that do it at the same time may\n"
             "undo each other's changes. Calls that wait for room go on if there is enough now.\n");

PyDoc_STRVAR(Queue_qsize_doc,
             "qsize($self, /)\n--\n\n"
             "Return the approximate number of messages in the queue.\n"
             "\n"
             "Other processes use the queue, too: qsize() > 0 does not mean that get() will not\n"
             "block.\n"
             "\n"
             ":raises QueueError: INVALID_DESCRIPTOR, NO_PERMISSIONS\n");

PyDoc_STRVAR(Queue_empty_doc,
             "empty($self, /)\n--\n\n"
             "Return True if the queue held no message a moment ago.\n");

/* ***** type spec ***** */

#define METHOD(name, flags)                                                                        \
    {#name, (PyCFunction)(void (*)(void))Queue_##name, flags, Queue_##name##_doc}

/* A method of the core. */
#define TRANSFER(name)                                                                             \
    {#name, (PyCFunction)(void (*)(void))mqc_##name, METH_FASTCALL | METH_KEYWORDS,                \
     Queue_##name##_doc}

static PyMethodDef Queue_methods[] = {
    TRANSFER(put),
    TRANSFER(put_nowait),
    TRANSFER(get),
    TRANSFER(get_nowait),
    TRANSFER(receive),
    TRANSFER(put_many),
    TRANSFER(get_many),
    TRANSFER(get_into),
    METHOD(peek, METH_FASTCALL | METH_KEYWORDS),
    METHOD(from_id, METH_VARARGS | METH_KEYWORDS | METH_CLASS),
    METHOD(qattr, METH_NOARGS),
    METHOD(stat, METH_NOARGS),
    METHOD(set, METH_VARARGS | METH_KEYWORDS),
    METHOD(qsize, METH_NOARGS),
    METHOD(empty, METH_NOARGS),
    {"_watch", Queue_watch, METH_VARARGS, Queue_watch_doc},
    METHOD(close, METH_NOARGS),
    METHOD(detach, METH_NOARGS),
    {"__enter__", mqc_queue_enter, METH_NOARGS, Queue_enter_doc},
    {"__exit__", Queue_exit, METH_VARARGS, Queue_exit_doc},
    {"__reduce__", Queue_reduce, METH_NOARGS, Queue_reduce_doc},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS,
     "Queue[T] is a queue whose items are of type T."},
    {NULL},
};

static PyGetSetDef Queue_getset[] = {
    {"key", Queue_get_key, NULL, "The key; 0 for a private queue.", NULL},
    {"id", Queue_get_id, NULL, "The kernel's identifier, as ipcs(1) shows it.", NULL},
    {"serializer", mqc_get_serializer, NULL, "What turns items into messages and back.", NULL},
    {"max_bytes", Queue_get_max_bytes, NULL,
     "The bytes that the messages in the queue may have together; sys.maxsize where this\n"
     "user may write but not look.",
     NULL},
    {"maxmsgsize", Queue_get_maxmsgsize, NULL,
     "The longest message in bytes: kernel.msgmax or max_bytes, whichever is less.", NULL},
    {"on_signal", mqc_get_on_signal, NULL,
     "What a signal does to a waiting call in the main thread: 'raise' or 'retry'.", NULL},
    {"trusted", mqc_get_trusted, NULL, "Whether it unpickles from queues that others may write to.",
     NULL},
    {"spin_us", mqc_get_spin_us, NULL, "Microseconds to try again before sleeping.", NULL},
    {"closed", mqc_get_closed, NULL, "True once close() or detach() was called.", NULL},
    {NULL},
};

static PyMemberDef Queue_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Queue, weakrefs), READONLY, NULL},
    {NULL},
};

static PyType_Slot Queue_slots[] = {
    {Py_tp_doc, (void *)Queue_doc},
    {Py_tp_new, Queue_new},
    {Py_tp_init, Queue_init},
    {Py_tp_dealloc, Queue_dealloc},
    {Py_tp_traverse, mqc_queue_traverse},
    {Py_tp_clear, mqc_queue_clear},
    {Py_tp_repr, Queue_repr},
    {Py_tp_richcompare, Queue_richcompare},
    {Py_tp_hash, Queue_hash},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, mqc_next},
    {Py_tp_methods, Queue_methods},
    {Py_tp_getset, Queue_getset},
    {Py_tp_members, Queue_members},
    {0, NULL},
};

static PyType_Spec Queue_spec = {
    .name = "sysvmq.Queue",
    .basicsize = sizeof(Queue),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = Queue_slots,
};

/* ***** module functions ***** */

PyDoc_STRVAR(sysvmq_ftok_doc,
             "ftok($module, /, path, project_id)\n--\n\n"
             "Return the key that ftok(3) makes of an existing file.\n"
             "\n"
             "It consists of the low 8 bits of the device and the low 16 bits of the inode. Two\n"
             "files may give the same key, and a file that is created again gives another one. A\n"
             "number that the programs agree on is a better key.\n"
             "\n"
             ":param path: str, bytes or path-like; the file must exist, and is not read\n"
             ":param project_id: 1 to 255\n"
             ":raises QueueError: DOES_NOT_EXIST (no such file), NO_PERMISSIONS, INVALID_VALUE,\n"
             "    ERROR (a part of the path is not a folder, or the links form a circle)\n"
             ":raises TypeError, ValueError: path is not one, or has a null character\n");

static PyObject *
sysvmq_ftok(PyObject *Py_UNUSED(module), PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"path", "project_id", NULL};
    static const mqc_range range = {"project_id", 1, 255, "1 to 255"};
    PyObject *path = NULL, *project, *result = NULL;
    long project_id;
    key_t key;
    int error;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&O:ftok", names, PyUnicode_FSConverter, &path,
                                     &project)) {
        return NULL;
    }
    if (mqc_read_long(project, &range, &project_id) < 0) {
        Py_DECREF(path);
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    errno = 0;
    key = ftok(PyBytes_AsString(path), (int)project_id);
    error = key == -1 ? errno : 0; /* -1 is a key as well */
    Py_END_ALLOW_THREADS
    if (error != 0) {
        mqc_raise(MQC_OP_FTOK, error, NULL, path);
    }
    else {
        result = PyLong_FromUnsignedLong((uint32_t)key);
    }
    Py_DECREF(path);
    return result;
}

PyDoc_STRVAR(sysvmq_remove_doc,
             "remove($module, /, msqid)\n--\n\n"
             "Remove a queue with all its messages from the kernel, by its id; see IPC_RMID in\n"
             "msgctl(2).\n"
             "\n"
             "Everybody who waits on it wakes up and raises INVALID_DESCRIPTOR. To remove the\n"
             "queue of an open Queue object, use its close().\n"
             "\n"
             ":param msqid: 0 to 2147483647, as ipcs(1) and list_queues() show it\n"
             ":raises QueueError: DOES_NOT_EXIST, NO_PERMISSIONS (only its owner, its creator\n"
             "    or root may), INVALID_VALUE\n");

static PyObject *
sysvmq_remove(PyObject *Py_UNUSED(module), PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"msqid", NULL};
    PyObject *msqid;
    long id;
    int error;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:remove", names, &msqid) ||
        read_id(msqid, &id) < 0) {
        return NULL;
    }
    error = system_remove((int)id);
    if (error != 0) {
        raise_by_id(MQC_OP_REMOVE, error == EIDRM ? ENOENT : error, id);
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(sysvmq_limits_doc,
             "limits($module, /)\n--\n\n"
             "Return the system's limits, and how much of them is in use now, as a Limits; see\n"
             "MSG_INFO in msgctl(2). Only queues of this IPC namespace count.\n"
             "\n"
             ":raises QueueError: ERROR\n");

static PyObject *
sysvmq_limits(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
#ifndef __linux__
    mqc_raise(MQC_OP_LIMITS, ENOSYS, NULL, NULL);
    return NULL;
#else
    PyObject *class, *result;
    struct msginfo information;

    if (msgctl(0, MSG_INFO, (struct msqid_ds *)&information) < 0) {
        mqc_raise(MQC_OP_LIMITS, errno, NULL, NULL);
        return NULL;
    }
    class = mqc_import("._limits", "Limits");
    if (class == NULL) {
        return NULL;
    }
    /* MSG_INFO gives three fields another meaning than their names say. */
    result = PyObject_CallFunction(class, "iiiiii", information.msgmax, information.msgmnb,
                                   information.msgmni, information.msgpool, information.msgmap,
                                   information.msgtql);
    Py_DECREF(class);
    return result;
#endif
}

static PyMethodDef sysvmq_functions[] = {
    {"ftok", (PyCFunction)(void (*)(void))sysvmq_ftok, METH_VARARGS | METH_KEYWORDS,
     sysvmq_ftok_doc},
    {"remove", (PyCFunction)(void (*)(void))sysvmq_remove, METH_VARARGS | METH_KEYWORDS,
     sysvmq_remove_doc},
    {"limits", sysvmq_limits, METH_NOARGS, sysvmq_limits_doc},
    {NULL},
};

/* ***** exec, traverse, clear ***** */

static int
sysvmq_exec(PyObject *module)
{
    module_state *state = PyModule_GetState(module);

    if (mqc_state_init(&state->common) < 0) {
        return -1;
    }
    /* The tests look where a call waits. */
    if (mqc_polls() && PyModule_AddIntConstant(module, "_polls", 1) < 0) {
        return -1;
    }
    state->Queue = (PyTypeObject *)PyType_FromModuleAndSpec(module, &Queue_spec, NULL);
    if (state->Queue == NULL) {
        return -1;
    }
    return PyModule_AddType(module, state->Queue);
}

static int
sysvmq_traverse(PyObject *module, visitproc visit, void *arg)
{
    module_state *state = PyModule_GetState(module);

    Py_VISIT(state->Queue);
    return mqc_state_traverse(&state->common, visit, arg);
}

static int
sysvmq_clear(PyObject *module)
{
    module_state *state = PyModule_GetState(module);

    Py_CLEAR(state->Queue);
    mqc_state_clear(&state->common);
    return 0;
}

static void
sysvmq_free(void *module)
{
    sysvmq_clear(module);
}

/* ***** definition ***** */

MQC_MODULE_SLOTS(sysvmq_slots, sysvmq_exec);

struct PyModuleDef sysvmq_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "sysvmq._sysvmq",
    .m_doc = "System V message queues; use them through the package sysvmq.",
    .m_size = sizeof(module_state),
    .m_methods = sysvmq_functions,
    .m_traverse = sysvmq_traverse,
    .m_clear = sysvmq_clear,
    .m_free = sysvmq_free,
};

PyMODINIT_FUNC
PyInit__sysvmq(void)
{
    sysvmq_module.m_slots = mqc_module_slots(sysvmq_slots);
    return PyModuleDef_Init(&sysvmq_module);
}
