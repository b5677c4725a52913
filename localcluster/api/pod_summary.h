/* A pod in a few words, as kubectl get pods shows it. PURE, private to localcluster/api. */
#ifndef LOCALCLUSTER_API_POD_SUMMARY_H
#define LOCALCLUSTER_API_POD_SUMMARY_H

#include <cjson/cJSON.h>
#include <stdint.h>

struct api_pod_summary {
    char reason[128];      /* "Running", "Init:0/1", "CrashLoopBackOff", "Terminating" */
    char last_restart[40]; /* when a container last ended before it was started again; "" for never
                            */
    int ready, total;      /* containers */
    int64_t restarts;
};

/* The rules of printPod() in pkg/printers/internalversion/printers.go. */
void api_pod_summarise(const cJSON *pod, struct api_pod_summary *ret);

#endif
