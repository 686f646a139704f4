#!/usr/bin/env python3
"""Makes a wide table of decimal and exponent numbers, of any length, and its schema.

    scripts/wide_table.py --schema wide.yaml
    scripts/wide_table.py --bytes 1e9 > wide.csv
    scripts/wide_table.py --bytes 1e10 | fastdp prepare - --schema wide.yaml --out wide.safetensors

100 numeric columns and a binary label. 4,000 random rows (about 4 MB) are made and written again and
again: the table is for timing readers, not for training.
"""
import argparse, random, sys

COLUMNS = 100
ROWS = 4000


def number(generator, column):
    kind = column % 4
    if kind == 0:
        return f"{generator.uniform(-1000, 1000):.{generator.randint(1, 8)}f}"
    if kind == 1:
        return f"{generator.gauss(0, 1):.6e}"
    if kind == 2:
        return repr(generator.random())
    return f"{generator.randint(-99999, 99999)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bytes", type=float, default=1e9, help="about how many bytes to write")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--schema", help="write the schema to this file, and nothing else")
    options = parser.parse_args()
    names = [f"x{column}" for column in range(COLUMNS)]
    bounds = ["[-1000, 1000]", "[-4, 4]", "[0, 1]", "[-99999, 99999]"]
    if options.schema:
        with open(options.schema, "w") as file:
            file.write("label: y\ncolumns:\n  y: {type: binary}\n")
            for column, name in enumerate(names):
                file.write(f"  {name}: {{type: numeric, bounds: {bounds[column % 4]}}}\n")
        return
    generator = random.Random(options.seed)
    rows = [
        ",".join([number(generator, column) for column in range(COLUMNS)] + [str(row & 1)])
        for row in range(ROWS)
    ]
    block = ("\n".join(rows) + "\n").encode()
    out = sys.stdout.buffer
    out.write((",".join(names + ["y"]) + "\n").encode())
    left = int(options.bytes)
    try:
        while left > len(block):
            out.write(block)
            left -= len(block)
        out.write(block[: block.rfind(b"\n", 0, left) + 1])
        out.flush()
    except BrokenPipeError:
        sys.stderr.close()


main()
