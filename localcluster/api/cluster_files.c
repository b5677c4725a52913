/* Files of a cluster's folder: see cluster_files.h. */
#include "localcluster/api/cluster_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/number.h"
#include "lib/base/text.h"
#include "lib/kube/base64.h"
#include "localcluster/api/certificates.h"

#define TOKEN_BYTES 32

static int write_all(int fd, const char *data, size_t length)
{
    while (length) {
        ssize_t n = write(fd, data, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        data += n;
        length -= (size_t)n;
    }
    return 0;
}

int cluster_file_write(const char *dir, const char *name, const char *data, size_t length,
                       struct mlt_error *err)
{
    cleanup_free char *path = mlt_asprintf("%s/%s", dir, name);
    cleanup_free char *temporary = mlt_asprintf("%s/.%s.tmp", dir, name);
    (void)unlink(temporary);
    cleanup_close int fd =
        open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return mlt_fail(err, errno, "%s: %s", temporary, strerror(errno));
    int rc = write_all(fd, data, length);
    /* No fsync: a folder that a power cut has spoilt is made good at the next start (empty
     * certificates and tokens are made anew), and the first start is what a person waits for. */
    if (rc == 0 && rename(temporary, path) < 0)
        rc = -errno;
    if (rc < 0) {
        (void)unlink(temporary);
        return mlt_fail(err, -rc, "%s: %s", path, strerror(-rc));
    }
    return 0;
}

/* The content of a file; NULL in *ret when it does not exist. Only the owner may be able to write
 * it. */
static int read_file(const char *dir, const char *name, char **ret, struct mlt_error *err)
{
    cleanup_free char *path = mlt_asprintf("%s/%s", dir, name);
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    *ret = NULL;
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &st) < 0)
        return mlt_fail(err, errno, "%s: %s", path, strerror(errno));
    if (st.st_uid != geteuid() || (st.st_mode & 022))
        return mlt_fail(err, EPERM, "%s: must belong to this user and be writable for nobody else",
                        path);
    if (st.st_size > (off_t)CLUSTER_FILE_MAX)
        return mlt_fail(err, E2BIG, "%s: is larger than %u bytes", path, CLUSTER_FILE_MAX);
    char *data = mlt_calloc(1, (size_t)st.st_size + 1);
    size_t length = 0;
    while (length < (size_t)st.st_size) {
        ssize_t n = read(fd, data + length, (size_t)st.st_size - length);
        if (n <= 0)
            break;
        length += (size_t)n;
    }
    *ret = data;
    return 0;
}

static int load_token(const char *dir, struct cluster_files *f, struct mlt_error *err)
{
    int rc = read_file(dir, "token", &f->token, err);
    if (rc < 0)
        return rc;
    if (f->token)
        f->token[strcspn(f->token, " \n")] = '\0';
    if (f->token && f->token[0])
        return 0;
    free(f->token);
    f->token = NULL;
    rc = certificate_random_hex(TOKEN_BYTES, &f->token, err);
    return rc < 0 ? rc : cluster_file_write(dir, "token", f->token, strlen(f->token), err);
}

static int load_pair(const char *dir, const char *name, struct certificate *ret,
                     struct mlt_error *err)
{
    cleanup_free char *crt = mlt_asprintf("%s.crt", name), *key = mlt_asprintf("%s.key", name);
    int rc = read_file(dir, crt, &ret->certificate, err);
    return rc < 0 ? rc : read_file(dir, key, &ret->key, err);
}

static int save_pair(const char *dir, const char *name, const struct certificate *c,
                     struct mlt_error *err)
{
    cleanup_free char *crt = mlt_asprintf("%s.crt", name), *key = mlt_asprintf("%s.key", name);
    int rc = cluster_file_write(dir, key, c->key, strlen(c->key), err);
    return rc < 0 ? rc : cluster_file_write(dir, crt, c->certificate, strlen(c->certificate), err);
}

static void pair_clear(struct certificate *c)
{
    free(c->certificate);
    free(c->key);
    *c = (struct certificate){0};
}

static int load_certificates(const char *dir, struct cluster_files *f, struct mlt_error *err)
{
    struct certificate ca = {0}, server = {0};
    int rc = load_pair(dir, "ca", &ca, err);
    if (rc == 0 && (!ca.certificate || !ca.key || !certificate_is_good(&ca, &ca))) {
        pair_clear(&ca);
        rc = certificate_new_authority("mltrain one-machine cluster", &ca, err);
        if (rc == 0)
            rc = save_pair(dir, "ca", &ca, err);
    }
    if (rc == 0)
        rc = load_pair(dir, "server", &server, err);
    if (rc == 0 && (!server.certificate || !server.key || !certificate_is_good(&server, &ca))) {
        pair_clear(&server);
        rc = certificate_new_server(&ca, &server, err);
        if (rc == 0)
            rc = save_pair(dir, "server", &server, err);
    }
    if (rc == 0) {
        f->ca_certificate = steal_ptr(&ca.certificate);
        f->certificate = steal_ptr(&server.certificate);
        f->key = steal_ptr(&server.key);
    }
    pair_clear(&ca);
    pair_clear(&server);
    return rc;
}

static int load_port(const char *dir, struct cluster_files *f, struct mlt_error *err)
{
    cleanup_free char *text = NULL;
    int64_t port = 0;
    int rc = read_file(dir, "port", &text, err);
    if (rc < 0 || !text)
        return rc;
    text[strcspn(text, " \n")] = '\0';
    rc = text[0] ? mlt_parse_integer(text, 1, 65535, &port, err) : 0;
    if (rc < 0)
        return mlt_fail_in(err, "%s/port", dir);
    f->port = (uint16_t)port;
    return 0;
}

/* The folder and its parents. */
static int make_folder(const char *dir, struct mlt_error *err)
{
    cleanup_free char *path = mlt_strdup(dir);
    struct stat st;
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        (void)mkdir(path, 0700);
        *p = '/';
    }
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return mlt_fail(err, errno, "%s: %s", dir, strerror(errno));
    if (stat(dir, &st) < 0)
        return mlt_fail(err, errno, "%s: %s", dir, strerror(errno));
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid())
        return mlt_fail(err, EPERM, "%s: must be a folder of this user", dir);
    if ((st.st_mode & 077) && chmod(dir, 0700) < 0)
        return mlt_fail(err, errno, "%s: %s", dir, strerror(errno));
    return 0;
}

int cluster_files_load(const char *dir, struct cluster_files *ret, struct mlt_error *err)
{
    struct cluster_files f = {0};
    int rc = make_folder(dir, err);
    if (rc == 0)
        rc = load_certificates(dir, &f, err);
    if (rc == 0)
        rc = load_token(dir, &f, err);
    if (rc == 0)
        rc = load_port(dir, &f, err);
    if (rc < 0) {
        cluster_files_release(&f);
        return rc;
    }
    *ret = f;
    return 0;
}

void cluster_files_release(struct cluster_files *f)
{
    free(f->ca_certificate);
    free(f->certificate);
    free(f->key);
    free(f->token);
    *f = (struct cluster_files){0};
}

int cluster_files_save_port(const char *dir, uint16_t port, struct mlt_error *err)
{
    char text[16];
    int length = snprintf(text, sizeof text, "%u\n", port);
    return cluster_file_write(dir, "port", text, (size_t)length, err);
}

int cluster_files_save_kubeconfig(const char *dir, const char *name, const struct cluster_files *f,
                                  uint16_t port, struct mlt_error *err)
{
    cleanup_free char *ca = kube_base64_encode(f->ca_certificate, strlen(f->ca_certificate));
    cleanup_text struct mlt_text out = MLT_TEXT_INIT(CLUSTER_FILE_MAX);
    mlt_text_printf(
        &out,
        "apiVersion: v1\nkind: Config\ncurrent-context: mltrain-%s\nclusters:\n- name: mltrain-%s\n"
        "  cluster:\n    server: https://127.0.0.1:%u\n    certificate-authority-data: %s\n",
        name, name, port, ca);
    mlt_text_printf(
        &out,
        "contexts:\n- name: mltrain-%s\n  context:\n    cluster: mltrain-%s\n    user: mltrain-%s\n"
        "    namespace: default\nusers:\n- name: mltrain-%s\n  user:\n    token: %s\n",
        name, name, name, name, f->token);
    return cluster_file_write(dir, "kubeconfig", mlt_text_string(&out), out.length, err);
}
