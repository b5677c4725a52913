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

/* A launcher of a job that no longer exists is told not to come back. The job was deleted while
 * nobody led, or the leader that let its ranks save is no more. */
static void refuse_final(struct controller *c, uint64_t id)
{
    struct rendezvous_message message = {
        .type = RENDEZVOUS_REFUSED,
        .refused = {.reason = "the job does not exist any more", .final = true, .gone = true},
    };
    struct mlt_text frame = MLT_TEXT_INIT(RENDEZVOUS_HEADER_SIZE + RENDEZVOUS_PAYLOAD_MAX);
    rendezvous_message_write(&frame, &message);
    effects_channel_send(&c->effects, id, frame.data, frame.length);
    effects_channel_close(&c->effects, id);
    mlt_text_release(&frame);
    c->metrics.count[METRIC_REFUSALS]++;
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

void channels_send_exit(struct controller *c, uint64_t id, const char *reason)
{
    struct rendezvous_message message = {
        .type = RENDEZVOUS_EXIT,
        .exit = {.code = 128 + 15, .reason = reason},
    };
    struct mlt_text frame = MLT_TEXT_INIT(RENDEZVOUS_HEADER_SIZE + RENDEZVOUS_PAYLOAD_MAX);
    rendezvous_message_write(&frame, &message);
    effects_channel_send(&c->effects, id, frame.data, frame.length);
    mlt_text_release(&frame);
}

static void deliver(struct job *job, uint64_t id, const struct rendezvous_frame *frame)
{
    coordinator_frame(job->coordinator, id, frame, job->controller->now_ms);
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
    if (job && job->coordinator) {
        deliver(job, id, frame);
        return;
    }
    rendezvous_frame_write(&channel->held, (enum rendezvous_type)frame->type, frame->attempt,
                           frame->payload, frame->length);
    if (channel->held.failed) {
        channel_free(c, channel);
        effects_channel_close(&c->effects, id);
    } else if (job) {
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
    if (!job_find(c, channel->job_uid)) {
        refuse_final(c, channel->id);
        channel_free(c, channel);
    }
}

void channels_release(struct controller *c)
{
    while (c->channels)
        channel_free(c, c->channels);
}
