/* The CustomResourceDefinitions of crds/, inside the program. Private to localcluster/api. */
#ifndef LOCALCLUSTER_API_CRD_FILES_H
#define LOCALCLUSTER_API_CRD_FILES_H

#include <stddef.h>

/* YAML documents; the length is in *ret_length. */
const char *api_crd_files(size_t *ret_length);

#endif
