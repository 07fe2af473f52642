"""The rules of style that are told from what the compiler made: objects, libraries, headers.

The build's compile_commands.json says which object came from which source, so that no name of a
target stands here. Objects are read with nm and objdump.
"""
import functools
import json
import os
import re
import subprocess
import tempfile

from style_text import Finding, source_files, strip_c

# What the core may need: bytes and strings, and what the compiler puts in by itself.
PURE = re.compile(r"^(mem|str)[a-z]+$|^__(mem|str)\w+_chk$|^etx__assert_failed$"
                  r"|^__stack_chk_fail$|^_GLOBAL_OFFSET_TABLE_$")
DEFINED = re.compile(r"^(?:[0-9a-f]+)? *([A-Za-z]) (\S+)$")
WRITABLE = re.compile(r"^(\.data(?!\.rel\.ro)|\.bss|\.tdata|\.tbss|\*COM\*)")


# Excepted from "no variable outlives a function": CONTRIBUTING.md says why.
VARIABLES = {("src/runtime/message.c", "no_engine")}


def run(*command):
    """The command's standard output; an error with its standard error if it fails."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def objects_of(build_root, source_root):
    """{source relative to the tree: [objects]} of all that is built, but for what -flto compiles:
    that is no machine code yet, and stands beside one that is."""
    with open(os.path.join(build_root, "compile_commands.json"), encoding="utf-8") as file:
        commands = json.load(file)
    objects = {}
    for command in commands:
        if "-flto" in re.split(r"[ =]", command["command"]):
            continue
        source = os.path.join(command["directory"], command["file"])
        output = os.path.join(command["directory"], command["output"])
        path = os.path.relpath(os.path.realpath(source), os.path.realpath(source_root))
        if os.path.exists(output) and output.endswith(".o") and not path.startswith(".."):
            objects.setdefault(path, []).append(output)
    return objects


@functools.lru_cache(maxsize=None)
def symbols(path, *options):
    """[(type, name)...] as nm says them; versions (name@@V) are cut off."""
    found = []
    for line in run("nm", *options, path).splitlines():
        match = DEFINED.match(line.strip())
        if match:
            found.append((match.group(1), match.group(2).split("@")[0]))
    return found


def defined(path):
    return {name for kind, name in symbols(path, "-g") if kind not in "wvU"}


def undefined(path):
    return {name for kind, name in symbols(path, "-g") if kind in "Uwv"}


def writable_objects(path):
    """The names of all variables that can change, local statics among them."""
    names = []
    for line in run("objdump", "-t", path).splitlines():
        match = re.match(r"^[0-9a-f]+ (.{7}) (\S+)\t[0-9a-f]+ (?:\.hidden )?(\S+)$", line)
        if match and WRITABLE.match(match.group(2)) and "d" not in match.group(1):
            names.append(match.group(3))
    return names


def check_globals(objects):
    """No variable outlives a function, but in the file that has main."""
    findings = []
    for source, paths in sorted(objects.items()):
        if not source.startswith(("src/", "net/", "etxd/", "cli/", "examples/")):
            continue
        for path in paths:
            if "main" in defined(path):
                continue
            findings += [Finding(source, 1, f"mutable global: {name}")
                         for name in writable_objects(path) if (source, name) not in VARIABLES]
    return unique(findings)


def check_core(objects):
    """The core, and what it uses of src/protocol, does nothing but compute."""
    findings = []
    own, needs = set(), {}
    protocol, protocol_needs = {}, {}
    for source, paths in objects.items():
        if source.startswith("src/core/"):
            own |= defined(paths[0])
            needs[source] = undefined(paths[0])
        elif source.startswith("src/protocol/"):
            for name in defined(paths[0]):
                protocol[name] = source
            protocol_needs[source] = undefined(paths[0])
    if not needs:
        findings.append(Finding("src/core", 1, "no object of the core was found"))
    seen, queue = set(), sorted((source, name) for source in needs for name in needs[source])
    while queue:
        source, name = queue.pop()
        if name in own or PURE.match(name) or (source, name) in seen:
            continue
        seen.add((source, name))
        provider = protocol.get(name)
        if provider is None:
            findings.append(Finding(source, 1, f"the core needs {name}"))
        else:
            queue += [(provider, other) for other in protocol_needs[provider]]
    return unique(findings)


def check_names(objects):
    """Every symbol that others could see begins with etx_; in net/ with net_, in etxd/ etxd_."""
    findings = []
    for source, paths in sorted(objects.items()):
        prefix = {"src": "etx_", "net": "net_", "etxd": "etxd_"}.get(source.split("/")[0])
        for path in paths if prefix else []:
            findings += [Finding(source, 1, f"symbol {name} does not begin with {prefix}")
                         for name in sorted(defined(path) - {"main"})
                         if not name.startswith(prefix)]
    return unique(findings)


def unique(findings):
    seen = {}
    for finding in findings:
        seen.setdefault(str(finding), finding)
    return list(seen.values())


def api_functions(header_text):
    """The functions that a public header declares with ETX_API."""
    code = strip_c(header_text)
    code = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", "", code, flags=re.MULTILINE)
    names = set()
    for match in re.finditer(r"\bETX_API\b([^;{]*)", code):
        found = re.search(r"\b(\w+)\s*\(", match.group(1))
        if found:
            names.add(found.group(1))
    return names


def exports(library):
    """The names that a shared library gives to others."""
    return {name for kind, name in symbols(library, "-D", "--defined-only") if kind != "A"}


def check_exports(source_root, library, headers, elsewhere=frozenset(), optional=()):
    """A shared library exports what its headers declare with ETX_API, and nothing else; what
    stands in `elsewhere` is exported by modules, which come with a library of their own. Names
    that begin with one of `optional` are all there, or none of them."""
    wanted = set()
    for header in headers:
        with open(os.path.join(source_root, header), encoding="utf-8") as file:
            wanted |= api_functions(file.read())
    wanted -= elsewhere
    found = exports(library)
    for family in optional:
        if not any(name.startswith(family) for name in found):
            wanted = {name for name in wanted if not name.startswith(family)}
    base = os.path.basename(library)
    findings = [Finding(base, 1, f"{name} is declared ETX_API and not exported")
                for name in sorted(wanted - found)]
    findings += [Finding(base, 1, f"{name} is exported and not declared ETX_API")
                 for name in sorted(found - wanted)]
    findings += [Finding(base, 1, f"{name} is declared ETX_API and is no public name")
                 for name in sorted(wanted)
                 if not name.startswith("etx_") or name.startswith("etx__")]
    return findings


def check_headers_alone(source_root, cc, cxx):
    """Every public header compiles by itself, as C11 and as C++17."""
    findings = []
    folder = os.path.join(source_root, "include", "etx")
    languages = [(cc, "c11", ".c")] + ([(cxx, "c++17", ".cc")] if cxx else [])
    with tempfile.TemporaryDirectory() as scratch:
        for header in sorted(os.listdir(folder)):
            if not header.endswith(".h"):
                continue
            for compiler, standard, suffix in languages:
                path = os.path.join(scratch, "header" + suffix)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(f"#include <etx/{header}>\n#include <etx/{header}>\n"
                               "int etx_header_alone(void);\n")
                done = subprocess.run(
                    [compiler, f"-std={standard}", "-Wall", "-Wextra", "-Wpedantic", "-Werror",
                     "-fsyntax-only", "-I", os.path.join(source_root, "include"), path],
                    stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    first = (done.stderr.strip().splitlines() or ["fails"])[0]
                    findings.append(Finding(f"include/etx/{header}", 1,
                                            f"alone, as {standard}: {first}"))
    return findings


def check_format(source_root, tool):
    """Formatting is what the committed .clang-format says."""
    paths = [path for path in source_files(source_root) if path.endswith((".c", ".h"))]
    done = subprocess.run([tool, "--dry-run", "-Werror", "--style=file"] + paths,
                          cwd=source_root, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)
    if done.returncode == 0:
        return []
    wrong = re.findall(r"^(\S+?):(\d+):\d+: error: code should be clang-formatted", done.stderr,
                       re.MULTILINE)
    first = {}
    for path, line in wrong:
        first.setdefault(path, line)
    if not first:
        return [Finding(".clang-format", 1, done.stderr.strip().splitlines()[0])]
    return [Finding(path, int(line), "is not formatted: clang-format -i " + path)
            for path, line in first.items()]
