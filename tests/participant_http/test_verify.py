#!/usr/bin/env python3
"""The verifier that docs/http-participants.md shows takes our signatures, and no others.

    test_verify.py DOCUMENT SIGN-ONE
"""
import re
import subprocess
import sys

KEYS = {"2026-01": b"0123456789abcdef", "2025-12": b"another key of old"}


def signed(program, url, branch, body):
    output = subprocess.run([program, url, branch, body], check=True, capture_output=True,
                            text=True)
    digest, given, signature = output.stdout.splitlines()
    headers = {"etx-gid": "g-1", "etx-operation": "try", "etx-begin": "1618884473000",
               "content-digest": digest, "signature-input": given, "signature": signature}
    if branch:
        headers["etx-branch"] = branch
    return headers


def main():
    document, program = sys.argv[1:]
    with open(document, encoding="utf-8") as file:
        code = re.search(r"```python\n(.*?)```", file.read(), re.DOTALL).group(1)
    shown = {}
    exec(code, shown)  # what is tested is the document's text
    verify = shown["verify"]
    url = "https://stock.example:8443/try?a=%20b"
    body = '{"hello": "world"}'
    for branch in ("stock", ""):
        headers = signed(program, url, branch, body)
        good = (KEYS, "POST", url, headers, body.encode())
        assert verify(*good), headers
        assert not verify(KEYS, "PUT", url, headers, body.encode())
        assert not verify(KEYS, "POST", url + "c", headers, body.encode())
        assert not verify(KEYS, "POST", url, headers, body.encode() + b" ")
        assert not verify({"2026-01": b"a wrong key of ours"}, *good[1:])
        assert not verify({"2025-12": KEYS["2026-01"]}, *good[1:])
        assert not verify(*good, max_age=-1)
        for name in headers:
            assert not verify(KEYS, "POST", url, {**headers, name: headers[name] + "x"},
                              body.encode()), name
            assert not verify(KEYS, "POST", url,
                              {key: value for key, value in headers.items() if key != name},
                              body.encode()), name
    print("2 signatures, and what was changed of them")
    return 0


if __name__ == "__main__":
    sys.exit(main())
