/* The store in an SQLite file: see store.h.
 *
 * Two tables: `objects` holds the present, `changes` a window of the past for watches that resume.
 * The number of a change is the resourceVersion; AUTOINCREMENT keeps the highest one in
 * sqlite_sequence even when the window is empty. Each commit is one transaction over both.
 * locking_mode=EXCLUSIVE: one server per file, and a second one is told so. */
#include <errno.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "localcluster/api/store.h"

#define SCHEMA_VERSION 1

enum statement { BEGIN, COMMIT, ROLLBACK, PUT, DELETE_, CHANGE, FORGET, STATEMENT_COUNT };

static const char *const sql[STATEMENT_COUNT] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [PUT] =
        "INSERT OR REPLACE INTO objects(bucket, namespace, name, revision, text) VALUES(?,?,?,?,?)",
    [DELETE_] = "DELETE FROM objects WHERE bucket=? AND namespace=? AND name=?",
    [CHANGE] =
        "INSERT INTO changes(revision, type, bucket, namespace, name, text) VALUES(?,?,?,?,?,?)",
    [FORGET] = "DELETE FROM changes WHERE revision<=?",
};

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS objects(bucket TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT "
    "NOT NULL,"
    " revision INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY(bucket, namespace, name)) WITHOUT "
    "ROWID;"
    "CREATE TABLE IF NOT EXISTS changes(revision INTEGER PRIMARY KEY AUTOINCREMENT, type INTEGER "
    "NOT NULL,"
    " bucket TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, text TEXT NOT NULL);"
    "PRAGMA user_version=1;";

struct store_sqlite {
    struct store base;
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENT_COUNT];
};

static int fail(struct store_sqlite *s, struct mlt_error *err, const char *what)
{
    int code = sqlite3_errcode(s->db) == SQLITE_BUSY ? EBUSY : EIO;
    return mlt_fail(err, code, "%s: %s", what,
                    code == EBUSY ? "another API server has the database open"
                                  : sqlite3_errmsg(s->db));
}

static void bind_text(sqlite3_stmt *q, int index, const char *text, size_t length)
{
    (void)sqlite3_bind_text64(q, index, text, length, SQLITE_STATIC, SQLITE_UTF8);
}

static int run(struct store_sqlite *s, enum statement which, struct mlt_error *err)
{
    sqlite3_stmt *q = s->statements[which];
    int rc = sqlite3_step(q) == SQLITE_DONE ? 0 : fail(s, err, sql[which]);
    (void)sqlite3_reset(q);
    (void)sqlite3_clear_bindings(q);
    return rc;
}

static int write_object(struct store_sqlite *s, const struct store_change *c, struct mlt_error *err)
{
    enum statement which = c->type == STORE_DELETED ? DELETE_ : PUT;
    sqlite3_stmt *q = s->statements[which];
    bind_text(q, 1, c->bucket, strlen(c->bucket));
    bind_text(q, 2, c->namespace_, strlen(c->namespace_));
    bind_text(q, 3, c->name, strlen(c->name));
    if (which == PUT) {
        (void)sqlite3_bind_int64(q, 4, (sqlite3_int64)c->revision);
        bind_text(q, 5, c->text, c->length);
    }
    return run(s, which, err);
}

static int write_change(struct store_sqlite *s, const struct store_change *c, struct mlt_error *err)
{
    sqlite3_stmt *q = s->statements[CHANGE];
    (void)sqlite3_bind_int64(q, 1, (sqlite3_int64)c->revision);
    (void)sqlite3_bind_int(q, 2, (int)c->type);
    bind_text(q, 3, c->bucket, strlen(c->bucket));
    bind_text(q, 4, c->namespace_, strlen(c->namespace_));
    bind_text(q, 5, c->name, strlen(c->name));
    bind_text(q, 6, c->text, c->length);
    return run(s, CHANGE, err);
}

static int sqlite_commit(struct store *base, const struct store_change *c, struct mlt_error *err)
{
    struct store_sqlite *s = (struct store_sqlite *)base;
    int rc = run(s, BEGIN, err);
    if (rc < 0)
        return rc;
    rc = write_object(s, c, err);
    if (rc == 0)
        rc = write_change(s, c, err);
    if (rc == 0)
        rc = run(s, COMMIT, err);
    if (rc < 0)
        (void)run(s, ROLLBACK, NULL);
    return rc;
}

static int sqlite_forget(struct store *base, uint64_t revision, struct mlt_error *err)
{
    struct store_sqlite *s = (struct store_sqlite *)base;
    (void)sqlite3_bind_int64(s->statements[FORGET], 1, (sqlite3_int64)revision);
    return run(s, FORGET, err);
}

static const char *column_text(sqlite3_stmt *q, int column)
{
    const unsigned char *text = sqlite3_column_text(q, column);
    return text ? (const char *)text : "";
}

/* Rows of (revision, type, bucket, namespace, name, text). */
static int visit(struct store_sqlite *s, const char *query, store_visit_f *f, void *arg,
                 struct mlt_error *err)
{
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(s->db, query, -1, &q, NULL) != SQLITE_OK)
        return fail(s, err, "reading");
    int rc = 0, step = SQLITE_DONE;
    while (rc == 0) {
        step = sqlite3_step(q);
        if (step != SQLITE_ROW)
            break;
        const struct store_change c = {.revision = (uint64_t)sqlite3_column_int64(q, 0),
                                       .type = (enum store_change_type)sqlite3_column_int(q, 1),
                                       .bucket = column_text(q, 2),
                                       .namespace_ = column_text(q, 3),
                                       .name = column_text(q, 4),
                                       .text = column_text(q, 5),
                                       .length = (size_t)sqlite3_column_bytes(q, 5)};
        rc = f(arg, &c, err);
    }
    if (rc == 0 && step != SQLITE_DONE)
        rc = fail(s, err, "reading");
    (void)sqlite3_finalize(q);
    return rc;
}

static int number(struct store_sqlite *s, const char *query, sqlite3_int64 *ret,
                  struct mlt_error *err)
{
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(s->db, query, -1, &q, NULL) != SQLITE_OK)
        return fail(s, err, "reading");
    int step = sqlite3_step(q);
    if (step == SQLITE_ROW)
        *ret = sqlite3_column_int64(q, 0);
    int rc = step == SQLITE_ROW || step == SQLITE_DONE ? 0 : fail(s, err, "reading");
    (void)sqlite3_finalize(q);
    return rc;
}

static int sqlite_load(struct store *base, store_visit_f *object, store_visit_f *change, void *arg,
                       uint64_t *ret_revision, struct mlt_error *err)
{
    struct store_sqlite *s = (struct store_sqlite *)base;
    sqlite3_int64 revision = 0;
    int rc = visit(s, "SELECT revision, 0, bucket, namespace, name, text FROM objects", object, arg,
                   err);
    if (rc == 0)
        rc = visit(
            s,
            "SELECT revision, type, bucket, namespace, name, text FROM changes ORDER BY revision",
            change, arg, err);
    if (rc == 0)
        rc = number(s, "SELECT seq FROM sqlite_sequence WHERE name='changes'", &revision, err);
    if (rc == 0)
        *ret_revision = (uint64_t)revision;
    return rc;
}

static void sqlite_free(struct store *base)
{
    struct store_sqlite *s = (struct store_sqlite *)base;
    for (int i = 0; i < STATEMENT_COUNT; i++)
        (void)sqlite3_finalize(s->statements[i]);
    (void)sqlite3_close(s->db);
    free(s);
}

static int prepare(struct store_sqlite *s, struct mlt_error *err)
{
    static const char settings[] = "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL;"
                                   "PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=1000;";
    if (sqlite3_exec(s->db, settings, NULL, NULL, NULL) != SQLITE_OK)
        return fail(s, err, "opening");
    sqlite3_int64 version = 0;
    int rc = number(s, "PRAGMA user_version", &version, err);
    if (rc < 0)
        return rc;
    if (version > SCHEMA_VERSION)
        return mlt_fail(err, EIO,
                        "it was written by a newer mltrain (format %d, this one knows %d)",
                        (int)version, SCHEMA_VERSION);
    if (sqlite3_exec(s->db, schema, NULL, NULL, NULL) != SQLITE_OK)
        return fail(s, err, "opening");
    for (int i = 0; i < STATEMENT_COUNT; i++)
        if (sqlite3_prepare_v3(s->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[i],
                               NULL) != SQLITE_OK)
            return fail(s, err, sql[i]);
    return 0;
}

int store_sqlite_open(const char *path, struct store **ret, struct mlt_error *err)
{
    static const struct store_ops ops = {
        .load = sqlite_load, .commit = sqlite_commit, .forget = sqlite_forget, .free = sqlite_free};
    struct store_sqlite *s = mlt_calloc(1, sizeof *s);
    s->base.ops = &ops;
    mode_t mask = umask(077);
    int rc = sqlite3_open_v2(
        path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    rc = rc == SQLITE_OK ? prepare(s, err) : fail(s, err, "opening");
    (void)umask(mask);
    if (rc < 0) {
        sqlite_free(&s->base);
        return mlt_fail_in(err, "%s", path);
    }
    *ret = &s->base;
    return 0;
}
