/* Keeps a copy of one collection up to date over the CLI's connection: a reflector driven by the
 * transport and a timer. */
#ifndef CLI_REFLECT_H
#define CLI_REFLECT_H

#include "cli/cli.h"
#include "lib/kube/reflector.h"

struct reflect;

/* `selector` as for kube_reflector_new(). Callbacks come from the loop. */
struct reflect *reflect_new(struct cli *c, const char *collection, const char *selector,
                            const struct kube_reflector_ops *ops, void *arg);
bool reflect_synced(const struct reflect *r);
const char *reflect_trouble(const struct reflect *r);
/* Ends it; no callbacks any more. */
void reflect_free(struct reflect *r);

#endif
