/* The state of a module, and what the first Queue imports into it. */

#include "mqc.h"

#include "error.h"
#include "names.h"
#include "import.h"
#include "state.h"

int
mqc_state_init(mqc_state *state)
{
    const char *const words[MQC_WORDS] = {
        [MQC_ITEM] = "item",         [MQC_BLOCK] = "block",
        [MQC_TIMEOUT] = "timeout",   [MQC_PROTOCOL] = "pickle_protocol",
        [MQC_NAME] = "name",         [MQC_ITEMS] = "items",
        [MQC_BUFFER] = "buffer",     [MQC_MAX_ITEMS] = "max_items",
        [MQC_MARK] = mqc_names.mark, [MQC_EXCLUDE] = "exclude",
        [MQC_INDEX] = "index",
    };

    for (int i = 0; i < MQC_WORDS; i++) {
        state->words[i] = PyUnicode_InternFromString(words[i]);
        if (state->words[i] == NULL) {
            return -1;
        }
    }
    state->decode_error = mqc_import("._errors", "decode_error");
    if (state->decode_error == NULL) {
        return -1;
    }
    state->PickleSerializer = mqc_import(".serializers", "PickleSerializer");
    if (state->PickleSerializer == NULL) {
        return -1;
    }
    state->protocol = PyLong_FromLong(1);
    if (state->protocol == NULL) {
        return -1;
    }
    state->thread_key = PyUnicode_FromFormat("%s thread", mqc_names.package);
    if (state->thread_key == NULL) {
        return -1;
    }
    mqc_watch_forks();
    return 0;
}

int
mqc_state_traverse(mqc_state *state, visitproc visit, void *arg)
{
    Py_VISIT(state->decode_error);
    Py_VISIT(state->PickleSerializer);
    Py_VISIT(state->Empty);
    Py_VISIT(state->Full);
    Py_VISIT(state->Message);
    Py_VISIT(state->dumps);
    Py_VISIT(state->loads);
    return 0;
}

void
mqc_state_clear(mqc_state *state)
{
    Py_CLEAR(state->decode_error);
    Py_CLEAR(state->PickleSerializer);
    Py_CLEAR(state->protocol);
    Py_CLEAR(state->thread_key);
    atomic_store(&state->has_queue, 0);
    Py_CLEAR(state->Empty);
    Py_CLEAR(state->Full);
    Py_CLEAR(state->Message);
    atomic_store(&state->has_pickle, 0);
    Py_CLEAR(state->dumps);
    Py_CLEAR(state->loads);
    for (int i = 0; i < MQC_WORDS; i++) {
        Py_CLEAR(state->words[i]);
    }
}

/* Return a borrowed reference to the module that defines the class or one of its bases. */
PyObject *
mqc_module_of_type(PyTypeObject *type, struct PyModuleDef *definition)
{
    for (; type != NULL; type = PyType_GetSlot(type, Py_tp_base)) {
        PyObject *module = NULL;
        if (PyType_GetFlags(type) & Py_TPFLAGS_HEAPTYPE) {
            module = PyType_GetModule(type);
        }
        if (module != NULL && PyModule_GetDef(module) == definition) {
            PyErr_Clear();
            return module;
        }
    }
    return NULL;
}

/* Import what calls of any Queue need. The first Queue does it, as these modules take longer to
 * import than the package. The first call would be too late: put() and get() must work when no
 * file can be read any more. */
int
mqc_state_need_queue(mqc_state *state)
{
    const mqc_import_request requests[] = {
        {&state->Empty, "queue", "Empty"},
        {&state->Full, "queue", "Full"},
        {&state->Message, "._message", "Message"},
    };

    if (mqc_import_once(&state->has_queue, requests, sizeof(requests) / sizeof(requests[0])) < 0) {
        mqc_raise_import();
        return -1;
    }
    return 0;
}

/* Import what a serializer that uses pickle needs. */
int
mqc_state_need_pickle(mqc_state *state)
{
    const mqc_import_request requests[] = {
        {&state->dumps, "pickle", "dumps"},
        {&state->loads, "pickle", "loads"},
    };
    PyObject *load, *loaded;
    int result = -1;

    if (atomic_load(&state->has_pickle)) {
        return 0;
    }
    load = mqc_import(".serializers", "load_pickle");
    loaded = load == NULL ? NULL : PyObject_CallNoArgs(load);
    Py_XDECREF(load);
    if (loaded != NULL) {
        Py_DECREF(loaded);
        result =
            mqc_import_once(&state->has_pickle, requests, sizeof(requests) / sizeof(requests[0]));
    }
    if (result < 0) {
        mqc_raise_import();
    }
    return result;
}

PyModuleDef_Slot *
mqc_module_slots(PyModuleDef_Slot *slots)
{
    if (Py_Version >= 0x030D0000) {
        return slots;
    }
    return Py_Version >= 0x030C0000 ? slots + 1 : slots + 2;
}
