/* The table of pods inside the view. */
#ifndef CONTROLLER_VIEW_PODS_H
#define CONTROLLER_VIEW_PODS_H

#include "controller/view.h"

void view_pods_seen(struct view_source *s, const cJSON *object);
void view_pods_deleted(struct view_source *s, const cJSON *object);
/* A list is complete: what it did not hold is gone. */
void view_pods_listed(struct view_source *s);
void view_pods_release(struct view *v);

#endif
