/* Who may talk to the server: the holder of its bearer token. Private to localcluster/api. */
#ifndef LOCALCLUSTER_API_AUTH_H
#define LOCALCLUSTER_API_AUTH_H

#include <stdbool.h>

/* Whether an Authorization header carries the token; compared in constant time. token NULL: always.
 */
bool api_auth_allows(const char *token, const char *authorization);

/* Whether a path of this one segment may be seen by anybody: health and version, as in Kubernetes.
 */
bool api_auth_is_public(const char *segment);

#endif
