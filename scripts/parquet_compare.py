#!/usr/bin/env python3
"""Compares fastDP's Parquet reader and writer with others; called by scripts/check_parquet.

  parquet_compare.py same  TOOL FOLDER    every file of FOLDER gives FOLDER/expected.csv, and a copy of it
                                          by our writer reads back equal with pyarrow, Polars and DuckDB
  parquet_compare.py speed TOOL FOLDER    milliseconds to read FOLDER/{spark,polars,duckdb}.parquet
"""
import glob, os, statistics, subprocess, sys, time
import pyarrow as pa, pyarrow.parquet as pq


def quoted_rows(text):
    """Rows of a CSV in which every text is in quotes: None where there is nothing."""
    rows, row, cell, at = [], [], None, 0
    while at < len(text):
        if text[at] == '"':
            parts, start = [], at + 1
            while True:
                end = text.index('"', start)
                parts.append(text[start:end])
                if text[end + 1 : end + 2] != '"': break
                parts.append('"'); start = end + 2
            cell, at = "".join(parts), end + 1
        elif text[at] in ",\n":
            row.append(cell); cell = None
            if text[at] == "\n": rows.append(row); row = []
            at += 1
        else:
            end = at
            while text[end] not in ",\n": end += 1
            cell, at = text[at:end], end
    return rows


def columns(text):
    rows = quoted_rows(text)
    return {name: [row[i] for row in rows[1:]] for i, name in enumerate(rows[0])}


def same(tool, folder):
    expected = columns(open(f"{folder}/expected.csv", newline="").read())
    failures = 0
    for path in sorted(glob.glob(f"{folder}/*.parquet")):
        name = os.path.basename(path)
        done = subprocess.run([tool, "dump", path], capture_output=True, text=True)
        if "brotli" in name:
            good = done.returncode != 0 and "Brotli" in done.stderr
            print("refused" if good else "NOT REFUSED", name)
        elif done.returncode != 0:
            good = False
            print("FAILED ", name, done.stderr.strip()[-300:])
        else:
            read = columns(done.stdout)
            wrong = [c for c in read if read[c] != expected[c]]
            good = not wrong and len(read) > 10
            print("equal  " if good else "DIFFERS", name, len(read), "columns", ", ".join(wrong))
            for column in wrong[:2]:
                row = next(r for r in range(len(expected[column])) if read[column][r] != expected[column][r])
                print("   ", column, row, read[column][row], expected[column][row])
            good = read_back(tool, path, name) and good
        failures += not good
    print(f"{failures} failures")
    return failures != 0


def read_back(tool, path, name):
    """A copy by our writer, as three programs read it, against the original as pyarrow reads it."""
    import duckdb, polars as pl
    copy = path + ".copy"
    done = subprocess.run([tool, "copy", path, copy], capture_output=True, text=True)
    if done.returncode != 0:
        print("FAILED  to copy", name, done.stderr.strip()[-300:])
        return False
    ours = pq.read_table(copy)
    try:
        theirs = pq.read_table(path).select(ours.column_names)
    except OSError:  # DuckDB's files of version 2 are not all read by pyarrow 26.
        theirs = duckdb.sql(f"SELECT * FROM read_parquet('{path}')").to_arrow_table().select(ours.column_names)
    equal = lambda t, n: t[n].combine_chunks().cast(theirs.schema.field(n).type).equals(theirs[n].combine_chunks())
    good = True
    whole = [f.name for f in ours.schema if f.type in (pa.int32(), pa.int64(), pa.string(), pa.bool_(), pa.float64(), pa.float32(), pa.date32())]
    for reader, table in {
        "pyarrow": ours, "Polars": pl.read_parquet(copy).to_arrow().select(whole),
        "DuckDB": duckdb.sql(f"SELECT * FROM read_parquet('{copy}')").to_arrow_table().select(whole),
    }.items():
        wrong = [n for n in table.column_names if not equal(table, n)]
        if wrong: print("DIFFERS", reader, "reads our copy of", name, wrong)
        good = good and not wrong
    os.remove(copy)
    return good


def speed(tool, folder):
    pa.set_cpu_count(1)
    print("milliseconds, best / median of 15 rounds in turn; ours whole: all rows of a column at once; "
          "ours batches: of 32768 rows")
    slow = False
    for name in ("spark", "polars", "duckdb"):
        path = f"{folder}/{name}.parquet"
        times = {"pyarrow": [], "ours whole": [], "ours batches": []}
        table = pq.read_table(path, use_threads=False)
        total = sum(table[c].cast(pa.int64()).combine_chunks().fill_null(0).to_numpy().sum() for c in table.column_names)
        for _ in range(15):
            start = time.perf_counter()
            pq.read_table(path, use_threads=False)
            times["pyarrow"].append((time.perf_counter() - start) * 1e3)
            for key, batch in (("ours whole", "0"), ("ours batches", "32768")):
                out = subprocess.run([tool, "read", "3", batch, path], capture_output=True, text=True, check=True).stdout.split()
                assert float(out[3]) == total, (out, total)
                times[key].append(float(out[1]))
        best = {k: min(v) for k, v in times.items()}
        middle = {k: statistics.median(v) for k, v in times.items()}
        ratio = middle["ours whole"] / middle["pyarrow"]
        slow = slow or ratio > 1.5
        print(f"{name:7} {table.num_rows} x {table.num_columns}: " + "; ".join(f"{k} {best[k]:.1f} / {middle[k]:.1f}" for k in times)
              + f"; ours whole : pyarrow = {ratio:.2f}, batches {middle['ours batches'] / middle['pyarrow']:.2f}")
    return slow


if __name__ == "__main__":
    sys.exit({"same": same, "speed": speed}[sys.argv[1]](*sys.argv[2:]))
