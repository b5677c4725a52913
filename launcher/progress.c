/* Steps from ranks and lines: see progress.h. */
#include "launcher/progress.h"

#include <errno.h>
#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

struct sample {
    int64_t at_ms, step;
};

struct progress {
    pcre2_code *code; /* NULL: no pattern */
    bool told_by_rank;
    pcre2_match_data *match;
    pcre2_match_context *context;
    uint32_t step_group, total_group; /* total_group 0: none */
    int64_t spec_total, total;
    int64_t step, reported_step;
    int64_t reported_ms;
    bool ever_reported;
    struct sample samples[PROGRESS_SAMPLES]; /* a ring of what was known at each report */
    size_t samples_count;
    unsigned limit_hits, skipped;
    bool gave_up, told, told_slow;
    int64_t budget_us, filled_us; /* time for searches; when it was last added to, 0: never */
};

static uint32_t group_number(const pcre2_code *code, const char *name)
{
    int number = pcre2_substring_number_from_name(code, (PCRE2_SPTR)name);
    return number > 0 ? (uint32_t)number : 0;
}

static int compile(struct progress *p, const char *pattern, struct mlt_error *err)
{
    int code = 0;
    PCRE2_SIZE at = 0;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!context)
        return mlt_fail(err, ENOMEM, "no memory for the progress pattern");
    (void)pcre2_set_max_pattern_length(context, PROGRESS_PATTERN_MAX);
    (void)pcre2_set_parens_nest_limit(context, PROGRESS_NEST_MAX);
    /* Not UTF mode: output may hold any bytes, and an invalid one must not hide a step. */
    p->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, 0, &code, &at, context);
    pcre2_compile_context_free(context);
    if (!p->code) {
        PCRE2_UCHAR words[256];
        (void)pcre2_get_error_message(code, words, sizeof words);
        return mlt_fail(err, EINVAL, "progress pattern: %s at character %zu", (char *)words, at);
    }
    uint32_t groups = 0;
    (void)pcre2_pattern_info(p->code, PCRE2_INFO_CAPTURECOUNT, &groups);
    p->step_group = group_number(p->code, "step");
    p->total_group = group_number(p->code, "total");
    if (p->step_group == 0 && groups > 0)
        p->step_group = p->total_group == 1 ? (groups > 1 ? 2 : 0) : 1;
    p->match = pcre2_match_data_create_from_pattern(p->code, NULL);
    p->context = pcre2_match_context_create(NULL);
    if (!p->match || !p->context)
        return mlt_fail(err, ENOMEM, "no memory for the progress pattern");
    (void)pcre2_set_match_limit(p->context, PROGRESS_MATCH_LIMIT);
    (void)pcre2_set_depth_limit(p->context, PROGRESS_DEPTH_LIMIT);
    (void)pcre2_set_heap_limit(p->context, PROGRESS_HEAP_KIB);
    /* Where executable memory is forbidden, matching is interpreted: slower, the same result. */
    (void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE);
    return 0;
}

int progress_new(const char *pattern, int64_t total_steps, struct progress **ret,
                 struct mlt_error *err)
{
    struct progress *p = calloc(1, sizeof *p);
    if (!p)
        return mlt_fail(err, ENOMEM, "no memory for the progress pattern");
    p->spec_total = total_steps;
    p->budget_us = PROGRESS_BURST_US;
    int rc = pattern[0] ? compile(p, pattern, err) : 0;
    if (rc < 0) {
        progress_free(p);
        return rc;
    }
    progress_restart(p);
    *ret = p;
    return 0;
}

void progress_free(struct progress *p)
{
    if (!p)
        return;
    pcre2_match_data_free(p->match);
    pcre2_match_context_free(p->context);
    pcre2_code_free(p->code);
    free(p);
}

void progress_restart(struct progress *p)
{
    p->step = p->reported_step = RENDEZVOUS_NO_STEP;
    p->told_by_rank = false;
    p->total = p->spec_total;
    p->ever_reported = false;
    p->samples_count = 0;
}

/* A group's digits; -1 when it is unset, not a number or too large. */
static int64_t number_of(const struct progress *p, const char *text, uint32_t group)
{
    const PCRE2_SIZE *vector = pcre2_get_ovector_pointer(p->match);
    PCRE2_SIZE start = vector[2 * group], end = vector[2 * group + 1];
    int64_t value = 0;
    if (start == PCRE2_UNSET || start >= end)
        return -1;
    for (PCRE2_SIZE i = start; i < end; i++) {
        char c = text[i];
        if (c == ',' || c == '_')
            continue; /* 12,000 */
        if (c < '0' || c > '9' || value > PROGRESS_STEP_MAX)
            return -1;
        value = value * 10 + (c - '0');
    }
    return value <= PROGRESS_STEP_MAX ? value : -1;
}

bool progress_has_time(struct progress *p, int64_t now_us)
{
    if (p->filled_us)
        p->budget_us += (now_us - p->filled_us) / PROGRESS_SHARE;
    p->filled_us = now_us;
    if (p->budget_us > PROGRESS_BURST_US)
        p->budget_us = PROGRESS_BURST_US;
    p->skipped += p->budget_us <= 0 && p->skipped < PROGRESS_SKIPPED_MAX;
    return p->budget_us > 0;
}

void progress_took(struct progress *p, int64_t us)
{
    p->budget_us -= us;
}

void progress_line(struct progress *p, const char *text, size_t length)
{
    if (p->gave_up || p->told_by_rank || !p->code)
        return;
    if (length > PROGRESS_LINE_MAX)
        length = PROGRESS_LINE_MAX;
    int rc = pcre2_match(p->code, (PCRE2_SPTR)text, length, 0, 0, p->match, p->context);
    if (rc == PCRE2_ERROR_MATCHLIMIT || rc == PCRE2_ERROR_DEPTHLIMIT ||
        rc == PCRE2_ERROR_HEAPLIMIT || rc == PCRE2_ERROR_JIT_STACKLIMIT)
        p->gave_up = ++p->limit_hits >= PROGRESS_LIMIT_HITS_MAX;
    if (rc <= 0)
        return;
    int64_t step = number_of(p, text, p->step_group);
    int64_t total = p->total_group ? number_of(p, text, p->total_group) : -1;
    if (step > p->step)
        p->step = step; /* ranks do not print in step */
    if (total > 0 && p->spec_total == 0)
        p->total = total;
}

void progress_told(struct progress *p, int64_t step, int64_t total)
{
    if (step > PROGRESS_STEP_MAX)
        return;
    if (!p->told_by_rank) { /* what lines seemed to say may have been another number */
        progress_restart(p);
        p->told_by_rank = true;
    }
    if (step > p->step)
        p->step = step;
    if (total > 0 && p->spec_total == 0)
        p->total = total;
}

bool progress_gave_up(struct progress *p)
{
    if (!p->gave_up || p->told)
        return false;
    p->told = true;
    return true;
}

bool progress_is_slow(struct progress *p)
{
    if (p->skipped < PROGRESS_SKIPPED_MAX || p->told_slow)
        return false;
    p->told_slow = true;
    return true;
}

/* Steps in 1000 seconds, from the oldest sample that is at most a minute old. */
static uint64_t rate(struct progress *p, int64_t now_ms)
{
    struct sample *newest = &p->samples[p->samples_count % PROGRESS_SAMPLES];
    *newest = (struct sample){.at_ms = now_ms, .step = p->step};
    p->samples_count++;
    size_t held = p->samples_count < PROGRESS_SAMPLES ? p->samples_count : PROGRESS_SAMPLES;
    for (size_t back = held; back > 1; back--) {
        const struct sample *s = &p->samples[(p->samples_count - back) % PROGRESS_SAMPLES];
        int64_t passed = now_ms - s->at_ms;
        if (passed > PROGRESS_SAMPLES * PROGRESS_INTERVAL_MS && back > 2)
            continue;
        if (passed > 0 && p->step > s->step)
            return (uint64_t)((p->step - s->step) * 1000000 / passed);
        return 0;
    }
    return 0;
}

bool progress_report(struct progress *p, int64_t now_ms, bool at_once,
                     struct rendezvous_progress *ret)
{
    bool due = at_once || !p->ever_reported || now_ms - p->reported_ms >= PROGRESS_INTERVAL_MS;
    if (p->step <= p->reported_step || !due)
        return false;
    *ret = (struct rendezvous_progress){
        .step = p->step, .total_steps = p->total, .steps_per_kilosecond = rate(p, now_ms)};
    p->reported_step = p->step;
    p->reported_ms = now_ms;
    p->ever_reported = true;
    return true;
}
