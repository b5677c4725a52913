/* From bytes to traces and nodes. All but sim_file_read() are pure; each says line, field, value
 * and what was expected, and the caller says the file. On failure what was added before stays in
 * the trace, which is then only good for sim_trace_release(). */
#ifndef CLI_SIMULATE_READERS_H
#define CLI_SIMULATE_READERS_H

#include <stddef.h>
#include <stdint.h>
#include "cli/simulate/nodes.h"
#include "cli/simulate/trace.h"
#include "lib/base/error.h"

#define SIM_FILE_MAX ((size_t)1 << 30) /* bytes of a file, unpacked */

/* Whose jobs share a queue: fields of the Standard Workload Format. */
#define SIM_QUEUE_BY_MAP(XX)   \
    XX(USER, "user")           \
    XX(GROUP, "group")         \
    XX(QUEUE, "queue")         \
    XX(PARTITION, "partition") \
    XX(NONE, "none")
enum sim_queue_by {
#define XX(name, text) SIM_QUEUE_BY_##name,
    SIM_QUEUE_BY_MAP(XX)
#undef XX
};

struct sim_read_options {
    int64_t pod_max; /* devices that stand in one pod at most; above 0 */
    enum sim_queue_by queue_by;
};

typedef int sim_reader_f(const char *data, size_t length, const struct sim_read_options *options,
                         struct sim_trace *trace, struct mlt_error *err);

/* The Philly extract: heading timestamp,duration,num_gpus,gpu_time,cluster; a virtual cluster is a
 * queue. No estimates. */
sim_reader_f sim_read_philly;
/* The Standard Workload Format, version 2.2: 18 numbers a line, comments after ';'. */
sim_reader_f sim_read_swf;
/* Alibaba's openb pods (cluster-trace-gpu-v2023): whole-GPU pods, a QoS class is a queue; the rest
 * is left out and counted. */
sim_reader_f sim_read_openb;
/* TrainingJobs in YAML or JSON. */
sim_reader_f sim_read_manifests;

/* The reader for this content, by its first bytes; NULL when none knows it. */
sim_reader_f *sim_reader_for(const char *data, size_t length);

/* Nodes: Alibaba's list (sn,cpu_milli,memory_mib,gpu,model), or a Kubernetes Node or list of them
 * in YAML or JSON, by the first bytes. The models' numbers are those of `models`. */
int sim_nodes_read(const char *data, size_t length, struct sim_names *models,
                   struct sim_nodes *ret_nodes, struct mlt_error *err) MLT_MUST_USE;

/* A whole file ("-": standard input), unpacked when it is gzip's. -E2BIG beyond SIM_FILE_MAX. The
 * caller frees *ret_data. */
int sim_file_read(const char *path, char **ret_data, size_t *ret_length,
                  struct mlt_error *err) MLT_MUST_USE;

#endif
