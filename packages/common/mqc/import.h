/* Imports: what the C needs of Python modules, and when. */

#ifndef MQC_IMPORT_H
#define MQC_IMPORT_H

#include "mqc.h"

/* What to import, and where to store the reference. */
typedef struct {
    PyObject **target;
    const char *module_name, *attribute;
} mqc_import_request;

#define MQC_MOST_IMPORTS 3

PyObject *mqc_import(const char *module_name, const char *attribute);
int mqc_import_once(atomic_int *done, const mqc_import_request *requests, size_t count);

#endif /* MQC_IMPORT_H */
