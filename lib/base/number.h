/* Numbers and Kubernetes quantities from text, with a maximum and a message. */
#ifndef MLT_BASE_NUMBER_H
#define MLT_BASE_NUMBER_H

#include <stdint.h>
#include "lib/base/error.h"

/* A whole decimal number from min to max; nothing may follow it. -EINVAL. */
int mlt_parse_integer(const char *text, int64_t min, int64_t max, int64_t *ret_value, struct mlt_error *err)
    MLT_MUST_USE;

/* A Kubernetes quantity ("8Gi", "500m", "1e3", "2") in thousandths of the base unit (milli-CPU, milli-byte),
 * rounded up as Kubernetes rounds. -EINVAL for other text and negative values, -ERANGE above
 * MLT_QUANTITY_MAX. Grammar: k8s.io/apimachinery/pkg/api/resource/quantity.go. */
int mlt_quantity_parse_milli(const char *text, int64_t *ret_milli, struct mlt_error *err) MLT_MUST_USE;

/* The same in whole base units (bytes, GPUs, pods), rounded up. */
int mlt_quantity_parse(const char *text, int64_t *ret_value, struct mlt_error *err) MLT_MUST_USE;

#define MLT_QUANTITY_MAX (INT64_MAX / 1000) /* base units */
#define MLT_QUANTITY_TEXT_MAX 32

/* Writes a quantity of thousandths canonically ("1500m", "2"). `text` holds MLT_QUANTITY_TEXT_MAX bytes. */
void mlt_quantity_format_milli(int64_t milli, char *text);

/* Writes bytes with the largest binary suffix that is exact ("8Gi", "1500"). */
void mlt_quantity_format_bytes(int64_t bytes, char *text);

/* Bytes for people: "1.5 GiB". */
void mlt_bytes_for_people(int64_t bytes, char *text);

#endif
