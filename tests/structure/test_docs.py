#!/usr/bin/env python3
"""Holds the documentation to the product: every field of a TrainingJob, every variable of a rank, every subcommand and
option of `mltrain` is told somewhere, and links between the pages lead somewhere. What is told is a person's business; that
nothing is forgotten is this test's."""
import glob
import os
import re
import sys

ROOT = os.environ.get("MLTRAIN_SOURCE_DIR", os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


def word_in(word, text):
    """The word by itself: `path` is not told by `resumePath` or `path-like`."""
    return re.search(r"(?<![\w-])" + re.escape(word) + r"(?![\w-])", text) is not None


# ---- fields ----

def yaml_keys(text, path):
    """The keys directly below `path` in block YAML. The CRD is written plainly, so indentation says it all, and the test needs no YAML
    library. Keys in flow style, such as {replicas: ...}, stand alone on their line or behind an anchor: their names count too."""
    lines, at, indent = text.splitlines(), 0, -1
    for key in path:
        for at in range(at, len(lines)):
            match = re.match(r"^( *)(?:- )?" + re.escape(key) + r":", lines[at])
            if match and len(match.group(1)) > indent:
                indent = len(match.group(1))
                at += 1
                break
        else:
            raise KeyError("/".join(path))
    child = None
    for line in lines[at:]:
        match = re.match(r"^( *)([A-Za-z][\w-]*):", line)
        depth = len(line) - len(line.lstrip())
        if line.strip() and not line.lstrip().startswith("#") and depth <= indent:
            return
        if match:
            child = depth if child is None else child
            if depth == child:
                yield match.group(2)


def spec_fields(crd):
    """spec.x and spec.x.y, as (x, y or None)."""
    top = ["schema", "openAPIV3Schema", "properties", "spec", "properties"]
    for name in list(yaml_keys(crd, top)):
        yield name, None
        try:
            children = list(yaml_keys(crd, top + [name, "properties"])) if below(crd, top + [name], "properties") else []
        except KeyError:
            children = []
        for child in children:
            yield name, child


def below(crd, path, key):
    return key in yaml_keys(crd, path)


def missing_fields(crd, page):
    for name, child in spec_fields(crd):
        told = word_in(name, page) if child is None else \
            word_in(f"{name}.{child}", page) or re.search(rf"{name}: *{{[^}}]*\b{child}:", page)
        if not told:
            yield f"docs/trainingjob.md does not tell of spec.{name}" + (f".{child}" if child else "")


# ---- variables ----

def variables(source):
    """Names that rank_env.c sets: the first string of set(), set_number() and set_default()."""
    return sorted(set(re.findall(r"\bset(?:_number|_default)?\(b, \"(\w+)\"", source)))


def missing_variables(source, page):
    for name in variables(source):
        if not word_in(name, page):
            yield f"docs/environment.md does not tell of {name}"


# ---- commands and options ----

def commands(source):
    return re.findall(r"^    \{\"([a-z]+)\",\s", source, re.M)


def options(source):
    """Long options of argp tables that are shown: those that are hidden, and headings without a name, need no words."""
    for entry in re.findall(r"\{(\.(?:name|doc)\s*=.*?)\}(?=\s*[,;}])", source, re.S):
        name = re.search(r"\.name = \"([\w-]+)\"", entry)
        if name and ".key" in entry and "OPTION_HIDDEN" not in entry:
            yield name.group(1), ".doc" in entry or "OPTION_ALIAS" in entry


def missing_commands(main, pages):
    for name in commands(main):
        if not re.search(rf"mltrain (\w+ \| )*{name}\b|`{name}`", pages):
            yield f"no page tells of `mltrain {name}`"


def missing_options(sources, pages):
    """An option's own words in --help are enough."""
    for file, source in sources:
        for name, has_words in options(source):
            if not has_words and f"--{name}" not in pages:
                yield f"{file}: --{name} has no words in --help, and no page tells of it"


# ---- links ----

def anchors(text):
    """As GitHub makes them of headings."""
    for heading in re.findall(r"^#+ +(.+)$", text, re.M):
        plain = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
        yield plain.replace(" ", "-")


def without_code(text):
    return re.sub(r"^( *)```.*?^\1```", "", text, flags=re.S | re.M)


def broken_links(name, text, exists, read_page):
    for target in re.findall(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)", without_code(text)):
        if re.match(r"^[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        full = os.path.normpath(os.path.join(os.path.dirname(name), path)) if path else name
        if not exists(full):
            yield f"{name}: {target} leads nowhere"
        elif anchor and full.endswith(".md") and anchor not in anchors(read_page(full)):
            yield f"{name}: {target}: no such heading"


def dead_paths(name, text, exists):
    """Names of pages in code, such as `docs/trainingjob.md`: from the root, or from the page's own folder."""
    for path in re.findall(r"`([\w./-]+\.md)`", text):
        if not exists(path) and not exists(os.path.join(os.path.dirname(name), path)):
            yield f"{name}: `{path}` is not there"


# ---- the test of the test ----

def test_of_the_test():
    crd = read("crds/trainingjobs.yaml")
    fields = list(spec_fields(crd))
    for known in (("queue", None), ("workers", "template"), ("workers", "replicas"), ("checkpoint", "repair"), ("failurePolicy", "rules"),
                  ("mpi", "wireup"), ("successPolicy", None)):
        assert known in fields, f"the CRD's {known} is not seen"
    assert ("checkpoint", "type") not in fields and ("phase", None) not in fields, "more is seen than fields"
    assert list(missing_fields(crd, "queue")), "a page without fields passes"
    env = 'set(b, "RANK", "1"); set_number(b, "NEW_ONE", 1); set_default(b, "SOFT", "1");'
    assert variables(env) == ["NEW_ONE", "RANK", "SOFT"] and list(missing_variables(env, "RANK SOFT NEW_ONE_MORE")) == [
        "docs/environment.md does not tell of NEW_ONE"]
    assert len(variables(read("launcher/rank_env.c"))) >= 30, "the variables of rank_env.c are not seen"
    main = '    {"run", cli_run, "x"},\n    {"gone", cli_gone, "x"},\n'
    assert list(missing_commands(main, "mltrain run")) == ["no page tells of `mltrain gone`"]
    table = ('static const struct argp_option t[] = {\n {.name = "told", .key = 1, .doc = "words"},\n {.name = "bare", .key = 2},\n'
             ' {.name = "hidden", .key = 3, .flags = OPTION_HIDDEN},\n {0}};')
    assert list(missing_options([("x.c", table)], "")) == ["x.c: --bare has no words in --help, and no page tells of it"]
    assert not list(missing_options([("x.c", table)], "--bare"))
    pages = {"docs/a.md": "# A page\n", "b.md": "x"}
    links = list(broken_links("b.md", "[1](docs/a.md#a-page) [2](docs/a.md#none) [3](no.md) [4](https://x.y)", pages.__contains__, pages.get))
    assert links == ["b.md: docs/a.md#none: no such heading", "b.md: no.md leads nowhere"], links
    assert list(dead_paths("b.md", "`docs/a.md` `c.md`", pages.__contains__)) == ["b.md: `c.md` is not there"]


def main():
    test_of_the_test()
    names = [os.path.relpath(path, ROOT) for path in glob.glob(os.path.join(ROOT, "**", "*.md"), recursive=True)]
    names = sorted(name for name in names if name.split(os.sep)[0] not in ("build", "shared"))
    pages = "\n".join(read(name) for name in names)
    sources = [(os.path.relpath(path, ROOT), open(path, encoding="utf-8").read()) for path in sorted(glob.glob(os.path.join(ROOT, "cli", "**", "*.c"), recursive=True))]
    exists = lambda name: os.path.exists(os.path.join(ROOT, name))
    wrong = list(missing_fields(read("crds/trainingjobs.yaml"), read("docs/trainingjob.md")))
    wrong += missing_variables(read("launcher/rank_env.c"), read("docs/environment.md"))
    wrong += missing_commands(read("cli/main.c"), pages)
    wrong += missing_options(sources, pages)
    for name in names:
        wrong += broken_links(name, read(name), exists, read)
        wrong += dead_paths(name, read(name), exists)
    told = sum(1 for _, source in sources for _ in options(source))
    print("\n".join(wrong) or f"{len(names)} pages tell of every field, variable, command and option ({told}), and their links lead somewhere")
    return 1 if wrong or len(commands(read("cli/main.c"))) < 10 or told < 20 else 0


sys.exit(main())
