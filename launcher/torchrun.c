/* Finds torchrun in a command: see torchrun.h. Sources: torch/distributed/{run,launch}.py of
 * PyTorch 1.13 and 2.x; the options of python3(1). */
#include "launcher/torchrun.h"

#include <ctype.h>
#include <string.h>

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool is_one_of(const char *word, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(word, *list) == 0)
            return true;
    return false;
}

static bool is_shell(const char *const *argv)
{
    static const char *const shells[] = {"sh", "bash", "dash", "ash", "zsh", "ksh", NULL};
    return argv[0] && is_one_of(base_name(argv[0]), shells);
}

static bool is_torch_module(const char *name)
{
    static const char *const modules[] = {"torch.distributed.run", "torch.distributed.launch",
                                          NULL};
    return is_one_of(name, modules);
}

/* A python's words: options, then `-m module`, `-c text` or a file. */
static bool is_python_with_torchrun(const char *const *argv)
{
    for (argv++; *argv; argv++) {
        const char *word = *argv;
        if (word[0] != '-')
            return strcmp(base_name(word), "torchrun") == 0;
        if (strncmp(word, "-m", 2) == 0)
            return is_torch_module(word[2] ? word + 2 : argv[1] ? argv[1] : "");
        /* Joined short options may end in m: `-um torch.distributed.run`. */
        size_t length = strlen(word);
        if (word[1] != '-' && word[1] != 'W' && word[1] != 'X' && word[length - 1] == 'm')
            return argv[1] && is_torch_module(argv[1]);
        if (strcmp(word, "-c") == 0)
            return false;
        bool takes_value = strcmp(word, "-W") == 0 || strcmp(word, "-X") == 0;
        if (takes_value && argv[1])
            argv++;
    }
    return false;
}

/* Steps over a command that runs another one; NULL when this one does not. */
static const char *const *behind_wrapper(const char *const *argv)
{
    static const char *const plain[] = {"env",     "nohup", "nice", "numactl",   "stdbuf",
                                        "timeout", "exec",  "tini", "dumb-init", NULL};
    static const char *const with_run[] = {"uv", "poetry", "conda", "pipenv", NULL};
    const char *name = base_name(argv[0]);
    if (is_one_of(name, with_run)) {
        if (!argv[1] || strcmp(argv[1], "run") != 0)
            return NULL;
        argv++;
    } else if (!is_one_of(name, plain)) {
        return NULL;
    }
    for (argv++; *argv; argv++) {
        const char *word = *argv;
        if (word[0] == '-' || strchr(word, '=') || isdigit((unsigned char)word[0]))
            continue; /* an option, an assignment, or a number that belongs to an option */
        break;
    }
    return *argv ? argv : NULL;
}

static bool begins_word(const char *text, size_t at)
{
    return at == 0 || isspace((unsigned char)text[at - 1]) || strchr("/;&|(`'\"{", text[at - 1]);
}

static bool ends_word(const char *text, size_t length, size_t at)
{
    return at >= length || isspace((unsigned char)text[at]) || strchr(";&|)`'\"\\}", text[at]);
}

/* Is there one of the words as a word of its own, outside comments? */
static bool calls_torchrun(const char *text, size_t length)
{
    static const char *const words[] = {"torchrun", "torch.distributed.run",
                                        "torch.distributed.launch", NULL};
    bool comment = false;
    for (size_t at = 0; at < length; at++) {
        if (text[at] == '\n')
            comment = false;
        else if (text[at] == '#' && (at == 0 || isspace((unsigned char)text[at - 1])))
            comment = true;
        if (comment || text[at] != 't' || !begins_word(text, at))
            continue;
        for (const char *const *word = words; *word; word++) {
            size_t n = strlen(*word);
            if (length - at >= n && memcmp(text + at, *word, n) == 0 &&
                ends_word(text, length, at + n))
                return true;
        }
    }
    return false;
}

const char *torchrun_shell_operand(const char *const *argv, bool *ret_is_text)
{
    *ret_is_text = false;
    for (argv++; *argv; argv++) {
        const char *word = *argv;
        if (word[0] != '-' && word[0] != '+')
            return word;
        if (word[0] == '-' && word[1] != '-' && strchr(word, 'c'))
            *ret_is_text = true;
        size_t length = strlen(word);
        if (word[1] != '-' && word[length - 1] == 'o' && argv[1])
            argv++; /* `-o pipefail`, `-euo pipefail` */
    }
    return NULL;
}

bool torchrun_is_command(const char *const *argv)
{
    for (const char *const *next = argv; next && *next; next = behind_wrapper(next)) {
        const char *name = base_name(*next);
        if (strcmp(name, "torchrun") == 0)
            return true;
        if (strncmp(name, "python", 6) == 0 || strncmp(name, "pypy", 4) == 0)
            return is_python_with_torchrun(next);
        if (is_shell(next)) {
            bool is_text;
            const char *operand = torchrun_shell_operand(next, &is_text);
            return operand && is_text && calls_torchrun(operand, strlen(operand));
        }
    }
    return false;
}

const char *const *torchrun_innermost(const char *const *argv)
{
    const char *const *last = argv;
    for (const char *const *next = argv; next && *next; next = behind_wrapper(next))
        last = next;
    return last;
}

bool torchrun_is_shell(const char *const *argv)
{
    return is_shell(torchrun_innermost(argv));
}

const char *torchrun_script_of(const char *const *argv)
{
    const char *const *last = torchrun_innermost(argv);
    if (!*last)
        return NULL;
    if (!is_shell(last))
        return strchr(*last, '/') ? *last : NULL;
    bool is_text;
    const char *operand = torchrun_shell_operand(last, &is_text);
    return is_text ? NULL : operand;
}

bool torchrun_is_script(const char *text, size_t length, bool named_by_shell)
{
    if (!named_by_shell) {
        if (length < 4 || memcmp(text, "#!", 2) != 0)
            return false;
        const char *end = memchr(text, '\n', length);
        size_t line = end ? (size_t)(end - text) : length;
        if (!memmem(text, line, "sh", 2))
            return false;
    }
    return calls_torchrun(text, length);
}

const char *torchrun_nproc_option(const char *const *argv)
{
    for (; *argv; argv++) {
        const char *word = *argv;
        if (strncmp(word, "--nproc_per_node", 16) != 0 &&
            strncmp(word, "--nproc-per-node", 16) != 0)
            continue;
        if (word[16] == '=')
            return word + 17;
        if (word[16] == '\0')
            return argv[1];
    }
    return NULL;
}
