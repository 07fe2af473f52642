#!/usr/bin/env python3
"""Checks that the tree keeps the rules of CONTRIBUTING.md; prints what does not.

    check_style.py SOURCE-ROOT [BUILD-ROOT]

With a build it also reads the objects and libraries in it. Exit status: 0 if all is well.
"""
import glob
import os
import shutil
import subprocess
import sys

import style_objects
import style_text

# Fences are part of libetx-participant each where its database's library was there.
FENCES = ("etx_fence_sqlite_", "etx_fence_postgres_")
TOLD_MAX = 5  # findings printed of one rule in one file


def check_build(source_root, build_root):
    """Yields (name of the rule, findings) for each rule about what was built."""
    objects = style_objects.objects_of(build_root, source_root)
    yield "globals", style_objects.check_globals(objects)
    yield "core", style_objects.check_core(objects)
    yield "symbols", style_objects.check_names(objects)
    headers = sorted(os.path.join("include", "etx", name)
                     for name in os.listdir(os.path.join(source_root, "include", "etx")))
    fence = [header for header in headers if header.endswith("/fence.h")]
    module = [header for header in headers
              if header.endswith(("/codec_json.h", "/log_mariadb.h", "/log_postgres.h",
                                  "/log_redis.h"))]
    engine = [header for header in headers if header not in fence + module]
    modules = set()
    for module in glob.glob(os.path.join(build_root, "*_*.so")):
        modules |= style_objects.exports(module)
    for name, declared in (("libetx", engine), ("libetx-participant", fence)):
        libraries = [path for path in glob.glob(
            os.path.join(build_root, "**", name + ".so*"), recursive=True)
            if os.path.isfile(path) and not os.path.islink(path)
            and not path.endswith(".symbols")]
        if not libraries and name == "libetx":
            yield "exports", [style_text.Finding(name, 1, "the shared library was not built")]
        for library in libraries:
            yield "exports", style_objects.check_exports(source_root, library, declared, modules,
                                                         FENCES)


def check_tools(source_root):
    """Yields (name of the rule, findings) for rules that need a tool; says which it lacks."""
    cc = shutil.which("gcc") or shutil.which("cc")
    cxx = shutil.which("g++") or shutil.which("c++")
    if cxx is None:
        print("not checked: headers as C++17 (no C++ compiler)")
    yield "headers", style_objects.check_headers_alone(source_root, cc, cxx)
    tool = shutil.which("clang-format")
    version = "" if tool is None else subprocess.run(
        [tool, "--version"], capture_output=True, text=True, check=False).stdout
    if " version 14." in version:
        yield "format", style_objects.check_format(source_root, tool)
    else:
        print("not checked: format (clang-format 14 is not installed; others format otherwise)")


def main():
    source_root = sys.argv[1]
    rules = [("text", style_text.check_tree(source_root))]
    rules += check_tools(source_root)
    if len(sys.argv) > 2:
        rules += check_build(source_root, sys.argv[2])
    else:
        print("not checked: globals, core, symbols, exports (no build was named)")
    count = 0
    told = {}
    for rule, findings in rules:
        for finding in findings:
            count += 1
            told[(rule, finding.path)] = told.get((rule, finding.path), 0) + 1
            if told[(rule, finding.path)] <= TOLD_MAX:
                print(f"{finding} [{rule}]")
    for (rule, path), number in told.items():
        if number > TOLD_MAX:
            print(f"{path}: and {number - TOLD_MAX} more [{rule}]")
    print(f"{count} findings" if count else "the tree keeps the rules")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
