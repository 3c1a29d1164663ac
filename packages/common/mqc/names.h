/* The names by which Python and its users know a package. */

#ifndef MQC_NAMES_H
#define MQC_NAMES_H

typedef struct {
    const char *package;         /* "posixmq" */
    const char *mark;            /* a message's priority or type: "priority" or "msg_type" */
    const char *signal_variable; /* of the environment */
    const char *spin_variable;
} mqc_name_table;

extern const mqc_name_table mqc_names;

#endif /* MQC_NAMES_H */
