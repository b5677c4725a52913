/* Kubernetes' rules for names. Source: k8s.io/apimachinery/pkg/util/validation/validation.go. */
#ifndef MLT_BASE_NAME_H
#define MLT_BASE_NAME_H

#include <stdbool.h>
#include <stddef.h>

/* a-z 0-9 and -, starting and ending with a letter or digit, 1 to max (at most 63) characters. */
bool mlt_is_dns_label(const char *text, size_t max);

/* Labels joined by dots, at most 253 characters. */
bool mlt_is_dns_subdomain(const char *text);

#endif
