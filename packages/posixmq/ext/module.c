/* The module: docstrings, the type, module functions, definition. */

#include "posixmq.h"

#include <structmember.h> /* T_PYSSIZET for the weak reference list */

#include "mqc/argument.h"
#include "mqc/family.h"
#include "mqc/names.h"
#include "mqc/transfer.h"

/* ***** tables for the core ***** */

const mqc_name_table mqc_names = {
    .package = "posixmq",
    .mark = "priority",
    .signal_variable = "POSIXMQ_SIGNAL",
    .spin_variable = "POSIXMQ_SPIN_US",
};

const mqc_family_table mqc_family = {
    .put = {"put", 1, 5, 5, {MQC_ITEM, MQC_BLOCK, MQC_TIMEOUT, MQC_MARK, MQC_PROTOCOL}},
    .put_nowait = {"put_nowait", 1, 3, 3, {MQC_ITEM, MQC_MARK, MQC_PROTOCOL}},
    .put_many = {"put_many", 1, 5, 5, {MQC_ITEMS, MQC_BLOCK, MQC_TIMEOUT, MQC_MARK, MQC_PROTOCOL}},
    .get = {"get", 0, 2, 2, {MQC_BLOCK, MQC_TIMEOUT}},
    .get_nowait = {"get_nowait", 0, 0, 0, {0}},
    .get_many = {"get_many", 0, 3, 3, {MQC_MAX_ITEMS, MQC_BLOCK, MQC_TIMEOUT}},
    .get_into = {"get_into", 1, 3, 3, {MQC_BUFFER, MQC_BLOCK, MQC_TIMEOUT}},
    .receive = {"receive", 0, 2, 2, {MQC_BLOCK, MQC_TIMEOUT}},
    .repr = Queue_repr,
    .send = send_message,
    .receive_message = receive_message,
    .never_fits = never_fits,
    .first_mark = 0,
    .read_mark = read_priority,
};

/* ***** docstrings of the type ***** */

PyDoc_STRVAR(Queue_doc,
             "Queue(name, maxsize=10, maxmsgsize=1024, *, serializer=None, mode=0o600, "
             "create=True, exclusive=False, readable=True, writable=True, on_signal='raise', "
             "spin_us=None, trusted=False)\n"
             "--\n\n"
             "A POSIX message queue, created if it does not exist; see mq_open(3).\n"
             "\n"
             ":param name: a str that starts with a slash, followed by 1 to 255 bytes without\n"
             "    another slash or NUL, and not /. or /..\n"
             ":param maxsize: messages it can hold, 1 to fs.mqueue.msg_max\n"
             ":param maxmsgsize: bytes a message may have, 1 to fs.mqueue.msgsize_max; an\n"
             "    existing queue keeps its own sizes, whatever is asked for\n"
             ":param serializer: anything with dumps(obj) and loads(data); None means\n"
             "    PickleSerializer\n"
             ":param mode: permission bits of a new queue, 0o600 unless given; the umask does\n"
             "    not change them\n"
             ":param create: False to open an existing queue only\n"
             ":param exclusive: True to fail if the queue exists; needs create\n"
             ":param readable: False to open it for writing only, which needs fewer rights\n"
             ":param writable: False to open it for reading only\n"
             ":param on_signal: what a signal does to a waiting call in the main thread when\n"
             "    its handler returns: 'raise' QueueError.INTERRUPTED, or 'retry'\n"
             ":param spin_us: microseconds to try again before sleeping, 0 to 1,000,000; None\n"
             "    for POSIXMQ_SPIN_US or 50\n"
             ":param trusted: True to unpickle from a queue that somebody other than root owns\n"
             "    or may write to; this is refused otherwise, as unpickling runs code\n"
             ":raises QueueError: INVALID_VALUE, NO_PERMISSIONS, NO_SYSTEM_RESOURCES,\n"
             "    DOES_NOT_EXIST, EXISTS, ERROR (the first queue cannot import pickle or queue);\n"
             "    the message names the limit that was hit\n"
             ":raises TypeError: an argument of the wrong type, or a serializer without dumps\n"
             "    or loads\n"
             ":raises ValueError: on_signal or spin_us out of range, exclusive without create,\n"
             "    neither readable nor writable\n");

PyDoc_STRVAR(Queue_anonymous_doc,
             "anonymous($type, /, maxsize=10, maxmsgsize=1024, *, serializer=None, "
             "on_signal='raise', spin_us=None, trusted=False)\n--\n\n"
             "Create a queue without a name, which lives as long as its handles.\n"
             "\n"
             "Other processes get it by fork(2), by its descriptor over a Unix socket (see\n"
             "from_fd), or as an argument of a multiprocessing.Process. Parameters and errors are\n"
             "those of Queue.\n");

PyDoc_STRVAR(Queue_from_fd_doc,
             "from_fd($type, /, fd, *, serializer=None, on_signal='raise', spin_us=None, "
             "trusted=False)\n--\n\n"
             "Return a Queue for a descriptor that was opened elsewhere: one from systemd, from a\n"
             "Unix socket (socket.recv_fds), or from os.dup.\n"
             "\n"
             "The Queue owns the descriptor from then on: it makes it close-on-exec, and closes\n"
             "it. The Queue's name is None. It is readable and writable as it was opened.\n"
             "\n"
             ":param fd: a descriptor of a POSIX message queue, 0 or more\n"
             ":raises QueueError: INVALID_DESCRIPTOR if fd is not one, NO_PERMISSIONS; then fd\n"
             "    still belongs to the caller\n"
             ":raises TypeError, ValueError: as for Queue\n");

PyDoc_STRVAR(Queue_close_doc,
             "close($self, /)\n--\n\n"
             "Close this handle; the queue and its messages stay. See mq_close(3).\n"
             "\n"
             "Threads that wait on this object wake up and raise INVALID_DESCRIPTOR. A second\n"
             "close does nothing.\n");

PyDoc_STRVAR(Queue_unlink_doc,
             "unlink($self, /)\n--\n\n"
             "Remove the queue's name; this works after close(), too. See mq_unlink(3).\n"
             "\n"
             "The kernel drops the queue when its last handle is closed.\n"
             "\n"
             ":raises QueueError: DOES_NOT_EXIST (also for one without a name), NO_PERMISSIONS\n");

PyDoc_STRVAR(Queue_enter_doc, "__enter__($self, /)\n--\n\nReturn the queue itself.\n");

PyDoc_STRVAR(Queue_exit_doc,
             "__exit__($self, /, *exc_info)\n--\n\nClose the queue; never unlink it.\n");

PyDoc_STRVAR(Queue_put_doc,
             "put($self, /, item, block=True, timeout=None, priority=0, pickle_protocol=1)\n"
             "--\n\n"
             "Put item into the queue; see mq_send(3).\n"
             "\n"
             ":param item: what the serializer takes\n"
             ":param block: False to raise queue.Full at once where there is no room\n"
             ":param timeout: seconds to wait, None for ever; ignored if block is false\n"
             ":param priority: 0 to 32767; the highest is received first\n"
             ":param pickle_protocol: for PickleSerializer only\n"
             ":raises queue.Full: there was no room in time\n"
             ":raises QueueError: TOO_BIG_MESSAGE, INVALID_VALUE, INTERRUPTED,\n"
             "    INVALID_DESCRIPTOR, NO_SYSTEM_RESOURCES, ERROR (no signal is free)\n"
             ":raises ValueError, OverflowError: a timeout that is negative, NaN or too large\n"
             "\n"
             "What the serializer raises passes through, and nothing is sent.\n");

PyDoc_STRVAR(Queue_put_nowait_doc,
             "put_nowait($self, /, item, priority=0, pickle_protocol=1)\n--\n\n"
             "Put item into the queue, or raise queue.Full: put(item, block=False).\n");

PyDoc_STRVAR(Queue_get_doc,
             "get($self, /, block=True, timeout=None)\n--\n\n"
             "Remove and return the oldest item of the highest priority; see mq_receive(3).\n"
             "\n"
             ":param block: False to raise queue.Empty at once where there is none\n"
             ":param timeout: seconds to wait, None for ever; ignored if block is false\n"
             ":raises queue.Empty: there was none in time\n"
             ":raises DecodeError: the serializer refused the message, which .data holds\n"
             ":raises QueueError: INTERRUPTED, INVALID_DESCRIPTOR, NO_SYSTEM_RESOURCES, ERROR\n"
             "    (no signal is free)\n"
             ":raises ValueError, OverflowError: a timeout that is negative, NaN or too large\n");

PyDoc_STRVAR(Queue_get_nowait_doc,
             "get_nowait($self, /)\n--\n\n"
             "Remove and return an item, or raise queue.Empty: get(block=False).\n");

PyDoc_STRVAR(Queue_receive_doc,
             "receive($self, /, block=True, timeout=None)\n--\n\n"
             "As get(), but return Message(item, priority).\n");

PyDoc_STRVAR(Queue_put_many_doc,
             "put_many($self, /, items, block=True, timeout=None, priority=0, "
             "pickle_protocol=1)\n--\n\n"
             "Put the items in their order, and return how many were put.\n"
             "\n"
             "All items are serialized, and their sizes checked, before the first is sent. If one\n"
             "fails, nothing is sent. If the time runs out, fewer are put than were given.\n"
             "\n"
             ":param items: an iterable of items\n"
             ":param block: False to put only what there is room for at once\n"
             ":param timeout: seconds for all of them, None for ever; ignored if block is false\n"
             ":param priority: 0 to 32767, the same for all\n"
             ":param pickle_protocol: for PickleSerializer only\n"
             ":raises queue.Full: there was no room for any\n"
             ":raises QueueError: as put()\n"
             ":raises ValueError, OverflowError: a timeout that is negative, NaN or too large\n"
             "\n"
             "Every exception that is raised after the arguments were read has an attribute\n"
             "count: how many items were put. Exceptions of the serializer and of signal handlers\n"
             "have it, too.\n");

PyDoc_STRVAR(Queue_get_many_doc,
             "get_many($self, /, max_items=None, block=True, timeout=None)\n--\n\n"
             "Wait for a message, receive it and all others that are there by then, and return\n"
             "the list of their items.\n"
             "\n"
             ":param max_items: 1 or more; None for maxsize, which is also the upper limit\n"
             ":param block: False to raise queue.Empty at once where there is none\n"
             ":param timeout: seconds to wait for the first, None for ever; ignored if block is\n"
             "    false\n"
             ":raises queue.Empty: there was none in time\n"
             ":raises DecodeError: the serializer refused messages; its attribute items holds the\n"
             "    decoded items, failures one DecodeError for each message that was refused\n"
             ":raises QueueError: as get()\n"
             ":raises ValueError, OverflowError: a timeout that is negative, NaN or too large\n");

PyDoc_STRVAR(Queue_get_into_doc,
             "get_into($self, /, buffer, block=True, timeout=None)\n--\n\n"
             "Receive a message's bytes into a buffer, without the serializer and without a copy,\n"
             "and return (size, priority).\n"
             "\n"
             ":param buffer: a writable, contiguous buffer of maxmsgsize bytes or more, such as a\n"
             "    bytearray; the bytes behind the message stay as they were\n"
             ":param block: False to raise queue.Empty at once where there is none\n"
             ":param timeout: seconds to wait, None for ever; ignored if block is false\n"
             ":raises queue.Empty: there was none in time\n"
             ":raises QueueError: TOO_BIG_MESSAGE if the buffer is shorter than maxmsgsize, and\n"
             "    then nothing is received; all others as in get()\n"
             ":raises TypeError, BufferError: buffer is not such a buffer\n"
             ":raises ValueError, OverflowError: a timeout that is negative, NaN or too large\n");

PyDoc_STRVAR(Queue_qattr_doc,
             "qattr($self, /)\n--\n\n"
             "Return {'size': ..., 'max_size': ..., 'max_msgbytes': ...}; see mq_getattr(3).\n"
             "\n"
             "size is the number of messages in the queue, max_size the number that it can hold,\n"
             "and max_msgbytes the longest message in bytes.\n"
             "\n"
             ":raises QueueError: INVALID_DESCRIPTOR\n");

PyDoc_STRVAR(Queue_qsize_doc,
             "qsize($self, /)\n--\n\n"
             "Return the approximate number of messages in the queue.\n"
             "\n"
             "Other processes use the queue, too: qsize() > 0 does not mean that get() will not\n"
             "block, nor does qsize() < maxsize mean that put() will not.\n"
             "\n"
             ":raises QueueError: INVALID_DESCRIPTOR\n");

PyDoc_STRVAR(Queue_empty_doc,
             "empty($self, /)\n--\n\n"
             "Return True if the queue held no message a moment ago.\n");

PyDoc_STRVAR(Queue_full_doc,
             "full($self, /)\n--\n\n"
             "Return True if the queue had no room a moment ago.\n");

PyDoc_STRVAR(Queue_fileno_doc,
             "fileno($self, /)\n--\n\n"
             "Return the descriptor, for select, selectors and event loops; -1 once it is closed.\n"
             "\n"
             "It is readable while the queue holds a message and writable while it has room.\n");

PyDoc_STRVAR(Queue_stat_doc,
             "stat($self, /)\n--\n\n"
             "Return all that the kernel tells about the queue, as a QueueStat; see\n"
             "mq_overview(7).\n"
             "\n"
             "It has what qattr() returns, the owner, group and mode, the times, the bytes of the\n"
             "messages in the queue, who asked to be notified, and whether the queue still has a\n"
             "name. Fields that only a reader may see are None if it was opened write-only.\n"
             "\n"
             ":raises QueueError: INVALID_DESCRIPTOR\n");

PyDoc_STRVAR(Queue_notify_doc,
             "notify($self, target, /)\n--\n\n"
             "Ask for one notification when a message arrives in the empty queue; see\n"
             "mq_notify(3).\n"
             "\n"
             ":param target: a callable, which is run without arguments in a thread of its own;\n"
             "    or a signal number, 1 to SIGRTMAX, which is sent to this process; or None to\n"
             "    cancel the request\n"
             ":raises QueueError: ERROR (os_errno EBUSY) if a process has asked already, as only\n"
             "    one can; INVALID_VALUE, INVALID_DESCRIPTOR, NO_SYSTEM_RESOURCES\n"
             ":raises TypeError: target is none of these\n"
             "\n"
             "The kernel notifies once, and only if the message arrives in an empty queue while\n"
             "nobody sleeps in get(). Therefore a callback (or a signal handler) first asks\n"
             "again, then gets all messages. Later ones cause the next notification::\n"
             "\n"
             "    def take_all():\n"
             "        q.notify(take_all)\n"
             "        try:\n"
             "            while True:\n"
             "                handle(q.get_nowait())\n"
             "        except queue.Empty:\n"
             "            pass\n"
             "\n"
             "    take_all()  # asks for the first time, and gets what is there already\n"
             "\n"
             "Two such threads may run at once. Exceptions of a callback go to\n"
             "threading.excepthook. The request ends when this process closes any of its handles\n"
             "of the queue, also another one than it asked by. The child of a fork does not\n"
             "inherit it.\n");

PyDoc_STRVAR(Queue_reduce_doc,
             "__reduce__($self, /)\n--\n\n"
             "Pickle the queue's name; unpickling opens the queue by it.\n"
             "\n"
             "A queue without a name can be pickled only for a process that multiprocessing is\n"
             "starting.\n"
             "\n"
             ":raises QueueError: INVALID_DESCRIPTOR\n"
             ":raises RuntimeError: the queue has no name, and no process is being started\n");

/* ***** type spec ***** */

#define METHOD(name, flags)                                                                        \
    {#name, (PyCFunction)(void (*)(void))Queue_##name, flags, Queue_##name##_doc}

/* A method of the core. */
#define TRANSFER(name)                                                                             \
    {#name, (PyCFunction)(void (*)(void))mqc_##name, METH_FASTCALL | METH_KEYWORDS,                \
     Queue_##name##_doc}

static PyMethodDef Queue_methods[] = {
    METHOD(from_fd, METH_VARARGS | METH_KEYWORDS | METH_CLASS),
    METHOD(anonymous, METH_VARARGS | METH_KEYWORDS | METH_CLASS),
    TRANSFER(put),
    TRANSFER(put_nowait),
    TRANSFER(get),
    TRANSFER(get_nowait),
    TRANSFER(receive),
    TRANSFER(put_many),
    TRANSFER(get_many),
    TRANSFER(get_into),
    METHOD(qattr, METH_NOARGS),
    METHOD(qsize, METH_NOARGS),
    METHOD(empty, METH_NOARGS),
    METHOD(full, METH_NOARGS),
    METHOD(fileno, METH_NOARGS),
    METHOD(stat, METH_NOARGS),
    METHOD(notify, METH_O),
    METHOD(close, METH_NOARGS),
    METHOD(unlink, METH_NOARGS),
    {"__reduce__", Queue_reduce, METH_NOARGS, Queue_reduce_doc},
    {"__enter__", mqc_queue_enter, METH_NOARGS, Queue_enter_doc},
    {"__exit__", Queue_exit, METH_VARARGS, Queue_exit_doc},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS,
     "Queue[T] is a queue whose items are of type T."},
    {NULL},
};

static PyGetSetDef Queue_getset[] = {
    {"name", Queue_get_name, NULL, "The queue's name; None if it has none.", NULL},
    {"serializer", mqc_get_serializer, NULL, "What turns items into messages and back.", NULL},
    {"maxsize", Queue_get_maxsize, NULL, "How many messages the queue can hold.", NULL},
    {"maxmsgsize", Queue_get_maxmsgsize, NULL, "The longest message in bytes.", NULL},
    {"readable", Queue_get_readable, NULL, "Whether it was opened for getting.", NULL},
    {"writable", Queue_get_writable, NULL, "Whether it was opened for putting.", NULL},
    {"on_signal", mqc_get_on_signal, NULL,
     "What a signal does to a waiting call: 'raise' or 'retry'.", NULL},
    {"spin_us", mqc_get_spin_us, NULL,
     "For how many microseconds a call tries again before it sleeps.", NULL},
    {"trusted", mqc_get_trusted, NULL, "Whether it unpickles from queues that others may write to.",
     NULL},
    {"closed", mqc_get_closed, NULL, "True once close() was called.", NULL},
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
    {Py_tp_hash, Queue_hash},
    {Py_tp_richcompare, Queue_richcompare},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, mqc_next},
    {Py_tp_methods, Queue_methods},
    {Py_tp_getset, Queue_getset},
    {Py_tp_members, Queue_members},
    {0, NULL},
};

static PyType_Spec Queue_spec = {
    .name = "posixmq.Queue",
    .basicsize = sizeof(Queue),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = Queue_slots,
};

/* ***** module functions ***** */

PyDoc_STRVAR(posixmq_unlink_doc,
             "unlink($module, /, name)\n--\n\n"
             "Remove a message queue's name; see mq_unlink(3).\n"
             "\n"
             "The kernel drops the queue when its last handle is closed.\n"
             "\n"
             ":param name: the name that the queue was opened with\n"
             ":raises QueueError: DOES_NOT_EXIST, NO_PERMISSIONS, INVALID_VALUE\n");

static PyObject *
posixmq_unlink(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const mqc_parameters parameters = {"unlink", 1, 1, 1, {MQC_NAME}};
    const mqc_arguments given = {&parameters, args, nargs, kwnames};
    module_state *state = PyModule_GetState(module);
    PyObject *values[MQC_WORDS];

    if (mqc_parse(&state->common, &given, values) < 0) {
        return NULL;
    }
    return unlink_name(values[MQC_NAME]);
}

PyDoc_STRVAR(posixmq_look_doc,
             "look($module, descriptor, /)\n--\n\n"
             "Return the arguments of _stat.queue_stat for an open queue's descriptor.\n"
             "\n"
             ":raises OSError: with EBADF if it is no queue's\n");

static PyObject *
posixmq_look(PyObject *Py_UNUSED(module), PyObject *descriptor)
{
    static const mqc_range range = {"descriptor", 0, INT_MAX, "0 or more"};
    queue_details details;
    long fd;

    if (mqc_read_long(descriptor, &range, &fd) < 0) {
        return NULL;
    }
    errno = read_all((int)fd, &details);
    if (errno != 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return queue_stat_arguments(&details);
}

PyDoc_STRVAR(posixmq_mount_doc,
             "mount($module, /)\n--\n\n"
             "Return a descriptor of a folder that lists the queues; nobody else sees the mount.\n"
             "\n"
             ":raises OSError: with EPERM unless the process has CAP_SYS_ADMIN\n");

static PyObject *
posixmq_mount(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    int folder = -1;
    int error;

    Py_BEGIN_ALLOW_THREADS
    error = system_mount(&folder);
    Py_END_ALLOW_THREADS
    if (error != 0) {
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return PyLong_FromLong(folder);
}

PyDoc_STRVAR(posixmq_device_doc,
             "device($module, name, /)\n--\n\n"
             "Return major and minor number of the device of this IPC namespace's queues.\n"
             "\n"
             ":param name: a queue that this user may read, or None to create one for a moment\n"
             ":raises OSError: what mq_open(2) says, QueueError where it cannot be a name\n");

static PyObject *
posixmq_device(PyObject *Py_UNUSED(module), PyObject *name)
{
    PyObject *encoded = name == Py_None ? NULL : encode_name(name);
    struct system_status status;
    int error;

    if (encoded == NULL && name != Py_None) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    error = find_status(encoded == NULL ? NULL : PyBytes_AsString(encoded), &status);
    Py_END_ALLOW_THREADS
    Py_XDECREF(encoded);
    if (error != 0) {
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return Py_BuildValue("(II)", (unsigned)status.major, (unsigned)status.minor);
}

static PyMethodDef posixmq_functions[] = {
    {"unlink", (PyCFunction)(void (*)(void))posixmq_unlink, METH_FASTCALL | METH_KEYWORDS,
     posixmq_unlink_doc},
    {"look", posixmq_look, METH_O, posixmq_look_doc},
    {"mount", posixmq_mount, METH_NOARGS, posixmq_mount_doc},
    {"device", posixmq_device, METH_O, posixmq_device_doc},
    {NULL},
};

/* ***** exec, traverse, clear ***** */

static int
posixmq_exec(PyObject *module)
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
posixmq_traverse(PyObject *module, visitproc visit, void *arg)
{
    module_state *state = PyModule_GetState(module);

    Py_VISIT(state->Queue);
    return mqc_state_traverse(&state->common, visit, arg);
}

static int
posixmq_clear(PyObject *module)
{
    module_state *state = PyModule_GetState(module);

    Py_CLEAR(state->Queue);
    mqc_state_clear(&state->common);
    return 0;
}

static void
posixmq_free(void *module)
{
    posixmq_clear(module);
}

/* ***** definition ***** */

MQC_MODULE_SLOTS(posixmq_slots, posixmq_exec);

struct PyModuleDef posixmq_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "posixmq._posixmq",
    .m_doc = "POSIX message queues; use them through the package posixmq.",
    .m_size = sizeof(module_state),
    .m_methods = posixmq_functions,
    .m_traverse = posixmq_traverse,
    .m_clear = posixmq_clear,
    .m_free = posixmq_free,
};

PyMODINIT_FUNC
PyInit__posixmq(void)
{
    posixmq_module.m_slots = mqc_module_slots(posixmq_slots);
    return PyModuleDef_Init(&posixmq_module);
}
