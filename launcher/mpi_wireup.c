/* Chooses the wire-up: see mpi_wireup.h. */
#include "launcher/mpi_wireup.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/mpi_find.h"
#include "launcher/torchrun.h"
#include "lib/base/cleanup.h"
#include "lib/base/number.h"

#define ELF_MAGIC "\177ELF"

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool begins(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* `libmpi_x.so.12`: the number behind ".so."; -1 for none. */
static int major_of(const char *name)
{
    const char *so = strstr(name, ".so.");
    char digits[8];
    int64_t major;
    if (!so)
        return -1;
    (void)snprintf(digits, sizeof digits, "%.*s", (int)strcspn(so + 4, "."), so + 4);
    return mlt_parse_integer(digits, 0, INT16_MAX, &major, NULL) == 0 ? (int)major : -1;
}

/* Open MPI's libmpi.so has gone from 0 to 40 and left 12 to the others (but for its releases of
 * 2015); MPICH and all with its binary interface agreed on 12: https://www.mpich.org/abi/ */
enum mpi_family mpi_family_of_library(const char *path)
{
    static const char *const open_mpi[] = {"libopen-rte.so",  "libopen-pal.so", "libmpi_cxx.so",
                                           "libmpi_mpifh.so", "libmpi_usempi",  "libmpi_java.so"};
    static const char *const mpich[] = {"libmpich", "libmpicxx.so", "libmpifort.so"};
    const char *name = base_name(path);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(open_mpi); i++)
        if (begins(name, open_mpi[i]))
            return MPI_FAMILY_OPEN_MPI;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(mpich); i++)
        if (begins(name, mpich[i]))
            return MPI_FAMILY_MPICH;
    int major = begins(name, "libmpi") ? major_of(name) : -1;
    if (major == 12 && (begins(name, "libmpi.so") || begins(name, "libmpi_")))
        return MPI_FAMILY_MPICH;
    return major >= 0 && begins(name, "libmpi.so") ? MPI_FAMILY_OPEN_MPI : MPI_FAMILY_NONE;
}

/* ---- what is looked at ---- */

static bool look_at_command(struct mpi_find *f, const char *const *argv, unsigned depth,
                            struct mpi_finding *ret);

static bool is_mpirun(const char *word)
{
    static const char *const names[] = {"mpirun", "mpiexec", "orterun", "prterun"};
    const char *name = base_name(word);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(names); i++) {
        size_t length = strlen(names[i]);
        /* Also mpiexec.hydra, mpirun.mpich, mpirun.openmpi. */
        if (begins(name, names[i]) && (!name[length] || name[length] == '.'))
            return true;
    }
    return false;
}

static bool is_python(const char *word)
{
    return begins(base_name(word), "python") || begins(base_name(word), "pypy");
}

static bool is_shell(const char *word)
{
    const char *const argv[] = {word, NULL};
    return torchrun_is_shell(argv);
}

/* Each entry of a folder; those that are mpi4py's extension modules are looked at. */
struct modules {
    struct mpi_find *f;
    const char *folder;
    struct mpi_finding *ret;
    bool found, differ; /* several, for several MPI libraries: the image decides */
};

static bool look_at_module(void *context, const char *name)
{
    struct modules *m = context;
    struct mpi_finding one;
    char path[MPI_WIREUP_PATH_MAX];
    if (!begins(name, "MPI.") || !strstr(name, ".so") ||
        snprintf(path, sizeof path, "%s/%s", m->folder, name) >= (int)sizeof path ||
        !mpi_find_linked(m->f, path, &one))
        return true;
    m->differ = m->differ || (m->found && one.family != m->ret->family);
    m->found = true;
    *m->ret = one;
    return true;
}

static bool look_at_modules(struct mpi_find *f, const char *folder, size_t length,
                            struct mpi_finding *ret)
{
    char path[MPI_WIREUP_PATH_MAX];
    if (snprintf(path, sizeof path, "%.*s/mpi4py", (int)length, folder) >= (int)sizeof path)
        return false;
    struct modules m = {.f = f, .folder = path, .ret = ret};
    (void)f->files.list(f->files.arg, path, look_at_module, &m);
    return m.found && !m.differ;
}

/* The folders of one installation: `prefix`/lib/python3.11/site-packages and the like. */
struct prefix {
    struct mpi_find *f;
    const char *lib;
    struct mpi_finding *ret;
    bool found;
};

static bool look_at_version(void *context, const char *name)
{
    static const char *const folders[] = {"site-packages", "dist-packages"};
    struct prefix *p = context;
    char path[MPI_WIREUP_PATH_MAX];
    for (size_t i = 0; begins(name, "python3") && i < MLT_ARRAY_LENGTH(folders); i++) {
        int length = snprintf(path, sizeof path, "%s/%s/%s", p->lib, name, folders[i]);
        if (length < (int)sizeof path && look_at_modules(p->f, path, (size_t)length, p->ret))
            p->found = true;
    }
    return !p->found;
}

/* Names under which MPI libraries are asked for, Open MPI's first. */
static const char *const library_names[] = {"libmpi.so.40", "libmpich.so.12", "libmpi.so.12"};

/* An environment's own MPI (conda, PyPI's wheels), which mpi4py's wheels load before any other. */
static bool look_at_libraries(struct mpi_find *f, const char *interpreter, const char *lib,
                              struct mpi_finding *ret)
{
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(library_names); i++) {
        if (snprintf(ret->object, sizeof ret->object, "%s/%s", lib, library_names[i]) >=
                (int)sizeof ret->object ||
            !mpi_find_begins(f, ret->object, ELF_MAGIC))
            continue;
        ret->family = mpi_family_of_library(library_names[i]);
        (void)snprintf(ret->library, sizeof ret->library, "%s", library_names[i]);
        (void)snprintf(ret->file, sizeof ret->file, "%s", ret->object);
        (void)snprintf(ret->object, sizeof ret->object, "%s", interpreter);
        return true;
    }
    return false;
}

static bool look_at_prefix(struct mpi_find *f, const char *interpreter, struct mpi_finding *ret)
{
    char lib[MPI_WIREUP_PATH_MAX];
    const char *slash = strrchr(interpreter, '/');
    if (!slash || snprintf(lib, sizeof lib, "%.*s/../lib", (int)(slash - interpreter),
                           interpreter) >= (int)sizeof lib)
        return false;
    struct prefix p = {.f = f, .lib = lib, .ret = ret};
    (void)f->files.list(f->files.arg, lib, look_at_version, &p);
    return p.found || look_at_libraries(f, interpreter, lib, ret);
}

/* mpi4py as this interpreter finds it: PYTHONPATH, its virtual environment, its installation,
 * Debian's place for what an administrator adds. */
static bool look_at_python(struct mpi_find *f, const char *interpreter, struct mpi_finding *ret)
{
    char real[MPI_WIREUP_PATH_MAX];
    for (const char *at = f->in->python_path ? f->in->python_path : ""; *at;) {
        size_t length = strcspn(at, ":");
        if (length && look_at_modules(f, at, length, ret))
            return true;
        at += length + (at[length] == ':');
    }
    if (look_at_prefix(f, interpreter, ret))
        return true;
    if (f->files.resolve(f->files.arg, interpreter, real) == 0 && look_at_prefix(f, real, ret))
        return true;
    return look_at_prefix(f, "/usr/local/bin/python3", ret);
}

static bool ends_word(char c)
{
    return isspace((unsigned char)c) || strchr(";&|()`'\"{}<>=\\", c) != NULL;
}

/* A script that calls MPI's compiler runs what comes out of it. Open MPI's is a program, MPICH's a
 * script that names its library. */
static bool look_at_compiler(struct mpi_find *f, const char *path, struct mpi_finding *ret)
{
    static const char *const marks[] = {"lmpich", "libmpich", "I_MPI_ROOT", "MPICH"};
    char real[MPI_WIREUP_PATH_MAX];
    cleanup_free char *text = malloc(MPI_WIREUP_SCRIPT_MAX);
    if (mpi_find_begins(f, path, ELF_MAGIC))
        return mpi_find_linked(f, path, ret);
    ssize_t n = text ? f->files.read(f->files.arg, path, 0, text, MPI_WIREUP_SCRIPT_MAX) : 0;
    for (size_t i = 0; n > 0 && i < MLT_ARRAY_LENGTH(marks); i++) {
        if (!memmem(text, (size_t)n, marks[i], strlen(marks[i])))
            continue;
        bool known = f->files.resolve(f->files.arg, path, real) == 0;
        ret->family = MPI_FAMILY_MPICH;
        (void)snprintf(ret->object, sizeof ret->object, "%s", known ? real : path);
        (void)snprintf(ret->library, sizeof ret->library, "libmpich");
        ret->file[0] = '\0';
        return true;
    }
    return false;
}

static bool is_compiler(const char *word)
{
    static const char *const names[] = {"mpicc", "mpicxx", "mpic++", "mpif77", "mpif90", "mpifort"};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(names); i++)
        if (begins(base_name(word), names[i]))
            return true;
    return false;
}

/* Where a shell's text has gone by `cd`, as far as its words tell. */
struct place {
    bool goes; /* the word before was cd */
    char folder[MPI_WIREUP_PATH_MAX];
};

/* False when the word belongs to a `cd`. Else puts the folder before a program that is there. */
static bool follow(struct place *p, struct mpi_find *f, char *word)
{
    char path[MPI_WIREUP_PATH_MAX], found[MPI_WIREUP_PATH_MAX];
    const char *from_here = begins(word, "./") ? word + 2 : word;
    bool rooted = word[0] == '/' || !p->folder[0];
    bool fits = snprintf(path, sizeof path, "%s%s%s", rooted ? "" : p->folder, rooted ? "" : "/",
                         rooted ? word : from_here) < (int)sizeof path;
    if (p->goes && word[0] == '-')
        return false; /* its option */
    if (p->goes) {
        (void)snprintf(p->folder, sizeof p->folder, "%s", fits && !strchr(word, '$') ? path : "");
        p->goes = false;
        return false;
    }
    p->goes = strcmp(word, "cd") == 0;
    if (!rooted && fits && strchr(word, '/') && mpi_find_program(f, path, found))
        (void)snprintf(word, MPI_WIREUP_PATH_MAX, "%s", path);
    return !p->goes;
}

/* Every word of a shell's text that names a program, until one tells. */
static bool look_at_text(struct mpi_find *f, const char *text, size_t length, unsigned depth,
                         struct mpi_finding *ret)
{
    unsigned programs = 0;
    struct place place = {.goes = false};
    for (size_t at = 0; at < length && programs < MPI_WIREUP_PROGRAMS_MAX;) {
        if (text[at] == '#' && (at == 0 || isspace((unsigned char)text[at - 1])))
            while (at < length && text[at] != '\n')
                at++;
        size_t start = at;
        while (at < length && text[at] && !ends_word(text[at]))
            at++;
        char word[MPI_WIREUP_PATH_MAX], path[MPI_WIREUP_PATH_MAX];
        if (at > start && at - start < sizeof word) {
            memcpy(word, text + start, at - start);
            word[at - start] = '\0';
            const char *const argv[] = {word, NULL};
            bool program =
                follow(&place, f, word) && (is_mpirun(word) || mpi_find_program(f, word, path));
            programs += program;
            if (program && !is_shell(word) && look_at_command(f, argv, depth + 1, ret))
                return true;
        }
        at += at < length && (at == start || ends_word(text[at]) || !text[at]);
    }
    return false;
}

/* A file that begins with #!, or that a shell is told to read. */
static bool look_at_script(struct mpi_find *f, const char *path, bool for_shell, unsigned depth,
                           struct mpi_finding *ret)
{
    cleanup_free char *text = malloc(MPI_WIREUP_SCRIPT_MAX + 1);
    ssize_t n = text ? f->files.read(f->files.arg, path, 0, text, MPI_WIREUP_SCRIPT_MAX) : -1;
    if (n <= 0)
        return false;
    text[n] = '\0';
    if (begins(text, ELF_MAGIC))
        return mpi_find_linked(f, path, ret);
    if (!for_shell) {
        if (!begins(text, "#!"))
            return false;
        char line[MPI_WIREUP_PATH_MAX], *save = NULL;
        (void)snprintf(line, sizeof line, "%.*s", (int)strcspn(text + 2, "\n"), text + 2);
        const char *argv[8] = {NULL};
        size_t count = 0;
        for (char *word = strtok_r(line, " \t", &save); word && count < MLT_ARRAY_LENGTH(argv) - 1;
             word = strtok_r(NULL, " \t", &save))
            argv[count++] = word;
        const char *const *interpreter = torchrun_innermost(argv);
        if (!interpreter[0] || !is_shell(interpreter[0]))
            return interpreter[0] && look_at_command(f, interpreter, depth + 1, ret);
    }
    return look_at_text(f, text, (size_t)n, depth, ret);
}

static bool look_at_shell(struct mpi_find *f, const char *const *argv, unsigned depth,
                          struct mpi_finding *ret)
{
    bool is_text;
    char path[MPI_WIREUP_PATH_MAX];
    const char *operand = torchrun_shell_operand(argv, &is_text);
    if (!operand)
        return false;
    if (is_text) {
        if (look_at_text(f, operand, strnlen(operand, MPI_WIREUP_SCRIPT_MAX), depth, ret))
            return true;
        while (*argv && *argv != operand)
            argv++;
        /* What the text calls "$0" and "$@". */
        return argv[0] && argv[1] && look_at_command(f, argv + 1, depth + 1, ret);
    }
    /* A shell looks for a script in its working directory first, and only then in PATH. */
    if (!strchr(operand, '/') && snprintf(path, sizeof path, "./%s", operand) < (int)sizeof path &&
        look_at_script(f, path, true, depth, ret))
        return true;
    return mpi_find_program(f, operand, path) && look_at_script(f, path, true, depth, ret);
}

static bool look_at_command(struct mpi_find *f, const char *const *argv, unsigned depth,
                            struct mpi_finding *ret)
{
    char path[MPI_WIREUP_PATH_MAX];
    argv = torchrun_innermost(argv);
    f->is_cut = f->is_cut || depth > MPI_WIREUP_DEPTH_MAX;
    if (!argv[0] || depth > MPI_WIREUP_DEPTH_MAX)
        return false;
    if (is_mpirun(argv[0])) {
        *ret = (struct mpi_finding){.family = MPI_FAMILY_MPIRUN};
        (void)snprintf(ret->object, sizeof ret->object, "%s", argv[0]);
        return true;
    }
    if (is_shell(argv[0]))
        return look_at_shell(f, argv, depth, ret);
    if (!mpi_find_program(f, argv[0], path) || !mpi_find_is_new(f, path))
        return false;
    if (is_compiler(argv[0]))
        return look_at_compiler(f, path, ret);
    if (is_python(argv[0]))
        return look_at_python(f, path, ret);
    if (mpi_find_begins(f, path, ELF_MAGIC))
        return mpi_find_linked(f, path, ret);
    return look_at_script(f, path, false, depth, ret);
}

/* ---- the choice ---- */

/* What the image has; both kinds: that of which more is there to be found. */
static bool look_at_image(struct mpi_find *f, struct mpi_finding *ret)
{
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(library_names); i++)
        if (mpi_find_library(f, library_names[i], NULL, "", ret->object)) {
            ret->family = mpi_family_of_library(library_names[i]);
            (void)snprintf(ret->library, sizeof ret->library, "%s", library_names[i]);
            return true;
        }
    return false;
}

#define CUT_SHORT "the command names more files than are looked at"

static const char *family_words(enum mpi_family family)
{
    return family == MPI_FAMILY_OPEN_MPI ? "Open MPI" : "MPICH or one of its kind";
}

static void write_reason(const struct mpi_finding *found, bool in_image, bool cut_short,
                         enum rendezvous_wireup wireup, char *to, size_t size)
{
    if (found->family == MPI_FAMILY_NONE)
        (void)snprintf(to, size, "%sno MPI library was found",
                       cut_short ? CUT_SHORT ", and among the first " : "");
    else if (found->family == MPI_FAMILY_MPIRUN)
        (void)snprintf(to, size, "the command calls %.100s, which starts %s", found->object,
                       wireup == RENDEZVOUS_WIREUP_RSH
                           ? "the ranks: it runs once, in pod-0"
                           : "ranks of its own: the wire-up rsh is for that");
    else if (in_image)
        (void)snprintf(to, size, "%s, and the image has %.200s (%s)",
                       cut_short ? CUT_SHORT : "the command does not tell", found->object,
                       family_words(found->family));
    else
        (void)snprintf(to, size, "%.200s needs %.100s (%s)", found->object, found->library,
                       family_words(found->family));
}

void mpi_wireup_choose(const struct mpi_wireup_input *in, enum rendezvous_wireup asked,
                       struct mpi_wireup *ret)
{
    cleanup_free struct mpi_finding *found = calloc(1, sizeof *found);
    struct mpi_find f;
    char reason[MPI_WIREUP_WORDS_MAX - 80] = "memory is short";
    bool in_image = false;
    *ret = (struct mpi_wireup){.wireup = asked};
    if (found) {
        mpi_find_init(&f, in);
        if (!look_at_command(&f, in->command, 0, found)) {
            *found = (struct mpi_finding){.family = MPI_FAMILY_NONE};
            ret->cut_short = f.is_cut;
            f.calls = 0; /* the image is asked whatever the command has cost */
            in_image = look_at_image(&f, found);
        }
        mpi_find_release(&f);
        ret->family = found->family;
        ret->of_image = in_image;
        (void)snprintf(ret->library, sizeof ret->library, "%s",
                       in_image ? found->object : found->library);
        (void)snprintf(ret->file, sizeof ret->file, "%s", in_image ? found->object : found->file);
    }
    if (asked == RENDEZVOUS_WIREUP_AUTO)
        ret->wireup = ret->family == MPI_FAMILY_OPEN_MPI ? RENDEZVOUS_WIREUP_PMIX
                      : ret->family == MPI_FAMILY_MPIRUN ? RENDEZVOUS_WIREUP_RSH
                                                         : RENDEZVOUS_WIREUP_PMI1;
    if (found)
        write_reason(found, in_image, ret->cut_short, ret->wireup, reason, sizeof reason);
    (void)snprintf(ret->words, sizeof ret->words, "MPI wire-up %s%s: %s",
                   rendezvous_wireup_name(ret->wireup),
                   asked == RENDEZVOUS_WIREUP_AUTO ? "" : ", as the job says", reason);
}
