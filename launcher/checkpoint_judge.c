/* Which of the checkpoints that a look found are complete: see checkpoint_scan.h. PURE. */
#include "launcher/checkpoint_scan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- memory ---- */

static uint64_t hash_name(const char *name)
{
    /* FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/ */
    uint64_t value = UINT64_C(14695981039346656037);
    for (; *name; name++)
        value = (value ^ (unsigned char)*name) * UINT64_C(1099511628211);
    return value;
}

/* The place of a checkpoint in the memory; the oldest step makes room for a new one. */
static size_t recall(struct checkpoint_memory *m, const struct checkpoint_found *f, bool *ret_known)
{
    size_t oldest = 0, at;
    uint64_t name = hash_name(f->name);
    for (size_t i = 0; i < m->count; i++) {
        if (m->entry[i].step == f->step && m->entry[i].name == name) {
            *ret_known = true;
            return i;
        }
        if (m->entry[i].step < m->entry[oldest].step)
            oldest = i;
    }
    *ret_known = false;
    at = m->count < CHECKPOINT_SCAN_MEMORY ? m->count++ : oldest;
    memset(&m->entry[at], 0, sizeof m->entry[at]);
    m->entry[at].step = f->step;
    m->entry[at].name = name;
    return at;
}

/* ---- time ---- */

struct look {
    enum checkpoint_writers writers;
    int64_t now_ms;
    /* The file server's time at the look, or ours when it is not known. */
    bool server_time;
    int64_t wall_ms;
};

/* When a checkpoint that only time can judge was changed last, by the same clock as wall_ms. */
static int64_t changed_ms(const struct checkpoint_found *f, const struct look *look)
{
    return look->server_time ? f->changed_ms : f->wall_ms;
}

/* A checkpoint whose parts are all there, but prove nothing by themselves: has it come to rest? */
static bool has_settled(struct checkpoint_memory *m, size_t at, bool is_new,
                        const struct checkpoint_found *f, const struct look *look)
{
    int64_t age_ms = look->wall_ms - changed_ms(f, look);
    if (m->entry[at].since_ms < 0 && (!look->server_time || age_ms > 0))
        m->entry[at].since_ms = look->now_ms; /* older than this look's marker */
    if (is_new && !f->writing && age_ms >= CHECKPOINT_SCAN_OLD_MS)
        m->entry[at].settled = true; /* was there before we came */
    if (m->entry[at].since_ms >= 0 && !f->writing && !m->entry[at].writing &&
        look->now_ms - m->entry[at].since_ms >= CHECKPOINT_SCAN_SETTLE_MS)
        m->entry[at].settled = true;
    /* A writer that was killed has closed its file by dying, if it had not before: nobody can tell
     * any more. One that left with code 0 has said that it was done. */
    if (look->writers == CHECKPOINT_WRITERS_LEFT)
        m->entry[at].settled = true;
    if (look->writers == CHECKPOINT_WRITERS_KILLED && !m->entry[at].settled)
        m->entry[at].suspect = true;
    if (f->writing)
        m->entry[at].settled = false;
    m->entry[at].writing = f->writing;
    return m->entry[at].settled && !m->entry[at].suspect;
}

/* Has a checkpoint that was complete lost files, or bytes of the same files? Who saves a step anew
 * writes other files, or goes on writing. */
static bool has_shrunk(const struct checkpoint_memory *m, size_t at,
                       const struct checkpoint_found *f)
{
    return m->entry[at].parts &&
           (f->parts < m->entry[at].parts ||
            (f->identity == m->entry[at].identity && f->bytes < m->entry[at].bytes));
}

/* *ret_lost: it will not become complete by itself. */
static bool is_complete(struct checkpoint_memory *m, const struct checkpoint_found *f,
                        const struct look *look, bool *ret_lost)
{
    bool known;
    *ret_lost = true;
    if (f->verdict != TRACKER_SETTLING && f->verdict != TRACKER_COMPLETE)
        return false;
    size_t at = recall(m, f, &known);
    if (!known || m->entry[at].fingerprint != f->fingerprint) {
        m->entry[at].suspect = known && has_shrunk(m, at, f);
        m->entry[at].fingerprint = f->fingerprint;
        m->entry[at].since_ms = -1;
        m->entry[at].settled = false;
        m->entry[at].parts = 0;
    }
    bool complete = f->verdict == TRACKER_COMPLETE ? !m->entry[at].suspect
                                                   : has_settled(m, at, !known, f, look);
    *ret_lost = m->entry[at].suspect;
    if (complete) {
        m->entry[at].parts = f->parts;
        m->entry[at].identity = f->identity;
        m->entry[at].bytes = f->bytes;
    }
    return complete;
}

/* ---- the report ---- */

static bool write_path(const struct checkpoint_scan_spec *spec, const struct checkpoint_found *f,
                       char *ret)
{
    const char *path = f->path[0] ? f->path : f->name;
    bool is_folder = strcmp(path, ".") == 0, is_absolute = path[0] == '/';
    const char *slash = spec->path[strlen(spec->path) - 1] == '/' || is_folder ? "" : "/";
    int n = is_absolute
                ? snprintf(ret, PATH_MAX, "%s", path)
                : snprintf(ret, PATH_MAX, "%s%s%s", spec->path, slash, is_folder ? "" : path);
    return n >= 0 && n < PATH_MAX;
}

/* A step may lie there twice, as a folder and as a file, or in two runs of Lightning: the newer one
 * is told. */
static void add_complete(struct checkpoint_report *ret, const struct checkpoint_scan_spec *spec,
                         const struct checkpoint_found *f)
{
    uint32_t count = ret->report.checkpoints_count, at = count;
    if (count && ret->checkpoints[count - 1].step == f->step) {
        at = count - 1;
        if (ret->checkpoints[at].wall_ms >= f->wall_ms)
            return;
    }
    if (at == RENDEZVOUS_CHECKPOINTS_MAX || !write_path(spec, f, ret->paths[at]))
        return;
    ret->checkpoints[at] = (struct rendezvous_checkpoint){
        .step = f->step, .path = ret->paths[at], .wall_ms = f->wall_ms};
    ret->report.checkpoints_count = at + 1;
    if (at == 0)
        ret->format = f->format;
    while (ret->repair.torn_count && ret->repair.torn_steps[ret->repair.torn_count - 1] <= f->step)
        ret->repair.torn_count--; /* of the same step: not newer */
}

static void add_torn(struct checkpoint_report *ret, const struct checkpoint_found *f, bool lost)
{
    struct checkpoint_repair *repair = &ret->repair;
    if (ret->report.checkpoints_count)
        return;
    if (ret->report.torn_step == RENDEZVOUS_NO_STEP)
        ret->report.torn_step = f->step;
    if (!lost)
        return; /* it may be just being written, or copied */
    repair->torn_steps[repair->torn_count] = f->step;
    memcpy(repair->torn[repair->torn_count], f->name, (size_t)f->entry);
    repair->torn[repair->torn_count++][f->entry] = '\0';
}

/* What a tracker file that is wrong should say: the newest complete checkpoint of its format. */
static void mend_pointer(const struct checkpoint_answer *answer, const struct checkpoint_found *f,
                         struct checkpoint_repair *repair)
{
    repair->set_pointer = answer->pointer.trouble != CHECKPOINT_POINTER_FINE;
    repair->format = answer->pointer.format;
    if (!f || !repair->set_pointer)
        return;
    if (f->format == TRACKER_MEGATRON)
        (void)snprintf(repair->text, sizeof repair->text, "%" PRId64, f->step);
    else if (strlen(f->name) < sizeof repair->text)
        memcpy(repair->text, f->name, strlen(f->name) + 1);
}

void checkpoint_scan_judge(struct checkpoint_memory *memory,
                           const struct checkpoint_scan_spec *spec,
                           const struct checkpoint_answer *answer, size_t count,
                           enum checkpoint_writers writers, int64_t now_ms, int64_t wall_ms,
                           struct checkpoint_report *ret)
{
    const struct look look = {.writers = writers,
                              .now_ms = now_ms,
                              .server_time = answer->marker_ms != 0,
                              .wall_ms = answer->marker_ms ? answer->marker_ms : wall_ms};
    const struct checkpoint_found *newest_of_pointer = NULL;
    ret->report = (struct rendezvous_checkpoint_report){.checkpoints = ret->checkpoints,
                                                        .torn_step = RENDEZVOUS_NO_STEP};
    ret->repair = (struct checkpoint_repair){0};
    ret->format = -1;
    for (size_t i = 0; i < count && i < CHECKPOINT_SCAN_FOUND_MAX; i++) {
        const struct checkpoint_found *f = &answer->found[i];
        bool lost;
        if (!is_complete(memory, f, &look, &lost)) {
            add_torn(ret, f, lost);
            continue;
        }
        add_complete(ret, spec, f);
        if (!newest_of_pointer && f->format == answer->pointer.format)
            newest_of_pointer = f;
    }
    mend_pointer(answer, newest_of_pointer, &ret->repair);
    if (ret->report.checkpoints_count && ret->report.torn_step <= ret->checkpoints[0].step)
        ret->report.torn_step = RENDEZVOUS_NO_STEP;
}

bool checkpoint_repair_is_needed(const struct checkpoint_repair *repair)
{
    return repair->torn_count || repair->set_pointer;
}
