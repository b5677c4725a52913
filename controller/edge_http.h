/* The controller's HTTP server: part of the edge. What is answered is decided in endpoints.c. */
#ifndef CONTROLLER_EDGE_HTTP_H
#define CONTROLLER_EDGE_HTTP_H

#include <stdint.h>
#include <uv.h>
#include "controller/controller.h"
#include "lib/base/error.h"

struct edge_http;

/* Serves on a numeric address, plain HTTP, until edge_http_free(). The address of the controller is
 * told later: until then every answer is 503. -EADDRINUSE and the like with words. */
int edge_http_new(uv_loop_t *loop, const char *address, uint16_t port, struct edge_http **ret,
                  struct mlt_error *err) MLT_MUST_USE;
/* Whom to ask; borrowed, NULL: nobody any more. */
void edge_http_controller(struct edge_http *h, const struct controller *c);
uint16_t edge_http_port(const struct edge_http *h);
/* NULL is fine. The memory goes when the loop has closed the server. */
void edge_http_free(struct edge_http *h);

#endif
