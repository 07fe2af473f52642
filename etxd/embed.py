"""Writes a JSON file as a C array, without the white space that only people need."""
import json
import sys


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        data = json.dumps(json.load(file), separators=(",", ":")).encode() + b"\n"
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write("/* The OpenAPI document; made by embed.py. */\n#include \"openapi.h\"\n\n")
        file.write("const unsigned char etxd_openapi[] = {")
        file.write(",".join(map(str, data)))
        file.write("};\nconst size_t etxd_openapi_len = sizeof etxd_openapi;\n")


main()
