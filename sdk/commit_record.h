/* Writes the record that says that a checkpoint is complete; its form stands in mltrain.h. */
#ifndef SDK_COMMIT_RECORD_H
#define SDK_COMMIT_RECORD_H

#include <stddef.h>
#include <stdint.h>

/* Lists `path` (a file, or a folder with all below it; links to files count as what they point to,
 * links to folders are left out) and writes the record of `step` into `folder`. Puts the path
 * relative to the folder into `relative`. Results as mltrain_checkpoint_committed()'s. */
int commit_record_write(const char *folder, int64_t step, const char *path, char *relative,
                        size_t size);

#endif
