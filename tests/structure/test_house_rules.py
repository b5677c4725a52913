#!/usr/bin/env python3
"""The house rules that a script can check: banned functions, long functions, files and lines, a head comment in every
source file, guards in headers, no test switches in the product, nothing that speaks of anything but the project."""
import os
import re
import subprocess
import sys

ROOT = os.environ.get("MLTRAIN_SOURCE_DIR", os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BANNED = {
    r"\bcJSON_GetObjectItem\s*\(": "ignores case: json_member()",
    r"\bvalueint\b": "loses large numbers: json_is_integer()",
    r"\b(atoi|atol|atoll)\s*\(": "no errors: mlt_parse_integer()",
    r"\b(strcpy|strncpy|sprintf|vsprintf|gets|strtok|localtime|gmtime|asctime|ctime|system|popen|tmpnam|mktemp)\s*\(": "banned",
    r"\b(if|while)\s*\(\s*\(?\s*[A-Za-z_][\w.>\[\]-]*\s=\s[^=]": "assignment in a condition",
    r"#\s*if(def|ndef)?\s+.*\b(TEST|TESTING|UNIT_TEST)\b": "no switches for tests in the product",
}
ONLY_IN_JSON = {r"\bcJSON_(Parse|ParseWithLength|ParseWithOpts|Print|PrintUnformatted|PrintBuffered)\s*\(": "only lib/json"}
# Built from pieces so that this file does not find itself.
FOREIGN = re.compile("|".join(("/" + "work/", r"(?<![\w}])/" + "root/", r"\bsub" + r"agent\b", r"\bTO" + r"DO\b", r"\bFIX" + r"ME\b")))
# Under pipefail; a shell within the script (sh -c) has none.
HASTY_GREP = re.compile(r"[^|]\|\s*grep -[a-zA-Z]*q")
INNER_SHELL = re.compile(r"""\bsh -c ('[^'\n]*'|"[^"\n]*")""")
FUNCTION_MAX, FILE_MAX, LINE_MAX = 70, 800, 120


def files():
    out = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard"], check=True, capture_output=True, text=True)
    return [name for name in out.stdout.splitlines() if os.path.isfile(os.path.join(ROOT, name))]


def long_functions(text):
    start = None
    for number, line in enumerate(text.splitlines(), 1):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            if number - start - 1 > FUNCTION_MAX:
                yield start, number - start - 1
            start = None


def without_comments(text):
    blank = lambda match: re.sub(r"[^\n]", " ", match.group(0))
    text = re.sub(r"/\*.*?\*/", blank, text, flags=re.S)
    text = re.sub(r'"(\\.|[^"\\\n])*"', '""', text)
    return re.sub(r"//[^\n]*", blank, text)


def check_source(name, text):
    product = not name.startswith(("tests/", "bench/", "examples/"))
    if not text.lstrip().startswith("/*"):
        yield f"{name}: does not open with a comment that says what it is for"
    if name.endswith(".h") and not re.search(r"#ifndef \w+_H\n#define \w+_H", text):
        yield f"{name}: no include guard"
    lines = text.splitlines()
    if len(lines) > FILE_MAX:
        yield f"{name}: {len(lines)} lines, more than {FILE_MAX}"
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_MAX:
            yield f"{name}:{number}: {len(line)} columns"
    if product:
        for start, length in long_functions(text):
            yield f"{name}:{start}: function of {length} lines, more than {FUNCTION_MAX}"
    code = without_comments(text)
    rules = dict(BANNED)
    if not name.startswith("lib/json/"):
        rules.update(ONLY_IN_JSON)
    if product:
        for pattern, why in rules.items():
            for match in re.finditer(pattern, code):
                yield f"{name}:{code.count(chr(10), 0, match.start()) + 1}: {match.group(0).strip()}: {why}"


def check_script(name, text):
    for number, line in enumerate(text.splitlines(), 1):
        if not line.lstrip().startswith("#") and HASTY_GREP.search(INNER_SHELL.sub("", line)):
            yield f"{name}:{number}: | grep -q fails by SIGPIPE now and then: finds (tests/finds.sh)"


def main():
    wrong, count = [], 0
    for name in files():
        try:
            with open(os.path.join(ROOT, name), encoding="utf-8") as file:
                text = file.read()
        except UnicodeDecodeError:
            continue
        count += 1
        if text.startswith("#!") and not os.access(os.path.join(ROOT, name), os.X_OK):
            wrong.append(f"{name}: a script that cannot be run (mode)")
        if text.startswith("#!") and "bash" in text[:40] or name.endswith(".sh"):
            wrong += check_script(name, text)
        if name.endswith((".c", ".h")):
            wrong += check_source(name, text)
        if not name.startswith("tests/fuzz/corpus/") and name not in ("LICENSE", "tests/structure/test_house_rules.py"):
            for match in FOREIGN.finditer(text):
                wrong.append(f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match.group(0)}")
    print("\n".join(wrong) or f"{count} files keep the house rules")
    # The test of the test.
    assert list(check_source("gang/x.c", "/* x */\nint f(void)\n{\n    return atoi(s);\n}\n"))
    assert list(check_script("x.sh", "a || b\nmltrain logs x | grep -qx y\n"))
    assert not list(check_script("x.sh", "a || grep -q b c\nsh -c 'mltrain logs x | grep -q y' | tail\n"))
    assert list(long_functions("int f(void)\n{\n" + "    x();\n" * (FUNCTION_MAX + 1) + "}\n"))
    return 1 if wrong or count == 0 else 0


sys.exit(main())
