#!/usr/bin/env python3
"""cuda_stubs.py SITE_PACKAGES: the libraries of CUDA that PyPI's torch for Linux is linked to, so that it can be imported without
the 4 GB of packages that hold them. Each of their functions, under the name and version that torch asks for, only gives 100
(cudaErrorNoDevice), which is what a machine without a GPU says. Needs cc and readelf."""
import glob
import os
import re
import subprocess
import sys
import tempfile

LIBRARIES = re.compile(r"lib(cu|nv|nccl)")
FUNCTIONS = re.compile(r"(__cuda|cu|nv|nccl)")


def read(option, file):
    return subprocess.run(["readelf", option, "-W", file], capture_output=True, text=True, check=True).stdout


def look(files):
    """What is needed: names of libraries, functions by library and version, and functions without a version."""
    needed, versioned, plain = set(), {}, set()
    for file in files:
        needed |= {name for name in re.findall(r"NEEDED.*\[(.*)\]", read("-d", file)) if LIBRARIES.match(name)}
        library, library_of = "", {}
        for line in read("-V", file).splitlines():
            found = re.search(r"File: (\S+)", line)
            library = found[1] if found else library
            found = re.search(r"Name: (\S+) .*Version: \d+", line)
            if found and library:
                library_of[found[1]] = library
        for line in read("--dyn-syms", file).splitlines():
            words = line.split()
            if len(words) < 8 or words[6] != "UND":
                continue
            name, _, version = words[7].partition("@")
            version = version.strip("@")
            library = library_of.get(version, "")
            if LIBRARIES.match(library):
                versioned.setdefault(library, {}).setdefault(version, set()).add(name)
            elif not version and FUNCTIONS.match(name):
                plain.add(name)
    return needed, versioned, plain


def build(library, versions, plain, folder):
    names = set(plain).union(*versions.values())
    code = "".join(f"int {name}(void) {{ return 100; }}\n" for name in sorted(names))
    command = ["cc", "-w", "-shared", "-fPIC", f"-Wl,-soname,{library}", "-o", f"{folder}/{library}", "-x", "c", "-"]
    with tempfile.NamedTemporaryFile("w", suffix=".map") as script:
        for version, own in versions.items():
            script.write(f"{version} {{ global: {'; '.join(sorted(own))}; }};\n")
        script.flush()
        if versions:
            command.append(f"-Wl,--version-script={script.name}")
        subprocess.run(command, input=code, text=True, check=True)


def main():
    folder = f"{sys.argv[1]}/torch/lib"
    files = glob.glob(f"{folder}/*.so*")
    needed, versioned, plain = look(files)
    # A function without a version may be any library's: the first that is loaded has all of them.
    missing = sorted(needed - {os.path.basename(file) for file in files})
    for library in missing:
        build(library, versioned.get(library, {}), plain if library.startswith("libnccl") else set(), folder)
    print(f"{len(missing)} libraries of CUDA are replaced by empty ones")


if __name__ == "__main__":
    main()
