#!/usr/bin/env python3
"""What a user gets: installs a build, compiles strangers' programs against it, looks at the files.

    test_packaging.py SOURCE-ROOT BUILD-ROOT

One line for each check; exit status 0 if none failed.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

SIZE_MAX = 400 * 1024
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]


class Skip(Exception):
    """A check cannot run here, and why."""


def run(command, env=None, cwd=None):
    """The command's standard output; an error that shows what it said if it fails."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          env=env, cwd=cwd, timeout=120, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n"
                             f"{done.stdout}{done.stderr}")
    return done.stdout


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def code_blocks(path, language):
    """The fenced blocks of that language in a Markdown file."""
    with open(path, encoding="utf-8") as file:
        return re.findall(r"^```%s\n(.*?)^```$" % language, file.read(), re.DOTALL | re.MULTILINE)


class Packaging:
    """The checks, in the order in which they run."""

    def __init__(self, source, build, scratch):
        self.source, self.build, self.scratch = source, build, scratch
        self.prefix = os.path.join(scratch, "usr")
        self.env = dict(os.environ)
        self.library = None
        self.libdir = None

    def install(self):
        """meson install puts everything under a prefix of the user's choice."""
        root = os.path.join(self.scratch, "root")
        run(["meson", "install", "-C", self.build, "--no-rebuild", "--destdir", root])
        found = glob.glob(os.path.join(root, "**", "etx.pc"), recursive=True)
        expect(len(found) == 1, "etx.pc is installed once")
        with open(found[0], encoding="utf-8") as file:
            prefix = re.search(r"^prefix=(.*)$", file.read(), re.MULTILINE).group(1)
        shutil.move(root + prefix, self.prefix)
        pkgconfig = glob.glob(os.path.join(self.prefix, "**", "pkgconfig"), recursive=True)
        self.libdir = os.path.dirname(pkgconfig[0])
        if os.path.exists("/etc/debian_version"):
            expect(os.path.basename(self.libdir) != "lib64", "libraries go where Debian looks")
        self.env["PKG_CONFIG_PATH"] = pkgconfig[0]
        self.env["LD_LIBRARY_PATH"] = self.libdir
        self.library = os.path.realpath(os.path.join(self.libdir, "libetx.so"))

    def files(self):
        """Headers, command and completion are where they belong."""
        wanted = sorted(os.listdir(os.path.join(self.source, "include", "etx")))
        found = sorted(os.listdir(os.path.join(self.prefix, "include", "etx")))
        expect(found == wanted, f"headers: {found}")
        for path in ("bin/etx", "share/bash-completion/completions/etx"):
            expect(os.path.exists(os.path.join(self.prefix, path)), f"{path} is missing")
        output = run([os.path.join(self.prefix, "bin", "etx"), "--version"], self.env)
        expect("0.1.0" in output, "etx --version")

    def manuals(self):
        """Every page of man/ is where `man` looks for it; mandoc has nothing to say of any."""
        wanted = {name for name in os.listdir(os.path.join(self.source, "man"))
                  if re.search(r"\.[1-9]$", name)}
        if not glob.glob(os.path.join(self.prefix, "*bin", "etxd")):
            wanted -= {"etx-cluster.1", "etx-homes.1", "etx-token.1", "etx-top.1", "etxd.8"}
        root = os.path.join(self.prefix, "share", "man")
        found = {name: path for path in glob.glob(os.path.join(root, "man[1-9]", "*"))
                 for name in [re.sub(r"\.gz$", "", os.path.basename(path))]}
        expect(set(found) == wanted, f"installed and wanted differ in {set(found) ^ wanted}")
        for name, path in found.items():
            expect(os.path.dirname(path) == os.path.join(root, "man" + name[-1]), path)
        if shutil.which("mandoc") is None:
            raise Skip("mandoc is not installed (scripts/setup extra)")
        for name, path in found.items():
            # What a page that stands for another includes is beside it here, not in man/.
            said = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", path], cwd=root,
                                  capture_output=True, text=True, check=False).stdout
            told = [line for line in said.splitlines() if ".so is fragile" not in line]
            expect(not told, "\n".join(told))

    def libraries(self):
        """(name, path) of what is installed and shared."""
        for name in ("libetx", "libetx-participant"):
            path = os.path.realpath(os.path.join(self.libdir, name + ".so"))
            if os.path.exists(path):
                yield name, path

    def flags(self, *packages, static=False):
        more = ["--static"] if static else []
        # The build's prefix is not where the files lie now: pkg-config is told.
        output = run(["pkg-config", f"--define-variable=prefix={self.prefix}", *more,
                      "--cflags", "--libs", *packages], self.env)
        return output.split()

    def build_and_run(self, name, compiler, options, code, flags):
        """Compiles a program out of the tree and runs it in a directory of its own."""
        folder = os.path.join(self.scratch, name)
        os.mkdir(folder)
        suffix = ".cc" if "++" in compiler else ".c"
        with open(os.path.join(folder, "program" + suffix), "w", encoding="utf-8") as file:
            file.write(code)
        run([compiler, *options, *STRICT, "program" + suffix, "-o", "program", *flags],
            self.env, folder)
        return run([os.path.join(folder, "program")], self.env, folder)

    def readme(self):
        return code_blocks(os.path.join(self.source, "README.md"), "c")[0]

    def example(self, name):
        with open(os.path.join(self.source, "examples", name), encoding="utf-8") as file:
            return file.read()

    def documents(self):
        """The programs in README.md and docs/getting-started.md are those of examples/."""
        body = self.example("transfer.c").split("\n", 1)[1]
        expect(self.readme().strip() == body.strip(),
               "README.md and examples/transfer.c differ")
        bank = self.example("bank.c")
        blocks = code_blocks(os.path.join(self.source, "docs", "getting-started.md"), "c")
        expect(len(blocks) > 2, "docs/getting-started.md shows code")
        for block in blocks:
            expect(block in bank, "not in examples/bank.c:\n" + block)

    def c_program(self):
        """The README's program, as C11, with what pkg-config says."""
        output = self.build_and_run("c", "gcc", ["-std=c11"], self.readme(), self.flags("etx"))
        expect("COMMITTED" in output, output)

    def cxx_program(self):
        """The README's program, as C++17."""
        if shutil.which("g++") is None:
            raise Skip("g++ is not installed (scripts/setup test)")
        output = self.build_and_run("cxx", "g++", ["-std=c++17"], self.readme(),
                                    self.flags("etx"))
        expect("COMMITTED" in output, output)

    def static_program(self):
        """The same, with the static library: it runs where libetx.so is not."""
        archive = os.path.join(self.libdir, "libetx.a")
        expect(os.path.exists(archive), "libetx.a is installed")
        flags = [archive if flag == "-letx" else flag for flag in self.flags("etx", static=True)]
        expect(archive in flags, "pkg-config names the library")
        output = self.build_and_run("static", "gcc", ["-std=c11"], self.readme(), flags)
        expect("COMMITTED" in output, output)
        needed = run(["readelf", "-d", os.path.join(self.scratch, "static", "program")])
        expect("libetx" not in needed, "the program needs no libetx.so")

    def adapter(self):
        """A log adapter made outside of the tree, by the public headers alone."""
        examples = os.path.join(self.source, "examples")
        output = self.build_and_run("adapter", "gcc", [
            "-std=c11", "-D_DEFAULT_SOURCE", "-I", examples, os.path.join(examples, "own_log.c")],
                                    self.example("own_program.c"), self.flags("etx"))
        expect("100 committed" in output, output)

    def codec_and_monitor(self):
        """A codec and a monitor made outside of the tree, by the public headers alone."""
        with open(os.path.join(self.source, "tests", "packaging", "own_codec.c"),
                  encoding="utf-8") as file:
            code = file.read()
        output = self.build_and_run("codec", "gcc", ["-std=c11"], code, self.flags("etx"))
        used = re.search(r"lives: well; encoded (\d+), decoded (\d+) and (\d+)\n", output)
        expect(used, output)
        wrote, before, after = (int(number) for number in used.groups())
        expect(before == 0 and wrote > after >= 4, output)  # OWN, BEGIN, DECIDE, END
        expect("heard: 2 begun, 2 decided, 2 ended, 2 endings\n" in output, output)
        expect(re.search("without: ETX_EVERSION .*codec 200", output), output)
        segments = glob.glob(os.path.join(self.scratch, "codec", "own-codec", "p*.seg"))
        expect(any(self.has_batch(path, 200, b"#") for path in segments), "written by the codec")

    def has_batch(self, path, codec, begin):
        """Does the segment's first group hold a batch that begins with these bytes?"""
        with open(path, "rb") as file:
            group = file.read()[4096:]
        return group[24 + 56:].startswith(bytes([codec]) + begin)

    def participant(self):
        """A participant with a fence, with what pkg-config says of libetx-participant."""
        pc = os.path.join(self.libdir, "pkgconfig", "etx-participant.pc")
        if not os.path.exists(pc):
            raise Skip("this build has no libetx-participant (libsqlite3-dev was missing)")
        folder = os.path.join(self.scratch, "bank")
        os.mkdir(folder)
        run(["gcc", "-std=c11", *STRICT, os.path.join(self.source, "examples", "bank.c"),
             "-o", "bank", *self.flags("etx", "etx-participant", "sqlite3")], self.env, folder)
        bank = os.path.join(folder, "bank")
        run([bank, ".", "open"], self.env, folder)
        expect("COMMITTED" in run([bank, ".", "transfer", "alice", "bob", "10"], self.env, folder),
               "a transfer commits")

    def participant_http(self):
        """A program that calls participants over HTTP, with what pkg-config says."""
        pc = os.path.join(self.libdir, "pkgconfig", "etx-participant-http.pc")
        if not os.path.exists(pc):
            raise Skip("this build has no libetx-participant-http")
        code = r"""
#include <etx/participant_http.h>
#include <stdio.h>
int main(void) {
    const char *allow[] = {"http://stock:*"};
    etx_http_options options = {.size = sizeof options, .allow = allow, .allow_count = 1};
    etx_http *http = NULL;
    char why[200] = "";
    if (etx_http_create(&options, &http, why, sizeof why) != 0 ||
        etx_http_allowed(http, "http://stock/try", why, sizeof why) != 0 ||
        etx_http_allowed(http, "http://other/try", why, sizeof why) != ETX_ESTATE) {
        return 1;
    }
    puts(why);
    etx_http_free(http);
    return 0;
}
"""
        output = self.build_and_run("http", "gcc", ["-std=c11"], code,
                                    self.flags("etx-participant-http"))
        expect("other is not among the targets" in output, output)

    def module(self):
        """A log adapter with a foreign library is found beside libetx.so, or missed by name."""
        path = os.path.join(self.libdir, "etx", "log_postgresql.so")
        if not os.path.exists(path):
            raise Skip("this build has no PostgreSQL log (libpq-dev was missing)")
        code = r"""
#include <etx/etx.h>
#include <stdio.h>
int main(void) {
    etx_options options = ETX_OPTIONS_INIT;
    etx_engine *engine = NULL;
    char message[512] = "";
    int rc = etx_engine_create(&options, &engine);
    if (rc == 0) {
        rc = etx_engine_home(engine, "postgresql://u:secret@/d");
        etx_engine_message(engine, message, sizeof message);
        printf("%d %s\n", rc, message);
    }
    etx_engine_free(engine);
    return 0;
}
"""
        output = self.build_and_run("module", "gcc", ["-std=c11"], code, self.flags("etx"))
        expect(output.startswith("0 "), output)
        program = os.path.join(self.scratch, "module", "program")
        os.rename(path, path + ".away")
        output = run([program], self.env)
        expect(output.startswith("-1 ") and "log_postgresql.so is not there" in output and
               "-Dpostgres=enabled" in output and "secret" not in output, output)
        with open(path, "w", encoding="utf-8") as file:
            file.write("no library")
        output = run([program], self.env)
        expect(output.startswith("-1 ") and path in output, output)
        os.rename(path + ".away", path)

    def dependencies(self):
        """libetx.so needs the C library alone."""
        output = run(["readelf", "-d", self.library])
        needed = re.findall(r"\(NEEDED\).*\[(.*?)\]", output)
        wrong = [name for name in needed
                 if name != "libc.so.6" and not name.startswith("ld-linux")]
        expect(not wrong, f"libetx.so needs {wrong}")
        expect("libc.so.6" in needed, "libetx.so needs the C library")
        expect("(RPATH)" not in output and "(RUNPATH)" not in output, "it has no run path")

    def names(self):
        """Soname and symbol versions."""
        for name, library in self.libraries():
            output = run(["readelf", "-d", library])
            expect(re.findall(r"\(SONAME\).*\[(.*?)\]", output) == [name + ".so.0"], "soname")
            dynamic = run(["nm", "-D", "--defined-only", "--with-symbol-versions", library])
            bare = [line for line in dynamic.splitlines()
                    if " A " not in line and "@ETX_0." not in line]
            expect(not bare, f"without a version: {bare[:3]}")
            expect("ETX_0.1" in dynamic, f"the version ETX_0.1 is in {name}")

    def stack(self):
        """No executable stack, and relocations are read-only."""
        output = run(["readelf", "-lW", self.library])
        stack = [line for line in output.splitlines() if "GNU_STACK" in line]
        expect(stack and "RWE" not in stack[0], "the stack is not executable")

    def size(self):
        """Stripped, libetx.so is small."""
        if self.is_sanitized():
            raise Skip("sanitizers make everything larger")
        stripped = os.path.join(self.scratch, "stripped.so")
        run(["strip", "--strip-unneeded", "-o", stripped, self.library])
        size = os.path.getsize(stripped)
        expect(size <= SIZE_MAX, f"{size} bytes; at most {SIZE_MAX}")
        return f"{size} bytes"

    def is_sanitized(self):
        return "__asan" in run(["nm", "-D", self.library])

    def abi(self):
        """What a program that was linked before still finds."""
        if shutil.which("abidiff") is None:
            raise Skip("abidiff is not installed (scripts/setup extra)")
        if ".debug_info" not in run(["readelf", "-SW", self.library]):
            raise Skip("the build has no debug information to compare types by")
        records = os.path.join(self.source, "tests", "packaging", "abi")
        for name, library in self.libraries():
            done = self.abidiff(os.path.join(records, name + ".abi"), library)
            expect(done.returncode == 0, f"the ABI of {name} changed; if that is meant: "
                   "scripts/abi-record\n" + done.stdout + done.stderr)
        # The comparison notices: a function that went, an error that has another number.
        with open(os.path.join(records, "libetx.abi"), encoding="utf-8") as file:
            text = file.read()
        for old, new in (("etx_version", "etx_went"),
                         ("name='ETX_COMMITTED' value='3'", "name='ETX_COMMITTED' value='33'")):
            expect(old in text, f"{old} is recorded")
            other = os.path.join(self.scratch, "other.abi")
            with open(other, "w", encoding="utf-8") as file:
                file.write(text.replace(old, new))
            expect(self.abidiff(other, self.library).returncode != 0,
                   f"abidiff does not see {new}")

    def abidiff(self, record, library):
        return subprocess.run(
            ["abidiff", "--exported-interfaces-only", "--drop-private-types",
             "--headers-dir2", os.path.join(self.source, "include"),
             "--no-added-syms", "--no-show-locs", record, library],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    def without_tests(self):
        """-Dtests=disabled compiles no fuzz target; `etx sim` is the product's."""
        build = os.path.join(self.scratch, "without-tests")
        run(["meson", "setup", build, self.source, "-Dtests=disabled"])
        with open(os.path.join(build, "build.ninja"), encoding="utf-8") as file:
            text = file.read()
        expect("tests/fuzz/" not in text, "tests/fuzz is compiled")
        if os.path.exists(os.path.join(self.prefix, "bin", "etx")):
            expect("tests/simulation/etx-sim:" in text, "etx-sim is not built")

    CHECKS = (install, files, manuals, without_tests, documents, c_program, cxx_program,
              static_program, adapter, codec_and_monitor, participant, participant_http, module,
              dependencies, names, stack, size, abi)


def main():
    source, build = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    counts = {"PASSED": 0, "FAILED": 0, "SKIPPED": 0}
    with tempfile.TemporaryDirectory(prefix="etx-packaging-") as scratch:
        packaging = Packaging(source, build, scratch)
        for check in Packaging.CHECKS:
            try:
                remark = check(packaging)
                verdict = "PASSED"
            except Skip as reason:
                remark, verdict = str(reason), "SKIPPED"
                print(f"SKIP: {remark}\n[  SKIPPED ] {check.__name__}")
            except (AssertionError, OSError, IndexError, subprocess.TimeoutExpired) as error:
                remark, verdict = str(error), "FAILED"
            counts[verdict] += 1
            print(f"{check.__name__}: {verdict.lower()}{': ' + remark if remark else ''}")
            if check is Packaging.install and verdict == "FAILED":
                break
    for verdict, count in counts.items():
        print(f"[  {verdict:7} ] {count} test(s)")
    return 1 if counts["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())
