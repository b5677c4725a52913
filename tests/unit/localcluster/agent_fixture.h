/* Pods and knowledge of pods for the agent's unit tests, from short texts. */
#ifndef TESTS_UNIT_LOCALCLUSTER_AGENT_FIXTURE_H
#define TESTS_UNIT_LOCALCLUSTER_AGENT_FIXTURE_H

#include "localcluster/agent/pod_known.h"
#include "localcluster/agent/pod_spec.h"

/* A pod "ns/p" with uid "u-1" whose spec is the JSON text, with ' for ". `metadata` (may be NULL)
 * is merged in. Fails the test when it cannot be read. */
struct pod_spec *fixture_pod(const char *spec, const char *metadata);

/* A cJSON tree of such a text. */
cJSON *fixture_json(const char *text);

/* Sets the containers' states: one word each, of w (waiting), s (starting), r (running), tN (ended
 * with code N); a trailing + says that it ran before. */
void fixture_known(const struct pod_spec *spec, const char *states, struct pod_known *ret);

/* A fresh folder, removed with fixture_folder_remove(). */
char *fixture_folder(void);
void fixture_folder_remove(char *path);

#endif
