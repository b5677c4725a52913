/* Tokens that live in a file. The kubelet replaces a pod's token long before it expires, so the
 * file is looked at again now and then; while it cannot be read, the last token is used. */
#include "lib/kube/transport/internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"

#define TOKEN_CHECK_MS (60 * 1000) /* client-go looks as often */
#define TOKEN_MAX (64u * 1024)     /* bytes */

void token_refresh(struct kube_transport *t)
{
    const char *path = t->config.token_file;
    int64_t now_ms = (int64_t)uv_now(t->loop);
    if (!path || (t->token_checked_ms && now_ms - t->token_checked_ms < TOKEN_CHECK_MS))
        return;
    t->token_checked_ms = now_ms ? now_ms : 1;
    struct stat st;
    if (stat(path, &st) < 0 ||
        (st.st_mtim.tv_sec == t->token_time.tv_sec && st.st_mtim.tv_nsec == t->token_time.tv_nsec))
        return;
    cleanup_free char *text = NULL;
    if (read_whole_file(path, TOKEN_MAX, &text, NULL) < 0)
        return;
    text[strcspn(text, " \t\r\n")] = '\0';
    if (!text[0])
        return;
    t->token_time = st.st_mtim;
    free(t->config.token);
    t->config.token = steal_ptr(&text);
}
