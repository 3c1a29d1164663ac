/* Imports: what the C needs of Python modules, and when. */

#include "mqc.h"

#include <assert.h>

#include "import.h"
#include "names.h"

/* Return an attribute of a module. A name that begins with a dot is one of this package. */
PyObject *
mqc_import(const char *module_name, const char *attribute)
{
    char whole_name[64];
    PyObject *module, *value;

    if (module_name[0] == '.') {
        PyOS_snprintf(whole_name, sizeof(whole_name), "%s%s", mqc_names.package, module_name);
        module_name = whole_name;
    }
    module = PyImport_ImportModule(module_name);
    if (module == NULL) {
        return NULL;
    }
    value = PyObject_GetAttrString(module, attribute);
    Py_DECREF(module);
    return value;
}

/* Import all requests (at most MQC_MOST_IMPORTS), then store them, unless *done says that
 * somebody has. Imports release the GIL, so two threads may make the first Queue at once. */
int
mqc_import_once(atomic_int *done, const mqc_import_request *requests, size_t count)
{
    PyObject *found[MQC_MOST_IMPORTS] = {NULL};
    int result = 0;

    assert(count <= MQC_MOST_IMPORTS);
    if (atomic_load(done)) {
        return 0;
    }
    for (size_t i = 0; i < count && result == 0; i++) {
        found[i] = mqc_import(requests[i].module_name, requests[i].attribute);
        result = found[i] == NULL ? -1 : 0;
    }
    pthread_mutex_lock(&mqc_lock);
    if (result == 0 && !atomic_load(done)) {
        for (size_t i = 0; i < count; i++) {
            *requests[i].target = found[i];
            found[i] = NULL;
        }
        atomic_store(done, 1);
    }
    pthread_mutex_unlock(&mqc_lock);
    for (size_t i = 0; i < count; i++) {
        Py_XDECREF(found[i]);
    }
    return result;
}
