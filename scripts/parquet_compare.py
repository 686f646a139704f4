#!/usr/bin/env python3
"""Compares fastDP's Parquet reader and writer with others; called by scripts/check_parquet.

  parquet_compare.py same  TOOL FOLDER    every file of FOLDER gives FOLDER/expected.csv, and a copy of it
                                          by our writer reads back equal with pyarrow, Polars and DuckDB
  parquet_compare.py prepare FASTDP FOLDER
                                          'fastdp prepare' makes of every file the dataset of the CSV
  parquet_compare.py speed TOOL FOLDER    milliseconds to read FOLDER/{spark,polars,duckdb}.parquet
"""
import csv, glob, json, os, statistics, subprocess, sys, tempfile, time
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


FACTS = {
    "flag": "binary", "i8": "numeric, bounds: [-100, 100]", "u8": "hashed, buckets: 5", "i16": "categorical, categories: [0, 1, 5], other: true",
    "u16": "numeric, bounds: [0, 9]", "i32": "numeric, bounds: [-9, 9]", "u32": "hashed, buckets: 4",
    "i64": "numeric, bounds: [-1e18, 1e18], scaling: standard, mean: 1, std: 1e17", "u64": "numeric, bounds: [0, 2e19]",
    "f32": "numeric, bounds: [-1000, 1000]", "f64": "numeric, bounds: [-9, 9]", "word": "categorical, categories: [a, blue, 日本, s], other: true",
    "d9": "numeric, bounds: [-1e6, 1e6]", "d18": "numeric, bounds: [-1e9, 1e9]", "d38": "numeric, bounds: [-1e20, 1e20]",
}


def schemas(names):
    """Two schemas over the columns of a file: all types with indicators; an id, a condition and rows that are dropped."""
    fact = lambda name: f"  {name}: {{type: {FACTS.get(name, 'hashed, buckets: 3')}}}\n"
    label = "f64" if "f64" in names else "i64"
    yield f"label: {label}\nmissing: indicator\ncolumns:\n" + "".join(map(fact, names))
    few = [n for n in names if n in ("flag", "i64", "u16", "f32", "word", "d18", label)]
    where = "flag = true or i64 >= 1" if "i64" in names else "flag = true"
    yield (f"label: {label}\nid: {'name' if 'name' in names else 'word'}\nmissing: drop\nna: ['', 'x,y', '-1', '0.1', '1']\nwhere: {where}\n"
           f"columns:\n" + "".join(map(fact, few)))


def prepared(fastdp, table, schema, threads, out):
    """The counts and the tensors' bytes of a prepared table; or what was said."""
    done = subprocess.run(
        [fastdp, "prepare", table, "--schema", schema, "--out", out, "--overwrite", "--json", "--max-rejected", "1000000",
         "--threads", str(threads)], capture_output=True, text=True)
    if done.returncode != 0: return None, done.stderr
    counts = {k: v for k, v in json.loads(done.stdout).items() if k not in ("bytesRead", "seconds")}
    data = open(out, "rb").read()
    return (counts, data[8 + int.from_bytes(data[:8], "little"):]), ""


def prepare(fastdp, folder):
    expected = columns(open(f"{folder}/expected.csv", newline="").read())
    failures = 0
    with tempfile.TemporaryDirectory() as scratch:
        known = {}
        for path in sorted(glob.glob(f"{folder}/*.parquet")):
            name = os.path.basename(path)
            try:
                names = pq.read_schema(path).names
            except OSError:
                names = __import__("duckdb").sql(f"SELECT * FROM read_parquet('{path}')").columns
            for number, text in enumerate(schemas(names)):
                schema = f"{scratch}/s.yaml"
                open(schema, "w").write(text)
                result, said = prepared(fastdp, path, schema, 1 + 2 * number, f"{scratch}/d")
                if "brotli" in name:
                    good = result is None and "Brotli" in said
                    print("refused" if good else "NOT REFUSED", name)
                else:
                    key = (number, tuple(names))
                    if key not in known:
                        with open(f"{scratch}/t.csv", "w", newline="") as out:
                            writer = csv.writer(out, quoting=csv.QUOTE_MINIMAL)
                            writer.writerow(names)
                            writer.writerows(zip(*[["" if c is None else c for c in expected[n]] for n in names]))
                        known[key] = prepared(fastdp, f"{scratch}/t.csv", schema, 2, f"{scratch}/d")
                    wanted, problem = known[key]
                    good = result is not None and wanted is not None and result == wanted
                    print("same dataset" if good else "DIFFERS     ", name, f"schema {number + 1}",
                          said + problem if not good else f"{result[0]['rowsKept']} kept, {result[0]['rowsRejected']} rejected, {len(result[1])} bytes")
                    if not good and result and wanted: print("   ", result[0], wanted[0])
                failures += not good
    print(f"{failures} failures")
    return failures != 0


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
    sys.exit({"same": same, "prepare": prepare, "speed": speed}[sys.argv[1]](*sys.argv[2:]))
