"""The rules of style that can be told from the text of files. Each returns a list of findings."""
import os
import re

C_LINES_MAX = 600
HEADER_LINES_MAX = 300
FUNCTION_LINES_MAX = 70
LINE_CHARACTERS_MAX = 100

BANNED = ("strcpy", "strcat", "sprintf", "strtok", "gets", "atoi", "rand", "alloca", "vsprintf")
# Put together here, so that this file does not hold what it looks for.
LEFT_OVER = ("TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK")
MACHINE_PATHS = tuple("/" + name + "/" for name in ("wo" + "rk", "ro" + "ot", "fa" + "rm"))

BANNED_CALL = re.compile(r"(?<![\w.>])(%s)\s*\(" % "|".join(BANNED))
LEFT_OVER_WORD = re.compile(r"\b(%s)\b" % "|".join(LEFT_OVER))
MACHINE_PATH = re.compile(r"(?<![\w.\]})*$-])(%s)" % "|".join(MACHINE_PATHS))
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
STRING_OR_COMMENT = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


class Finding:
    """A rule that a line breaks."""

    def __init__(self, path, line, text):
        self.path, self.line, self.text = path, line, text

    def __str__(self):
        return f"{self.path}:{self.line}: {self.text}"


def source_files(root):
    """Yields the paths, relative to root, of all text files of the tree; builds left out."""
    for folder, names, files in os.walk(root):
        names[:] = sorted(
            name for name in names
            if name not in (".git", "__pycache__", "subprojects")
            and not os.path.exists(os.path.join(folder, name, "meson-private"))
            and not (folder == root and name.startswith("build")))
        for name in sorted(files):
            path = os.path.join(folder, name)
            if os.path.islink(path) or not os.path.isfile(path):
                continue
            if folder == root and name == ".git":
                continue
            yield os.path.relpath(path, root)


def read_text(path):
    """The text of a file, or None if it is not text."""
    with open(path, "rb") as file:
        data = file.read()
    if b"\0" in data:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def strip_c(text):
    """The code without comments and without what stands in quotes; lines keep their numbers."""

    def blank(match):
        found = match.group(0)
        if found[0] == "/":
            return " " + "\n" * found.count("\n")
        return found[0] + found[-1]

    return STRING_OR_COMMENT.sub(blank, text)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def check_lengths(path, text):
    """Files, lines and functions are short."""
    findings = []
    lines = text.splitlines()
    is_c = path.endswith((".c", ".h"))
    if not is_c and not path.endswith(".py"):
        return findings
    limit = HEADER_LINES_MAX if path.endswith(".h") else C_LINES_MAX
    if len(lines) > limit:
        findings.append(Finding(path, limit, f"{len(lines)} lines; a file has at most {limit}"))
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_CHARACTERS_MAX:
            findings.append(Finding(
                path, number, f"{len(line)} characters; a line has at most {LINE_CHARACTERS_MAX}"))
    if is_c:
        for name, first, last in functions(text):
            if last - first + 1 > FUNCTION_LINES_MAX:
                findings.append(Finding(
                    path, first, f"function {name} has {last - first + 1} lines; at most "
                    f"{FUNCTION_LINES_MAX}"))
    return findings


def functions(text):
    """Yields (name, first line, last line) of every function body at file scope."""
    code = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: "\n" * m.group(0).count("\n"),
                  strip_c(text), flags=re.MULTILINE)
    code = re.sub(r'extern\s+""\s*\{', lambda m: " " * len(m.group(0)), code)
    depth, start, name = 0, None, None
    head = 0
    for match in re.finditer(r"[{};]", code):
        position, mark = match.start(), match.group(0)
        if mark == "{":
            if depth == 0:
                before = code[head:position]
                found = re.search(r"(\w+)\s*\([^{}]*\)\s*(?:__attribute__\s*\(.*\)\s*)?$", before,
                                  re.DOTALL)
                if found and "=" not in before[:found.start()]:
                    name = re.search(r"(\w+)\s*\(", before).group(1)
                    start = head + len(before) - len(before.lstrip())
            depth += 1
        elif mark == "}":
            depth = max(depth - 1, 0)
            if depth == 0:
                if start is not None:
                    yield name, line_of(code, start), line_of(code, position)
                start = None
                head = position + 1
        elif depth == 0:
            head = position + 1


def check_banned(path, text):
    """No function that is easily misused."""
    if not path.endswith((".c", ".h")):
        return []
    code = strip_c(text)
    return [Finding(path, line_of(code, match.start()), f"{match.group(1)} is banned")
            for match in BANNED_CALL.finditer(code)]


def check_left_over(path, text):
    """Nothing is left for later, and no path of somebody's machine."""
    findings = []
    for number, line in enumerate(text.splitlines(), 1):
        for match in LEFT_OVER_WORD.finditer(line):
            findings.append(Finding(path, number, f"'{match.group(1)}' is left over"))
        for match in MACHINE_PATH.finditer(line):
            findings.append(Finding(path, number, f"a path of some machine: {match.group(1)}"))
    return findings


def check_first_line(path, text):
    """The first line says what the file is."""
    lines = text.splitlines() or [""]
    first = lines[0]
    script = first.startswith("#!")
    if script:
        first = lines[1] if len(lines) > 1 else ""
    if path.endswith((".c", ".h")):
        good = first.startswith("/*") and len(first.strip("/* ")) > 0
    elif path.endswith(".py") or (script and "python" in lines[0]):
        good = first.startswith(('"""', "# ")) and len(first) > 4
    elif script or path.endswith(".sh"):
        good = first.startswith("# ")
    else:
        return []
    return [] if good else [Finding(path, 1, "the first line does not say what the file is")]


def enumerators(texts):
    """The names of all our own enumerators: from enum bodies, and all that begin with ETX_."""
    names = set()
    for text in texts:
        for body in re.findall(r"\benum\b[^{};()]*\{([^{}]*)\}", strip_c(text)):
            names.update(re.findall(r"(?:^|,)\s*([A-Za-z_]\w*)\s*(?:=[^,]*)?(?=,|$)", body))
    return names


def check_switches(path, text, own):
    """No `default:` in a switch that names one of our own enumerators: then the compiler tells
    where a new one must be handled."""
    if not path.endswith((".c", ".h")):
        return []
    code = strip_c(text)
    findings = []
    for match in re.finditer(r"\bswitch\s*\(", code):
        labels, default = switch_labels(code, match.end())
        named = [label for label in labels if label in own or label.startswith("ETX_")]
        if default is not None and named:
            findings.append(Finding(
                path, line_of(code, default),
                f"default: in a switch over our own enumerators ({named[0]}...)"))
    return findings


def switch_labels(code, position):
    """The case labels of the switch whose parenthesis opens before position, and where its
    default stands (or None). Those of switches inside it are left out."""
    body = code.find("{", position)
    depth, labels, default, inner = 0, [], None, []
    token = re.compile(r"[{}]|\bswitch\b|\bcase\b\s*([^:?]*):|\bdefault\s*:")
    for match in token.finditer(code, body if body >= 0 else len(code)):
        word = match.group(0)
        if word == "{":
            depth += 1
        elif word == "}":
            depth -= 1
            while inner and depth <= inner[-1]:
                inner.pop()
            if depth == 0:
                break
        elif word == "switch":
            inner.append(depth)
        elif not inner:
            if word.startswith("case"):
                labels.append(match.group(1).strip().split()[-1].strip("()"))
            else:
                default = match.start()
    return labels, default


# ---- who may include whom

FREESTANDING = {"stddef.h", "stdint.h", "stdbool.h", "limits.h"}
CORE_SYSTEM = FREESTANDING | {"string.h"}
# What net/ may need beside itself (the C library, the parser, OpenSSL), and what others may of it.
NET_SYSTEM = re.compile(
    r"^((openssl|sys|netinet|arpa)/\w+|http_parser|errno|fcntl|limits|netdb|pthread|sched|signal|stdarg"
    r"|stdatomic|stdbool|stddef|stdint|stdio|stdlib|string|strings|time|unistd)\.h$")
NET_PARTICIPANT = "src/integration/participant"
NET_PUBLIC = {f"net/{name}.h" for name in (
    "address", "client", "error", "http", "loop", "server", "tls", "url")}
CORE_PROTOCOL = {"src/protocol/assert.h", "src/protocol/copy.h", "src/protocol/hash.h"}


def layer_of(path):
    """The part of the tree whose rule of includes holds for the file, or None."""
    parts = path.split("/")
    if parts[0] == "src" and len(parts) > 2:
        return "/".join(parts[:3]) if parts[1] == "integration" else "/".join(parts[:2])
    if parts[0] in ("cli", "etxd", "examples", "bench", "include", "net"):
        return parts[0]
    return None


def resolve(root, path, name):
    """The file of the tree that an include names, or None: then it is a system header."""
    folders = [os.path.dirname(path), "", "src", "include"]
    folders += ["src/core", "src/runtime", "src/protocol"]
    for folder in folders:
        candidate = os.path.normpath(os.path.join(folder, name))
        if os.path.isfile(os.path.join(root, candidate)):
            return candidate
    return None


def may_include(layer, path, target):
    """Whether a file of that layer may include the target, a file of the tree."""
    if layer == "net":
        return target.startswith("net/")
    if target.startswith("include/etx/"):
        return True
    if target in NET_PUBLIC and layer in ("cli", "etxd", "bench", NET_PARTICIPANT):
        return True
    if layer == "include":
        return False
    if target.startswith(layer + "/"):
        return True
    if layer == "src/core":
        return target in CORE_PROTOCOL
    if layer == "src/runtime":
        return target.startswith(("src/core/", "src/protocol/"))
    return False


def check_includes(root, path, text):
    """Includes follow ARCHITECTURE.md."""
    layer = layer_of(path)
    if layer is None or not path.endswith((".c", ".h")):
        return []
    findings = []
    for match in INCLUDE.finditer(text):
        quote, name = match.groups()
        line = line_of(text, match.start(1))
        target = resolve(root, path, name) if quote == '"' or "/" in name else None
        if target is not None:
            if not may_include(layer, path, target):
                findings.append(Finding(path, line, f"{layer} must not include {target}"))
        elif quote == '"':
            findings.append(Finding(path, line, f'"{name}" is not in the tree'))
        elif layer == "src/core" and name not in CORE_SYSTEM:
            findings.append(Finding(path, line, f"{layer} must not include <{name}>"))
        elif layer == "net" and not NET_SYSTEM.match(name):
            findings.append(Finding(path, line, f"{layer} must not include <{name}>"))
        elif layer == "include" and name not in FREESTANDING:
            findings.append(Finding(path, line, f"a public header must not include <{name}>"))
    return findings


def check_tree(root):
    """All rules, on all files of the tree."""
    texts = {}
    for path in source_files(root):
        text = read_text(os.path.join(root, path))
        if text is not None:
            texts[path] = text
    own = enumerators(text for path, text in texts.items() if path.endswith((".c", ".h")))
    findings = []
    for path, text in texts.items():
        findings += check_lengths(path, text)
        findings += check_banned(path, text)
        findings += check_left_over(path, text)
        findings += check_first_line(path, text)
        findings += check_switches(path, text, own)
        findings += check_includes(root, path, text)
    return findings
