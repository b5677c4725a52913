/* What the bytes of checkpoint files say of themselves: zip, safetensors, pickles and JSON. Pure,
 * bounded, and fuzzed: the files are written by programs of others, and may be cut anywhere. */
#ifndef LAUNCHER_TRACKERS_CONTENT_H
#define LAUNCHER_TRACKERS_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTENT_ZIP_TAIL                                                    \
    (65535 + 22 + 20 + 56) /* bytes from the end that hold every end record \
                            */

/* Is the end of a zip file there and does it agree with the file's size? `tail` are the last
 * `length` bytes (CONTENT_ZIP_TAIL, or all) of a file of `size` bytes. A torch.save file that was
 * cut anywhere fails. Format: APPNOTE.TXT 4.3.14 to 4.3.16. */
bool content_zip_is_whole(const unsigned char *tail, size_t length, uint64_t size);

#define CONTENT_PICKLE_MAX (8u << 20) /* bytes of a file in which numbers are looked for */

/* The number that a pickle has behind the text `key`: a key of a dictionary or the name of an
 * attribute. Looks at the bytes and runs nothing. False when there is none. Source:
 * Lib/pickletools.py (BINUNICODE, SHORT_BINUNICODE, BINPUT, LONG_BINPUT, MEMOIZE, BININT*). */
bool content_pickle_number(const unsigned char *data, size_t length, const char *key, int64_t *ret);

#define CONTENT_DCP_MAX (16u << 20) /* bytes of a `.metadata` that is walked through */

/* Walks through the pickle of torch.distributed.checkpoint's `.metadata`, and tells for each piece
 * of a tensor where it ends in its shard `__RANK_INDEX.distcp`, until `each` returns false. False
 * when the pickle is not whole or has something that pickles do not have, or `each` has returned
 * false. Runs nothing. */
bool content_dcp_walk(const unsigned char *data, size_t length,
                      bool (*each)(void *user, uint32_t rank, uint32_t index, uint64_t end),
                      void *user);

#define CONTENT_JSON_MAX                                                    \
    (64u << 20) /* bytes of a JSON text (an index of 100,000 weights: 10 M) \
                 */
#define CONTENT_JSON_DEPTH_MAX 64
#define CONTENT_JSON_KEYS 2 /* keys told with each value: those of the outer two levels */

enum content_json_kind { CONTENT_STRING, CONTENT_NUMBER, CONTENT_OTHER };

/* A value that is not an object or array, with its place. */
struct content_json_value {
    enum content_json_kind kind;
    const char *text; /* of a string: between its quotes, escapes as they are */
    size_t length;
    unsigned depth; /* 1: a member of the outermost object */
    struct {
        const char *text;
        size_t length;
    } keys[CONTENT_JSON_KEYS]; /* of the members on the way to it, from outside; {NULL, 0} in an
                                  array */
    size_t index;              /* its place, from 0, in the array that holds it */
};

/* Checks a whole JSON text (RFC 8259, but for the encoding within strings; Python's NaN and
 * Infinity are taken) and gives its values to `each` until it returns false. False when the text is
 * not whole, or `each` has returned false. */
bool content_json_walk(const char *text, size_t length,
                       bool (*each)(void *user, const struct content_json_value *value),
                       void *user);

bool content_json_is(const char *text, size_t length, const char *word);
/* An integer from 0 to INT64_MAX. */
bool content_json_integer(const struct content_json_value *value, int64_t *ret);

#define CONTENT_SAFETENSORS_HEADER_MAX (64u << 20) /* bytes; the format itself allows 100 MB */

/* The size that a safetensors file must have, by its header: `text` are the `length` bytes behind
 * the first eight, which say `length`. False when the header is not whole. Format:
 * github.com/huggingface/safetensors, README "Format". */
bool content_safetensors_size(const char *text, size_t length, uint64_t *ret_size);

#endif
