/* The launcher's side of the channel: one standing connection to the controller. A connection that
 * was told to close drains by itself while the next one is made. */
#include "rendezvous/channel/channel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "rendezvous/channel/address.h"
#include "rendezvous/channel/key.h"
#include "rendezvous/channel/link.h"

struct channel_client {
    uv_loop_t *loop;
    struct sockaddr_storage address;
    SSL_CTX *context;
    char job_uid[CHANNEL_IDENTITY_MAX + 1];
    unsigned char key[CHANNEL_KEY_SIZE];
    const struct channel_client_ops *ops;
    void *arg;
    struct link *link; /* the current one, NULL when not connected */
    uint32_t links;    /* memory not yet freed, draining ones too */
    uv_timer_t report; /* tells from the loop that no link could be made */
    bool closing, report_gone;
    void (*closed)(void *arg);
    void *closed_arg;
    char read_buffer[LINK_READ_SIZE];
};

static int use_session(SSL *ssl, const EVP_MD *digest, const unsigned char **ret_identity,
                       size_t *ret_length, SSL_SESSION **ret)
{
    (void)digest; /* our only cipher suite's, or none yet */
    struct link *l = SSL_get_app_data(ssl);
    struct channel_client *c = l->owner;
    *ret = channel_key_session(ssl, c->key);
    *ret_identity = (const unsigned char *)c->job_uid;
    *ret_length = strlen(c->job_uid);
    return *ret != NULL;
}

static void release_when_empty(struct channel_client *c)
{
    if (!c->closing || !c->report_gone || c->links > 0)
        return;
    void (*closed)(void *arg) = c->closed;
    void *arg = c->closed_arg;
    SSL_CTX_free(c->context);
    OPENSSL_cleanse(c->key, sizeof c->key);
    free(c);
    if (closed)
        closed(arg);
}

static void on_opened(struct link *l)
{
    struct channel_client *c = l->owner;
    c->ops->opened(c->arg);
}

static void on_frame(struct link *l, const struct rendezvous_frame *frame)
{
    struct channel_client *c = l->owner;
    c->ops->frame(c->arg, frame);
}

static void on_ended(struct link *l, const char *reason)
{
    struct channel_client *c = l->owner;
    if (c->link != l)
        return;
    c->link = NULL;
    if (!c->closing)
        c->ops->closed(c->arg, reason);
}

static void on_gone(struct link *l)
{
    struct channel_client *c = l->owner;
    free(l);
    c->links--;
    release_when_empty(c);
}

static const struct link_ops link_ops = {
    .opened = on_opened, .frame = on_frame, .ended = on_ended, .gone = on_gone};

static void report_gone(uv_handle_t *handle)
{
    struct channel_client *c = handle->data;
    c->report_gone = true;
    release_when_empty(c);
}

static void report_no_memory(uv_timer_t *timer)
{
    struct channel_client *c = timer->data;
    c->ops->closed(c->arg, "out of memory");
}

int channel_client_new(uv_loop_t *loop, const char *address, uint16_t port, const char *job_uid,
                       const unsigned char key[CHANNEL_KEY_SIZE],
                       const struct channel_client_ops *ops, void *arg, struct channel_client **ret,
                       struct mlt_error *err)
{
    size_t length = strlen(job_uid);
    if (length == 0 || length > CHANNEL_IDENTITY_MAX)
        return mlt_fail(err, EINVAL, "a job UID of %zu characters, 1 to %d are allowed", length,
                        CHANNEL_IDENTITY_MAX);
    struct sockaddr_storage parsed;
    int rc = channel_address_parse(address, port, &parsed, err);
    if (rc < 0)
        return rc;
    struct channel_client *c = calloc(1, sizeof *c);
    if (!c)
        return mlt_fail(err, ENOMEM, "out of memory");
    c->loop = loop;
    c->address = parsed;
    c->ops = ops;
    c->arg = arg;
    memcpy(c->job_uid, job_uid, length + 1);
    memcpy(c->key, key, sizeof c->key);
    (void)uv_timer_init(loop, &c->report);
    c->report.data = c;
    *ret = c;
    return 0;
}

/* OpenSSL takes 1 ms to start: it does so while the first connection is made. */
static int make_tls(struct channel_client *c, struct link *l)
{
    if (!c->context)
        c->context = channel_key_context(TLS_client_method());
    if (!c->context) {
        link_abort(l);
        return -ENOMEM;
    }
    SSL_CTX_set_psk_use_session_callback(c->context, use_session);
    /* No certificate is trusted: should a server ever show one instead of using the key, the
     * handshake fails. */
    SSL_CTX_set_verify(c->context, SSL_VERIFY_PEER, NULL);
    return link_make_tls(l, c->context);
}

void channel_client_connect(struct channel_client *c)
{
    if (c->link || c->closing)
        return;
    struct link *l = calloc(1, sizeof *l);
    if (!l) {
        (void)uv_timer_start(&c->report, report_no_memory, 0, 0);
        return;
    }
    c->links++;
    c->link = l;
    link_init(l, c->loop, RENDEZVOUS_DOWN, &link_ops, c, c->read_buffer);
    link_connect(l, (struct sockaddr *)&c->address);
    if (l->state == LINK_CLOSING || make_tls(c, l) == 0)
        return;
    c->link = NULL;
    (void)uv_timer_start(&c->report, report_no_memory, 0, 0);
}

void channel_client_send(struct channel_client *c, const void *data, size_t length)
{
    if (c->link)
        link_send(c->link, data, length);
}

void channel_client_disconnect(struct channel_client *c)
{
    (void)uv_timer_stop(&c->report);
    if (!c->link)
        return;
    struct link *l = c->link;
    c->link = NULL;
    link_close(l);
}

void channel_client_free(struct channel_client *c, void (*closed)(void *arg), void *arg)
{
    if (!c || c->closing)
        return;
    channel_client_disconnect(c);
    c->closing = true;
    c->closed = closed;
    c->closed_arg = arg;
    uv_close((uv_handle_t *)&c->report, report_gone);
}
