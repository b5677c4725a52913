/* The tables of a TrainingJob's and a TrainingQueue's spec. Not for other folders (tests read them
 * to check the CRD). */
#ifndef TRAININGJOB_SPEC_FIELDS_H
#define TRAININGJOB_SPEC_FIELDS_H

#include "trainingjob/fields.h"

extern const struct field_table trainingjob_spec_fields; /* of struct trainingjob_spec */
extern const struct field_table trainingqueue_fields;    /* of struct trainingqueue */

#endif
