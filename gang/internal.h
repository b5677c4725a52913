/* What the files of gang/ share. Not for hosts; tests include it to give the library a failing
 * allocator. */
#ifndef GANG_INTERNAL_H
#define GANG_INTERNAL_H

#include <stddef.h>
#include "gang/fits.h"
#include "gang/gang.h"

/* Everything that the library asks of its host: memory. */
struct gang_memory {
    void *(*realloc)(void *arg, void *old, size_t size); /* NULL: none left, old stays */
    void (*free)(void *arg, void *memory);
    void *arg;
};

struct gang *gang_new_with_memory(const struct gang_memory *memory,
                                  const struct gang_config *config);

#define GANG_CLASS_NONE UINT32_MAX /* of a node that is not known, or not open */
#define GANG_NOT_PLANNED UINT32_MAX

/* What a node has left, seen in three ways. Use by others is EMPTY - OWN, and use by gangs OWN -
 * FREE. */
#define GANG_BOARD_MAP(XX)                                          \
    XX(FREE)  /* what gangs leave */                                \
    XX(OWN)   /* what others leave to gangs: were all gangs gone */ \
    XX(EMPTY) /* what the node has: were all pods gone, and each node schedulable */
enum gang_board {
#define XX(name) GANG_##name,
    GANG_BOARD_MAP(XX)
#undef XX
        GANG_BOARDS
};

/* A request without its place in the order: the one of a job is a compact copy in one block. */
struct gang_shape {
    uint32_t pods, roles_count;
    const struct gang_role *roles;
    struct gang_kind **kinds; /* one per role; the array belongs to whoever made the shape */
};

enum gang_verdict {
    GANG_VERDICT_FITS,   /* without other gangs there is room: it waits for gangs and holds its turn
                          */
    GANG_VERDICT_OTHERS, /* room only without pods of others, or with nodes that are not schedulable
                          */
    GANG_VERDICT_NEVER,
};

struct gang_avoid {
    uint32_t node;
    int64_t until_ms;
};

struct gang_job {
    uint64_t id;
    uint32_t queue;
    int32_t priority;
    int64_t sequence, time_limit_ms;
    uint32_t required_level, preferred_level;
    int64_t preferred_until_ms; /* from then on any domain will do */
    struct gang_shape *shape;
    uint32_t *nodes;  /* one per pod when it holds a place, else NULL */
    uint32_t missing; /* pods of it that hold no node */
    struct gang_avoid *avoid;
    uint32_t avoid_count, avoid_capacity;
    /* What the last plan found out, and for which state of the nodes (not part of the state). */
    uint64_t verdict_version;
    enum gang_verdict verdict;
    uint32_t verdict_role; /* OTHERS: the role that found no room beside others */
    struct gang_why verdict_why;
    uint32_t planned; /* where in the plan's nodes its own begin, or GANG_NOT_PLANNED */
};

/* Jobs in order: priority, then sequence, then id. */
struct gang_list {
    struct gang_job **jobs;
    uint32_t count, capacity;
};

struct gang_entry {
    enum gang_decision_kind kind;
    struct gang_job *job;
    uint32_t pod;
    uint32_t first_node, nodes_count; /* in plan.nodes */
    uint32_t position;
    uint32_t why;        /* in plan.whys, or UINT32_MAX */
    uint32_t blocked_by; /* an entry, when there is no why */
};

struct gang_plan {
    struct gang_entry *entries;
    uint32_t count, capacity, next;
    uint32_t *nodes;
    size_t nodes_count, nodes_capacity;
    struct gang_why *whys;
    uint32_t whys_count, whys_capacity;
    uint32_t *positions; /* per queue */
    uint32_t first_wait; /* the first entry that waits */
    uint32_t open_nodes; /* schedulable and not marked; exact once something is marked */
    bool marked;
    bool applied; /* its placements stand on the free board */
    struct gang_why behind;
};

struct gang {
    struct gang_memory memory;
    uint32_t resources; /* kinds in use: GANG_DEVICE_0 + devices */
    char *device_names[GANG_RESOURCES_MAX - GANG_DEVICE_0];

    /* Nodes, by number. A board holds `resources` amounts per node: see gang_at(). */
    uint32_t nodes, nodes_capacity; /* numbers in use are below `nodes` */
    int64_t *boards[GANG_BOARDS];
    uint32_t *classes; /* GANG_CLASS_NONE: not known */
    uint32_t *open;    /* the class when also schedulable, else GANG_CLASS_NONE */
    uint16_t *hidden;  /* how often it was hidden; nothing is placed there now unless 0 */
    uint32_t *marks;   /* plan: 1 + entry of the job that waits for this node; 0: nobody */
    uint32_t known_nodes;
    uint64_t nodes_version;
    struct gang_topology fits_topology;
    struct gang_fits fits;

    uint8_t *queues; /* 1: known */
    uint32_t queues_capacity;

    struct gang_job **table; /* open addressing by id */
    uint32_t table_size, jobs;
    struct gang_list waiting, wounded; /* each has room for all jobs */
    uint32_t avoids;                   /* entries of all jobs */

    struct gang_trial *trials; /* what-if: what was changed, to be undone backwards */
    uint32_t trials_count, trials_capacity;
    struct gang_plan plan;
};

/* ---- memory.c ---- */

/* Grows *array to at least `count` elements of `size`. -ENOMEM, and nothing has changed then. */
int gang_reserve(struct gang *g, void *array, uint32_t *capacity, size_t count,
                 size_t size) MLT_MUST_USE;
void *gang_alloc(struct gang *g, size_t size); /* zeroed; NULL */
void gang_release(struct gang *g, void *memory);
int gang_no_memory(struct mlt_error *err);

/* ---- job.c ---- */

struct gang_job *gang_job_find(const struct gang *g, uint64_t id);
int gang_job_request_check(const struct gang *g, const struct gang_job_request *request,
                           struct mlt_error *err) MLT_MUST_USE;
/* One owner: gang_shape_free(). NULL for lack of memory. */
struct gang_shape *gang_shape_copy(struct gang *g, const struct gang_job_request *request);
void gang_shape_free(struct gang *g, struct gang_shape *shape); /* NULL is fine */
/* A waiting job that is in the table but in no list yet; takes `shape`. NULL for lack of memory. */
struct gang_job *gang_job_add(struct gang *g, uint64_t id, struct gang_shape *shape);
void gang_job_drop(struct gang *g, struct gang_job *job); /* out of table and lists, and freed */
void gang_job_free(struct gang *g, struct gang_job *job);
void gang_list_insert(struct gang_list *list, struct gang_job *job);       /* has room */
void gang_list_remove(struct gang_list *list, const struct gang_job *job); /* absent: nothing */
uint32_t gang_job_role(const struct gang_job *job, uint32_t pod);
int gang_job_avoid(struct gang *g, struct gang_job *job, uint32_t node, int64_t until_ms,
                   int64_t now_ms) MLT_MUST_USE;
bool gang_job_avoids(const struct gang_job *job, uint32_t node, int64_t now_ms);
/* For how much longer; 0: it does not. */
int64_t gang_job_avoids_ms(const struct gang_job *job, uint32_t node, int64_t now_ms);
void gang_avoid_forget_node(struct gang *g, uint32_t node);

/* ---- node.c ---- */

/* Makes the number usable, with these domains (or NULL). -ENOMEM. */
int gang_node_reserve(struct gang *g, uint32_t node, const uint32_t *domains) MLT_MUST_USE;
void gang_node_set(struct gang *g, const struct gang_event *event);
void gang_node_remove(struct gang *g, uint32_t node);

/* ---- board.c ---- (`there`: what is left on one node of a board; g->resources amounts) */

static inline int64_t *gang_at(const struct gang *g, enum gang_board board, uint32_t node)
{
    return g->boards[board] + (size_t)node * g->resources;
}

bool gang_board_fits(const struct gang *g, const int64_t *there, const int64_t *request);
void gang_board_take(const struct gang *g, int64_t *there, const int64_t *request);
void gang_board_give(const struct gang *g, int64_t *there, const int64_t *request);
void gang_board_take_pods(const struct gang *g, int64_t *there, const int64_t *request,
                          uint32_t pods);
void gang_board_give_pods(const struct gang *g, int64_t *there, const int64_t *request,
                          uint32_t pods);
uint64_t gang_board_count(const struct gang *g, const int64_t *there, const int64_t *request);

/* ---- room.c ---- The free board changes by these calls (and those of node.c) alone, so that what
 * is derived from it stays right. */

void gang_room_take(struct gang *g, uint32_t node, const int64_t *request);
void gang_room_give(struct gang *g, uint32_t node, const int64_t *request);
/* A whole gang; `nodes` has one per pod, GANG_NO_NODE for a pod that holds none. */
void gang_room_take_gang(struct gang *g, const struct gang_shape *shape, const uint32_t *nodes);
void gang_room_give_gang(struct gang *g, const struct gang_shape *shape, const uint32_t *nodes);
/* A hidden node is not used by placements on the free board. Counted: shown as often as hidden. */
void gang_room_hide(struct gang *g, uint32_t node);
void gang_room_show(struct gang *g, uint32_t node);

/* What if: gangs taken off the free board or put on it, to be undone. Trials nest; nothing but
 * trials and placements that were undone may have changed the board in between, and no event may
 * come. */
struct gang_trial {
    const struct gang_shape *shape;
    const uint32_t *nodes; /* borrowed: they stay as they are until gang_trial_undo() */
    bool give;
};
uint32_t gang_trial_begin(const struct gang *g); /* where to go back to */
/* As if it had left, as if it stood there. -ENOMEM: nothing has changed. */
int gang_trial_give(struct gang *g, const struct gang_shape *shape,
                    const uint32_t *nodes) MLT_MUST_USE;
int gang_trial_take(struct gang *g, const struct gang_shape *shape,
                    const uint32_t *nodes) MLT_MUST_USE;
void gang_trial_undo(struct gang *g, uint32_t begin);

/* ---- place.c ---- */

/* Where a gang may stand. Zeroes: on any node, now. */
struct gang_where {
    enum gang_board
        board;       /* FREE without hidden nodes; OWN: schedulable nodes; EMPTY: known nodes */
    bool hidden_too; /* FREE: hidden nodes may be used, too (O(nodes)) */
    uint32_t level;  /* all pods in one domain of this level, or GANG_NO_LEVEL */
    /* All pods in this very domain; GANG_NO_LEVEL: no matter. */
    uint32_t within_level, within_domain;
    uint32_t beside;   /* gang_place_pod(): 1 + the node of a neighbour; 0: no matter */
    uint32_t together; /* gang_place_pod(): best where there is room for so many */
    const struct gang_job *avoiding; /* NULL, or a job whose avoided nodes are left out */
    int64_t now_ms;
};

/* Where this job may stand now: its required level, or the preferred one while it waits for that.
 */
struct gang_where gang_where_now(const struct gang_job *job, int64_t now_ms);
/* Where it could ever stand, on another board: its required level, and nothing avoided. */
struct gang_where gang_where_ever(const struct gang_job *job, enum gang_board board);

bool gang_role_allows(const struct gang_role *role, uint32_t node_class);
/* All pods, whole or not at all, by the rules of README "Placement": fills nodes[shape->pods] and
 * takes the room from where->board (undone by gang_place_undo()). nodes may be NULL: only asked,
 * nothing is taken. False: nothing was taken, *ret_role is the role that found no place. The shape
 * is bound (gang_shape_copy() has done so). */
bool gang_place(struct gang *g, const struct gang_where *where, const struct gang_shape *shape,
                uint32_t *nodes, uint32_t *ret_role);
void gang_place_undo(struct gang *g, enum gang_board board, const struct gang_shape *shape,
                     const uint32_t *nodes);
/* The node for one pod of a role, nothing taken; GANG_NO_NODE when there is none. */
uint32_t gang_place_pod(struct gang *g, const struct gang_where *where,
                        const struct gang_shape *shape, uint32_t role);
/* Where a lost member of a placed job may stand: in the domain of the required level that holds its
 * nearest neighbour in rank, and as near to that as there is room. `also`: the node planned for
 * another lost member, or GANG_NO_NODE. */
struct gang_where gang_where_member(const struct gang *g, const struct gang_job *job, uint32_t pod,
                                    uint32_t also, int64_t now_ms);
/* The domain of where->level with the most room for a role, and how many of its pods it holds. */
uint64_t gang_place_largest(struct gang *g, const struct gang_where *where,
                            const struct gang_shape *shape, uint32_t role, uint32_t *ret_domain);
/* How many pods of a role would fit now, one by one, on nodes not hidden: in the whole cluster
 * (GANG_NO_LEVEL), or in one domain. Exact for a role alone; avoided nodes count. */
uint64_t gang_fit_total(struct gang *g, const struct gang_shape *shape, uint32_t role,
                        uint32_t level, uint32_t domain);
/* True: no placement now by that count. False: unknown. */
bool gang_cannot_fit(struct gang *g, const struct gang_shape *shape);

/* ---- why.c ---- */

struct gang_question {
    const struct gang_shape *shape;
    const struct gang_job *job; /* NULL for a request that is no job */
    uint32_t level;             /* all pods in one domain of it, or GANG_NO_LEVEL */
    uint32_t role, pod, pods;
    enum gang_why_kind kind;
    int64_t now_ms;
};
void gang_why_find(struct gang *g, const struct gang_question *question, struct gang_why *ret);

/* ---- plan.c ---- */

void gang_plan_forget(struct gang *g);

#endif
