/* Errors: the one way to raise, and exceptions taken and raised again. */

#ifndef MQC_ERROR_H
#define MQC_ERROR_H

#include "mqc.h"

PyObject *mqc_take_exception(void);
void mqc_raise_again(PyObject *exception);
int mqc_set_attribute(PyObject *exception, const char *name, PyObject *value);
void mqc_raise_object(PyObject *exception);
void mqc_raise(const char *operation, int error, PyObject *queue, PyObject *detail);
void mqc_raise_value(const char *parameter, PyObject *value, const char *range);
void mqc_raise_import(void);

#endif /* MQC_ERROR_H */
