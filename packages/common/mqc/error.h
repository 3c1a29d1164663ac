/* Errors: the one way to raise, and exceptions that are taken and raised again. */

#ifndef MQC_ERROR_H
#define MQC_ERROR_H

#include "mqc.h"

/* What was attempted. error.c has the word that the package's _explain.py knows it by. */
typedef enum {
    MQC_OP_ARGUMENT,
    MQC_OP_ATTRIBUTES,
    MQC_OP_CLOSE,
    MQC_OP_ENTER,
    MQC_OP_FROM_FD,
    MQC_OP_FROM_ID,
    MQC_OP_FTOK,
    MQC_OP_GET,
    MQC_OP_GET_INTO,
    MQC_OP_LIMITS,
    MQC_OP_NAME,
    MQC_OP_NOTIFY,
    MQC_OP_OPEN,
    MQC_OP_PEEK,
    MQC_OP_PICKLE,
    MQC_OP_PUT,
    MQC_OP_REMOVE,
    MQC_OP_SET,
    MQC_OP_STAT,
    MQC_OP_TRUST,
    MQC_OP_UNLINK,
    MQC_OPERATIONS,
} mqc_operation;

void mqc_raise(mqc_operation operation, int error, PyObject *queue, PyObject *detail);
void mqc_raise_with(mqc_operation operation, int error, PyObject *queue, PyObject *detail);
void mqc_raise_value(const char *parameter, PyObject *value, const char *range);
void mqc_raise_import(void);

PyObject *mqc_take_exception(void);
void mqc_raise_again(PyObject *exception);
void mqc_raise_object(PyObject *exception);
int mqc_set_attribute(PyObject *exception, const char *name, PyObject *value);

#endif /* MQC_ERROR_H */
