/* A checkpoint folder for tests, and files as training programs write them. */
#ifndef TESTS_LAUNCHER_FOLDER_H
#define TESTS_LAUNCHER_FOLDER_H

#include <stddef.h>
#include <stdint.h>
#include "launcher/checkpoint_scan.h"

struct folder {
    char dir[64];
    uint32_t ranks; /* of the job, as the look is told */
};

void folder_init(struct folder *f);
void folder_release(struct folder *f);

void folder_put(struct folder *f, const char *name, const void *data, size_t length);
void folder_put_text(struct folder *f, const char *name, const char *text);

/* What torch.save writes: a zip whose first entry is the pickle of a dictionary with the numbers
 * that `keys` names ("dp_world_size 2, mp_world_size 1"), and a second one with a tensor. */
void folder_put_torch(struct folder *f, const char *name, const char *keys);
/* A safetensors file with one tensor. */
void folder_put_safetensors(struct folder *f, const char *name);
/* A folder of torch.distributed.checkpoint with two shards. */
void folder_put_dcp(struct folder *f, const char *name);

void folder_cut(struct folder *f, const char *name, size_t bytes); /* off its end */
void folder_remove(struct folder *f, const char *name);
/* Sets the time of last change (mtime) of a file to `ms` of the wall clock. */
void folder_age(struct folder *f, const char *name, int64_t ms);

/* All of a file, as a string; "" when it is not there. Valid until the next call. */
const char *folder_text(struct folder *f, const char *name);
bool folder_has(struct folder *f, const char *name);

/* The bytes of a zip with the entries archive/data.pkl and archive/data/0; returns their number, at
 * most FOLDER_ZIP_MAX. */
#define FOLDER_ZIP_MAX 4096
size_t folder_make_zip(unsigned char *zip, const void *pickle, size_t length);

/* What a look says, as "20 step-20 dcp complete, 10 ...". Valid until the next call. */
const char *folder_look(struct folder *f, const char *format, const char *pattern);
/* The answer of the last one. */
const struct checkpoint_answer *folder_answer(void);
size_t folder_answer_count(void);

#endif
