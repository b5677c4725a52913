/* The names of the choices in a spec, NULL-terminated, in the order of the enums. Internal. */
#ifndef TRAININGJOB_NAMES_H
#define TRAININGJOB_NAMES_H

extern const char *const trainingjob_framework_names[];
extern const char *const trainingjob_binding_names[];
extern const char *const trainingjob_format_names[];
extern const char *const trainingjob_clean_names[];
extern const char *const trainingjob_success_names[];
extern const char *const trainingjob_wireup_names[];
extern const char *const trainingjob_action_names[];
extern const char *const trainingjob_operator_names[];
extern const char *const trainingjob_depends_names[];

#define TRAININGJOB_SIGTERM 15

/* Signals that may end a rank, and those of them that ask a rank to stop. */
extern const char *const trainingjob_signal_names[];
extern const int trainingjob_signal_numbers[];
extern const char *const trainingjob_stop_signal_names[];
extern const int trainingjob_stop_signal_numbers[];

#endif
