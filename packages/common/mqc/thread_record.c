/* The record of a thread, which Python drops when the thread ends. */

#include "mqc.h"

#include "thread_record.h"

static void
mqc_thread_destroy(PyObject *capsule)
{
    mqc_thread *thread = PyCapsule_GetPointer(capsule, NULL);

    mqc_thread_clear(thread);
    PyMem_Free(thread);
}

static PyObject *
mqc_thread_create(void)
{
    PyObject *capsule;
    mqc_thread *thread = PyMem_Malloc(sizeof(*thread));

    if (thread == NULL) {
        return PyErr_NoMemory();
    }
    mqc_thread_init(thread);
    capsule = PyCapsule_New(thread, NULL, mqc_thread_destroy);
    if (capsule == NULL) {
        PyMem_Free(thread);
    }
    return capsule;
}

/* Return a new reference to this thread's record, a capsule. It lives in the dictionary of the
 * thread state. Python drops that when the thread ends, and so the timer is deleted without a hook
 * of libc. The dictionary may hold a record of another thread: a copy in the child of a fork, or
 * that of a thread which has used the same state in a subinterpreter before. */
PyObject *
mqc_this_thread(const mqc_state *state)
{
    PyObject *dictionary = PyThreadState_GetDict();
    PyObject *record;

    if (dictionary == NULL) {
        return PyErr_NoMemory();
    }
    record = PyDict_GetItemWithError(dictionary, state->thread_key);
    if (record != NULL) {
        const mqc_thread *thread = PyCapsule_GetPointer(record, NULL);
        if (mqc_thread_is_this(thread)) {
            return Py_NewRef(record);
        }
    }
    else if (PyErr_Occurred()) {
        return NULL;
    }
    record = mqc_thread_create();
    if (record != NULL && PyDict_SetItem(dictionary, state->thread_key, record) < 0) {
        Py_CLEAR(record);
    }
    return record;
}
