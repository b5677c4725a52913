/* What libmltrain's own parts exchange with the other ranks, by the launcher: the calls behind
 * mltrain_barrier() and the like, with any name that the launcher takes. */
#ifndef SDK_EXCHANGE_H
#define SDK_EXCHANGE_H

#include <stddef.h>
#include <stdint.h>

/* Rank and size of the world. Without mltrain 0 of 1; false, with words, when the environment says
 * something else that cannot be served. */
struct sdk_world {
    int64_t rank, size;
    int served; /* whether there is a launcher to talk to */
};
int sdk_world_find(struct sdk_world *ret);

/* The bytes behind a `data` line (sdk/socket_message.h). malloc'ed. */
struct sdk_body {
    uint64_t sequence;
    size_t length;
    unsigned char *bytes;
};

/* Each waits until sdk_now_ms() is `until_ms`. Results as in sdk/mltrain.h, with words. */
int sdk_exchange_gather(const char *name, const void *data, size_t size, int64_t until_ms,
                        struct sdk_body *ret);
int sdk_exchange_put(const char *name, const void *data, size_t size, int64_t until_ms);
int sdk_exchange_get(const char *name, int64_t until_ms, struct sdk_body *ret);

/* Sets the words of mltrain_error(); gives -error. */
int sdk_fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Forgets them; gives 0. */
int sdk_succeed(void);

/* 0 for a name that a program may use, else -EINVAL with words. */
int sdk_check_name(const char *name);

/* The time limit of a call as a moment, or -EINVAL with words. */
int64_t sdk_until_ms(int64_t time_ms);

#endif
