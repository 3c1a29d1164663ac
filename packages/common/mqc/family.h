/* What tells the two families of queues apart: each package defines one such table. */

#ifndef MQC_FAMILY_H
#define MQC_FAMILY_H

#include "mqc.h"

typedef struct {
    const char *package;         /* its name in Python: "posixmq" */
    const char *signal_variable; /* of the environment */
    const char *spin_variable;
    reprfunc repr; /* Queue's own, not a subclass's, which may fail or come back here */
} mqc_family_table;

extern const mqc_family_table mqc_family;

#endif /* MQC_FAMILY_H */
