/* Which fields of a pod this agent does not act on. Pure. */
#ifndef LOCALCLUSTER_AGENT_POD_IGNORED_H
#define LOCALCLUSTER_AGENT_POD_IGNORED_H

#include <cjson/cJSON.h>
#include <stddef.h>

/* Writes the paths of such fields of a pod's spec, joined by ", ", cut at `size`. A field is named
 * only when its value asks for something; "" when there is none. */
void pod_ignored_fields(const cJSON *pod, char *text, size_t size);

#endif
