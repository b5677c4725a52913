/* Open channels and the jobs that they belong to. Frames that come before the job is known (the
 * controller has just started) are held, within a limit, until its coordinator is there. */
#include <stdlib.h>
#include <string.h>
#include "controller/internal.h"
#include "lib/base/alloc.h"

static struct channel *channel_find(struct controller *c, uint64_t id)
{
    struct channel *channel;
    HASH_FIND(hh, c->channels, &id, sizeof id, channel);
    return channel;
}

static void channel_free(struct controller *c, struct channel *channel)
{
    HASH_DEL(c->channels, channel);
    mlt_text_release(&channel->held);
    free(channel->job_uid);
    free(channel);
}

static void send_message(struct controller *c, uint64_t id,
                         const struct rendezvous_message *message)
{
    struct mlt_text frame = MLT_TEXT_INIT(RENDEZVOUS_HEADER_SIZE + RENDEZVOUS_PAYLOAD_MAX);
    rendezvous_message_write(&frame, message);
    effects_channel_send(&c->effects, id, frame.data, frame.length);
    mlt_text_release(&frame);
}

static void refuse(struct controller *c, uint64_t id, const struct rendezvous_refused *refused)
{
    send_message(c, id,
                 &(struct rendezvous_message){.type = RENDEZVOUS_REFUSED, .refused = *refused});
    effects_channel_close(&c->effects, id);
    c->metrics.count[METRIC_REFUSALS]++;
}

/* A launcher of a job that no longer exists is told not to come back. The job was deleted while
 * nobody led, or the leader that let its ranks save is no more. */
static void refuse_final(struct controller *c, uint64_t id)
{
    refuse(c, id,
           &(struct rendezvous_refused){
               .reason = "the job does not exist any more", .final = true, .gone = true});
}

void channels_opened(struct controller *c, uint64_t id, const char *job_uid)
{
    if (leader_is_another(c)) {
        /* The launcher finds the leader when it comes again. */
        effects_channel_close(&c->effects, id);
        return;
    }
    if (view_synced(&c->view) && !job_find(c, job_uid)) {
        refuse_final(c, id);
        return;
    }
    struct channel *channel = mlt_calloc(1, sizeof *channel);
    channel->id = id;
    channel->job_uid = mlt_strdup(job_uid);
    mlt_text_init(&channel->held, CONTROLLER_HELD_FRAMES_MAX);
    HASH_ADD(hh, c->channels, id, sizeof channel->id, channel);
}

static void send_exit(struct controller *c, uint64_t id, int32_t code, const char *reason)
{
    send_message(c, id,
                 &(struct rendezvous_message){.type = RENDEZVOUS_EXIT,
                                              .exit = {.code = code, .reason = reason}});
}

void channels_send_exit(struct controller *c, uint64_t id, const char *reason)
{
    send_exit(c, id, 128 + 15, reason);
}

static void deliver(struct job *job, uint64_t id, const struct rendezvous_frame *frame)
{
    coordinator_frame(job_coordinator(job), id, frame, job->controller->now_ms);
    /* In a large gang many a second come, and nearly none says anything. */
    if (frame->type == RENDEZVOUS_PONG && !coordinator_has_output(job->coordinator))
        return;
    /* Whoever comes late to a job that has been let go is told so too. */
    if (job->let_go && frame->type == RENDEZVOUS_HELLO)
        coordinator_exit(job->coordinator, job_exit_code(job), "the job has ended");
    job_touch_for_member(job);
}

void channels_frame(struct controller *c, uint64_t id, const struct rendezvous_frame *frame)
{
    struct channel *channel = channel_find(c, id);
    if (!channel)
        return;
    if (channel->orphan) {
        if (frame->type == RENDEZVOUS_STOPPED)
            channels_send_exit(c, id, "the job was deleted");
        return;
    }
    struct job *job = job_find(c, channel->job_uid);
    if (job && job->members) {
        deliver(job, id, frame);
        return;
    }
    rendezvous_frame_write(&channel->held, (enum rendezvous_type)frame->type, frame->attempt,
                           frame->payload, frame->length);
    if (channel->held.failed) {
        channel_free(c, channel);
        effects_channel_close(&c->effects, id);
    } else if (job) {
        job->holds_frames = true;
        job_touch(job);
    }
}

static void replay(struct job *job, struct channel *channel)
{
    struct rendezvous_reader reader;
    struct rendezvous_frame frame;
    rendezvous_reader_init(&reader, RENDEZVOUS_UP);
    if (channel->held.length &&
        rendezvous_reader_feed(&reader, channel->held.data, channel->held.length, NULL) == 0)
        while (rendezvous_reader_next(&reader, &frame, NULL) == 1)
            deliver(job, channel->id, &frame);
    rendezvous_reader_release(&reader);
    mlt_text_release(&channel->held);
}

void channels_replay(struct job *job)
{
    struct channel *channel, *next;
    HASH_ITER(hh, job->controller->channels, channel, next)
    if (channel->held.length && strcmp(channel->job_uid, job->uid) == 0)
        replay(job, channel);
    job->holds_frames = false;
}

/* ---- launchers that nobody remembers ---- */

/* Whether the job has no gang, and those of its launchers that may come are of a former one: they
 * were on a node that was away when the gang ended or was undone. */
static bool is_without_gang(const struct job *job)
{
    if (job->members || job->gate_seq != job->gate_saved)
        return false;
    if (job_has_ended(job))
        return job->let_go;
    if (job->draft.phase != TRAININGJOB_PHASE_QUEUED || job->placed || job->creations)
        return false;
    for (const struct view_pod *p = job_pods(job); p; p = p->next_of_job)
        if (!view_pod_terminal(p) && !node_loss_is_stranded(job->controller, p))
            return false; /* it is deleted, and then says HELLO no more */
    return true;
}

/* The first frame that a channel holds, when it is a HELLO; false: it is none. */
static bool read_hello(const struct channel *channel, struct rendezvous_message *ret)
{
    struct rendezvous_reader reader;
    struct rendezvous_frame frame;
    rendezvous_reader_init(&reader, RENDEZVOUS_UP);
    bool is_hello =
        rendezvous_reader_feed(&reader, channel->held.data, channel->held.length, NULL) == 0 &&
        rendezvous_reader_next(&reader, &frame, NULL) == 1 && frame.type == RENDEZVOUS_HELLO &&
        rendezvous_message_read(&frame, ret, NULL) == 0;
    rendezvous_reader_release(&reader);
    return is_hello;
}

/* While the job waits, for good only who has run one of its attempts: who has run none has nothing
 * to end, and who has run a later one knows a leader that we have not heard of. */
static void answer_hello(struct job *job, uint64_t id, const struct rendezvous_hello *hello)
{
    struct controller *c = job->controller;
    if (hello->lease_transitions > leader_transitions(&c->leader)) {
        refuse(c, id, &(struct rendezvous_refused){.reason = "this controller no longer leads"});
    } else if (job_has_ended(job)) {
        send_exit(c, id, job_exit_code(job), trainingjob_phase_name(job->draft.phase));
        effects_channel_close(&c->effects, id);
    } else {
        refuse(c, id,
               &(struct rendezvous_refused){
                   .reason = "the job waits in its queue, and this pod is not of its next gang",
                   .final = hello->start_attempt > 0 &&
                            hello->start_attempt <= (uint64_t)job->draft.attempt});
    }
}

static void answer_late(struct job *job, struct channel *channel)
{
    struct rendezvous_message hello = {0};
    if (read_hello(channel, &hello)) {
        answer_hello(job, channel->id, &hello.hello);
        rendezvous_message_release(&hello);
    } else {
        refuse(job->controller, channel->id,
               &(struct rendezvous_refused){.reason = "a HELLO was expected"});
    }
    channel_free(job->controller, channel);
}

void channels_answer_late(struct job *job)
{
    struct channel *channel, *next;
    if (!job->holds_frames || !is_without_gang(job))
        return;
    job->holds_frames = false;
    HASH_ITER(hh, job->controller->channels, channel, next)
    if (channel->held.length && strcmp(channel->job_uid, job->uid) == 0)
        answer_late(job, channel);
}

void channels_closed(struct controller *c, uint64_t id)
{
    struct channel *channel = channel_find(c, id);
    if (!channel)
        return;
    struct job *job = job_find(c, channel->job_uid);
    channel_free(c, channel);
    if (job && job->coordinator) {
        coordinator_closed(job->coordinator, id, c->now_ms);
        job_touch_for_member(job);
    }
}

void channels_leave_to_leader(struct controller *c)
{
    if (c->channels && !c->leader.has_led && leader_is_another(c))
        channels_close_all(c);
}

void channels_forget(struct controller *c, uint64_t id)
{
    struct channel *channel = channel_find(c, id);
    if (channel)
        channel_free(c, channel);
}

void channels_close_all(struct controller *c)
{
    struct channel *channel, *next;
    HASH_ITER(hh, c->channels, channel, next)
    {
        effects_channel_close(&c->effects, channel->id);
        channel_free(c, channel);
    }
}

void channels_orphan(struct controller *c, const char *job_uid)
{
    for (struct channel *channel = c->channels; channel; channel = channel->hh.next)
        if (strcmp(channel->job_uid, job_uid) == 0)
            channel->orphan = true;
}

void channels_close_unknown(struct controller *c)
{
    struct channel *channel, *next;
    if (c->channels_swept)
        return;
    c->channels_swept = true;
    HASH_ITER(hh, c->channels, channel, next)
    {
        struct job *job = job_find(c, channel->job_uid);
        if (!job) {
            refuse_final(c, channel->id);
            channel_free(c, channel);
        } else if (channel->held.length) { /* its frames came before the job */
            job->holds_frames = true;
            job_touch(job);
        }
    }
}

void channels_release(struct controller *c)
{
    while (c->channels)
        channel_free(c, c->channels);
}
