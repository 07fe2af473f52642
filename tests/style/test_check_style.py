#!/usr/bin/env python3
"""The style test can fail: each of its checks is fed something bad, and something good."""
import os
import shutil
import subprocess
import tempfile
import unittest

import style_objects
import style_text

ENUM = "enum color { RED, GREEN = 3 };\n"


def texts(findings):
    return [finding.text for finding in findings]


class Text(unittest.TestCase):
    """Rules about the text of one file."""

    def test_lengths(self):
        self.assertEqual(style_text.check_lengths("a.c", "x\n" * 600), [])
        self.assertEqual(len(style_text.check_lengths("a.c", "x\n" * 601)), 1)
        self.assertEqual(style_text.check_lengths("a.h", "x\n" * 300), [])
        self.assertEqual(len(style_text.check_lengths("a.h", "x\n" * 301)), 1)
        self.assertEqual(style_text.check_lengths("a.c", "x" * 100), [])
        self.assertEqual(len(style_text.check_lengths("a.c", "x" * 101)), 1)
        self.assertEqual(style_text.check_lengths("a.md", "x" * 101), [])

    def test_functions(self):
        short = "static int f(int a,\n             int b)\n{\n" + "    g();\n" * 66 + "}\n"
        self.assertEqual(style_text.check_lengths("a.c", short), [])
        long = short.replace("{\n", "{\n    g();\n")
        self.assertIn("71 lines", texts(style_text.check_lengths("a.c", long))[0])
        table = "static const int t[] = {\n" + "    F(1),\n" * 100 + "};\n"
        self.assertEqual(style_text.check_lengths("a.c", table), [])
        macro = "#define M(x) \\\n    { \\\n        x\n" + short
        self.assertEqual(style_text.check_lengths("a.c", macro), [])
        wrapped = 'extern "C" {\n' + long + "}\n"
        self.assertEqual(len(style_text.check_lengths("a.h", wrapped)), 1)
        after = "struct s {\n    int (*f)(void);\n};\n" + long
        self.assertEqual(len(style_text.check_lengths("a.c", after)), 1)
        two = "int f(void) {\n    if (x) {\n    }\n}\nint g(void) {\n}\n"
        names = list(style_text.functions(two))
        self.assertEqual(names, [("f", 1, 4), ("g", 5, 6)])

    def test_banned(self):
        for name in style_text.BANNED:
            self.assertEqual(len(style_text.check_banned("a.c", f"    {name}(a, b);\n")), 1, name)
        for good in ("snprintf(a)", "fgets(a)", "my_rand()", "/* strcpy(a) */", '"strcpy(a)"',
                     "x.rand()", "operand()"):
            self.assertEqual(style_text.check_banned("a.c", good), [], good)

    def test_left_over(self):
        for word in style_text.LEFT_OVER:
            self.assertEqual(len(style_text.check_left_over("a.md", f"see {word}: x")), 1)
        self.assertEqual(style_text.check_left_over("a.c", '"/tmp/x.XXXXXX"'), [])
        for path in style_text.MACHINE_PATHS:
            self.assertEqual(len(style_text.check_left_over("a.sh", f"cd {path}x")), 1)
        self.assertEqual(style_text.check_left_over("a.sh", "cd tests" + "/wo" + "rk/x"), [])

    def test_first_line(self):
        good = {"a.c": "/* What it is. */\n", "a.py": '"""What."""\n', "notes.md": "anything\n",
                "run": "#!/bin/sh\n# What.\n", "b.py": '#!/usr/bin/env python3\n"""What."""\n'}
        for path, text in good.items():
            self.assertEqual(style_text.check_first_line(path, text), [], path)
        bad = {"a.c": "#include <x.h>\n", "b.c": "", "c.c": "/*\n * What.\n */\n",
               "a.py": "import os\n", "run": "#!/bin/sh\nset -eu\n"}
        for path, text in bad.items():
            self.assertEqual(len(style_text.check_first_line(path, text)), 1, path)

    def test_switches(self):
        own = style_text.enumerators([ENUM])
        self.assertEqual(own, {"RED", "GREEN"})

        def found(code):
            return len(style_text.check_switches("a.c", code, own))

        self.assertEqual(found("switch (c) {\ncase RED:\n    f();\ndefault:\n    g();\n}"), 1)
        self.assertEqual(found("switch (c) {\ncase ETX_TCC:\ndefault:\n    g();\n}"), 1)
        self.assertEqual(found("switch (c) {\ncase RED:\ncase GREEN:\n    f();\n}"), 0)
        self.assertEqual(found("switch (c) {\ncase 'a':\n    f();\ndefault:\n    g();\n}"), 0)
        inner = "switch (c) {\ncase RED:\n    switch (d) {\n    case 1:\n    default:\n    }\n}"
        self.assertEqual(found(inner), 0)
        outer = ("switch (d) {\ncase 1:\n    switch (c) {\n    case RED:\n    }\n"
                 "default:\n    g();\n}")
        self.assertEqual(found(outer), 0)
        both = "switch (d) {\ncase 1:\n    switch (c) {\n    case RED:\n    default:\n    }\n}"
        self.assertEqual(found(both), 1)
        self.assertEqual(found("/* switch (c) { case RED: default: } */"), 0)


class Tree(unittest.TestCase):
    """Rules that look at other files of the tree."""

    def setUp(self):
        self.root = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.root)

    def write(self, path, text):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)

    def includes(self, path, line):
        return len(style_text.check_includes(self.root, path, line + "\n"))

    def test_includes(self):
        for path in ("include/etx/etx.h", "src/core/fold.h", "src/runtime/shard.h",
                     "src/protocol/assert.h", "src/protocol/other.h", "cli/demo.h",
                     "src/integration/log/file.h", "src/integration/codec/json.h",
                     "net/guard.h", "net/server.h", "net/client.h"):
            self.write(path, "/* A header. */\n")
        good = {"src/core/a.c": ["<etx/etx.h>", '"fold.h"', "<string.h>", '"src/core/fold.h"',
                                 '"../protocol/assert.h"', '"protocol/assert.h"', "<stdint.h>"],
                "src/runtime/a.c": ['"../core/fold.h"', '"shard.h"', '"protocol/other.h"',
                                    "<pthread.h>", "<etx/etx.h>"],
                "src/integration/log/a.c": ["<etx/etx.h>", '"file.h"', "<unistd.h>"],
                "cli/a.c": ["<etx/etx.h>", '"demo.h"', "<jansson.h>"],
                "tests/unit/a.c": ['"../../src/core/fold.h"'],
                "net/a.c": ['"guard.h"', "<http_parser.h>", "<openssl/ssl.h>", "<sys/epoll.h>"],
                "etxd/a.c": ["<etx/etx.h>", '"../net/server.h"'],
                "src/integration/participant/a.c": ['"../../../net/client.h"'],
                "include/etx/a.h": ["<etx/etx.h>", "<stddef.h>"]}
        bad = {"src/core/a.c": ["<stdio.h>", '"../runtime/shard.h"', '"protocol/other.h"',
                                "<time.h>", "<core/nothing.h>"],
               "src/protocol/a.c": ['"../core/fold.h"'],
               "src/runtime/a.c": ['"../integration/log/file.h"', '"nowhere.h"'],
               "src/integration/log/a.c": ['"../../core/fold.h"', '"../codec/json.h"',
                                           '"../../protocol/assert.h"', "<core/fold.h>"],
               "cli/a.c": ['"../src/runtime/shard.h"', '"core/fold.h"'],
               "examples/a.c": ['"../src/protocol/other.h"'],
               "net/a.c": ["<etx/etx.h>", "<jansson.h>", "<curl/curl.h>", '"../src/core/fold.h"'],
               "etxd/a.c": ['"../net/guard.h"', '"../src/core/fold.h"'],
               "src/runtime/b.c": ['"../../net/client.h"'],
               "src/integration/log/b.c": ['"../../../net/client.h"'],
               "include/etx/a.h": ["<stdio.h>", '"../../src/core/fold.h"']}
        for path, lines in good.items():
            for line in lines:
                self.assertEqual(self.includes(path, "#include " + line), 0, (path, line))
        for path, lines in bad.items():
            for line in lines:
                self.assertEqual(self.includes(path, "#include " + line), 1, (path, line))

    def test_tree(self):
        self.write("src/core/a.c", "/* Good. */\n")
        self.write("build/x.c", "bad\n")
        self.write("other/meson-private/x", "")
        self.write("other/x.c", "bad\n")
        self.assertEqual(style_text.check_tree(self.root), [])
        self.write("src/core/b.c", "#include <stdio.h>\n")
        self.assertEqual(len(style_text.check_tree(self.root)), 2)

    def test_headers_alone(self):
        cc, cxx = shutil.which("cc"), shutil.which("c++")
        self.write("include/etx/good.h", "/* Good. */\nint etx_f(void);\n")
        self.assertEqual(style_objects.check_headers_alone(self.root, cc, cxx), [])
        self.write("include/etx/bad.h", "/* Needs another. */\nsize_t etx_g(void);\n")
        self.assertEqual(len(style_objects.check_headers_alone(self.root, cc, None)), 1)

    def test_format(self):
        tool = shutil.which("clang-format")
        if tool is None:
            self.skipTest("clang-format is not installed")
        self.write(".clang-format", "BasedOnStyle: Chromium\n")
        self.write("a.c", "int f(void) {\n  return 0;\n}\n")
        self.assertEqual(style_objects.check_format(self.root, tool), [])
        self.write("b.c", "int f( void )\n{return 0;}\n")
        self.assertEqual(len(style_objects.check_format(self.root, tool)), 1)


class Objects(unittest.TestCase):
    """Rules about what was compiled."""

    def setUp(self):
        self.root = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.root)
        self.cc = shutil.which("cc")

    def compile(self, name, code, *options):
        source = os.path.join(self.root, name + ".c")
        output = os.path.join(self.root, name)
        with open(source, "w", encoding="utf-8") as file:
            file.write(code)
        style_objects.symbols.cache_clear()
        subprocess.run([self.cc, "-O1", "-fPIC", "-g", source, "-o", output, *(options or ("-c",))],
                       check=True, stdin=subprocess.DEVNULL)
        return output

    def globals_of(self, code):
        path = self.compile("object.o", code)
        return style_objects.check_globals({"src/runtime/a.c": [path]})

    def test_globals(self):
        for bad in ("int x;", "int x = 3;", "static int x; int *f(void) { return &x; }",
                    "int *f(void) { static int x = 7; return &x; }",
                    "__thread int x;", "static const char *x[2] = {\"a\", \"b\"};"
                    " const char **f(void) { return x; }"):
            self.assertEqual(len(self.globals_of(bad)), 1, bad)
        for good in ("const int x = 3;", "int f(void) { int x = 3; return x; }",
                     "static const char *const x[2] = {\"a\", \"b\"};"
                     " const char *const *f(void) { return x; }",
                     "int x; int main(void) { return x; }"):
            self.assertEqual(self.globals_of(good), [], good)

    def test_core(self):
        good = self.compile("core.o", "#include <string.h>\nint etx__protocol(void);"
                            "int etx__a(char *a, char *b, int n)"
                            "{ memcpy(a, b, (size_t)n); return etx__protocol(); }")
        pure = self.compile("pure.o", "int etx__protocol(void) { return 3; }")
        impure = self.compile("impure.o", "long time(long *);"
                              "int etx__protocol(void) { return (int)time(0); }")
        bad = self.compile("bad.o", "void *malloc(unsigned long);"
                           "void *etx__b(void) { return malloc(3); }")

        def found(core, protocol):
            return style_objects.check_core({"src/core/a.c": [core],
                                             "src/protocol/b.c": [protocol]})

        self.assertEqual(found(good, pure), [])
        self.assertIn("needs time", texts(found(good, impure))[0])
        self.assertIn("needs malloc", texts(found(bad, pure))[0])
        self.assertEqual(len(style_objects.check_core({})), 1)

    def test_names(self):
        bad = self.compile("name.o", "int helper(void) { return 3; }")
        good = self.compile("good.o", "int etx__helper(void) { return 3; }"
                            "static int h(void) { return 4; }"
                            "int (*etx_f(void))(void) { return h; }")
        self.assertEqual(len(style_objects.check_names({"src/core/a.c": [bad]})), 1)
        self.assertEqual(style_objects.check_names({"src/core/a.c": [good]}), [])

    def test_exports(self):
        header = os.path.join(self.root, "a.h")
        with open(header, "w", encoding="utf-8") as file:
            file.write("#define API\n/* ETX_API int etx_no(void); */\n"
                       "ETX_API int etx_a(\n    int b);\n"
                       "ETX_API const char *etx_b(int (*etx_c)(void));\nint etx_d(void);\n")
        both = "int etx_a(int b) { return b; } const char *etx_b(void *c) { return c; }"
        good = self.compile("good.so", both, "-shared")
        less = self.compile("less.so", "int etx_a(int b) { return b; }", "-shared")
        more = self.compile("more.so", both + "int etx__x(void) { return 3; }", "-shared")
        self.assertEqual(style_objects.check_exports(self.root, good, ["a.h"]), [])
        self.assertIn("etx_b is declared", texts(style_objects.check_exports(
            self.root, less, ["a.h"]))[0])
        self.assertEqual(style_objects.check_exports(self.root, less, ["a.h"], {"etx_b"}), [])
        self.assertIn("etx__x is exported", texts(style_objects.check_exports(
            self.root, more, ["a.h"]))[0])

    def test_objects_of(self):
        self.compile("a.o", "int etx_a;")
        with open(os.path.join(self.root, "compile_commands.json"), "w", encoding="utf-8") as file:
            one = '{"directory": "%s", "file": "%s.c", "output": "%s", "command": "cc -c%s"}'
            file.write("[%s, %s]" % (one % (self.root, "a.o", "a.o", ""),
                                     one % (self.root, "b.o", "b.o", " -flto=auto")))
        self.compile("b.o", "int etx_b;")
        found = style_objects.objects_of(self.root, self.root)
        self.assertEqual(list(found), ["a.o.c"])


if __name__ == "__main__":
    unittest.main()
