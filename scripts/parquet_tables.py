#!/usr/bin/env python3
"""Makes Parquet files with pyarrow, Polars, DuckDB and Spark, with default and with optional settings.

  scripts/parquet_tables.py fixtures Tests/DPParquetTests/Fixtures
      the small files that the tests read
  scripts/parquet_tables.py variants FOLDER [--rows 20000]
      every writer with every setting; FOLDER/expected.csv holds the texts that stand for the values
  scripts/parquet_tables.py speed FOLDER [--rows 1200000]
      the tables of the speed comparison: 12 columns by Spark (snappy), Polars (zstd), DuckDB (snappy)

Needs Python packages pyarrow, polars, duckdb, numpy and, for the tables of Spark, pyspark and Java 17.
Made with pyarrow 26.0.1, polars 2.1.0, duckdb 2.0.0, pyspark 4.3.0. The texts are computed here, by the
rules of ParquetBatch.appendText, from the values and not from any file.
"""
import argparse, datetime as dt, decimal, json, os, random, shutil
import numpy as np, pyarrow as pa, pyarrow.parquet as pq

EPOCH = dt.datetime(1970, 1, 1)


def fraction(units, width):
    """The fraction of a second, without zeros at its end."""
    return ("." + str(units).rjust(width, "0").rstrip("0")) if units else ""


def timestamp_text(units, width):
    seconds, rest = divmod(units, 10**width)
    moment = EPOCH + dt.timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%d %H:%M:%S").rjust(19, "0") + fraction(rest, width)


def time_text(units, width):
    seconds, rest = divmod(units, 10**width)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}" + fraction(rest, width)


def float_text(value):
    return repr(float(value))


def float32_text(value):
    """The shortest digits of a float32, as Python writes a float."""
    value = np.float32(value)
    if not np.isfinite(value):
        return repr(float(value))
    digits = np.format_float_scientific(value, unique=True, trim="0")
    mantissa, exponent = digits.split("e")
    return repr(float(f"{mantissa}e{exponent}"))


def decimal_text(unscaled, scale):
    sign, digits = "-" if unscaled < 0 else "", str(abs(unscaled)).rjust(scale + 1, "0")
    return sign + (digits[:-scale] + "." + digits[-scale:] if scale else digits)


class Column:
    """A name, an Arrow type, values for Arrow and the texts that stand for them."""

    def __init__(self, name, arrow, make, text, writers="apds"):
        self.name, self.arrow, self.make, self.text = name, arrow, make, text
        self.writers = writers


def spread(low, high):
    """Small numbers mostly, and the ends of the range."""
    def make(rng):
        kind = rng.random()
        if kind < 0.05: return rng.choice([low, high])
        if kind < 0.5: return max(low, min(high, rng.randint(-3, 9)))
        return rng.randint(low, high)
    return make


WORDS = ["", "a", "blue", "gr\u00fcn", "\u65e5\u672c", "x,y", "say \"hi\"", "a longer text than the others have", " s "]
FLOATS = [0.0, -0.0, 0.1, 1.0, -2.5, 1e16, 1e-7, 123456.789, float("inf"), float("-inf"), 3.4e38, 1e22]


def floats(single):
    def make(rng):
        value = rng.choice(FLOATS) if rng.random() < 0.4 else rng.uniform(-1000, 1000)
        return float(np.float32(value)) if single else value
    return make


def day(rng): return rng.choice([-719162, -1, 0, 2932896, 19782]) if rng.random() < 0.2 else rng.randint(-40000, 40000)


def moment(width):
    def make(rng):
        seconds = rng.choice([0, -1, 951782400, -2208988800]) if rng.random() < 0.3 else rng.randint(-2**31, 2**32)
        return seconds * 10**width + rng.choice([0, 0, 10**width // 2, rng.randrange(10**width)])
    return make


def clock(width): return lambda rng: rng.randrange(86400 * 10**width)


def unscaled(digits):
    def make(rng):
        value = rng.randrange(10 ** rng.randint(1, digits))
        return -value if rng.random() < 0.5 else value
    return make


def as_decimal(value, scale): return decimal.Decimal(value).scaleb(-scale, decimal.Context(prec=80))


def columns():
    integer = lambda name, arrow, low, high, w="apds": Column(name, arrow, spread(low, high), str, writers=w)
    result = [Column("flag", pa.bool_(), lambda r: r.random() < 0.5, lambda v: "true" if v else "false")]
    for bits in (8, 16, 32, 64):
        result.append(integer(f"i{bits}", getattr(pa, f"int{bits}")(), -2 ** (bits - 1), 2 ** (bits - 1) - 1))
        result.append(integer(f"u{bits}", getattr(pa, f"uint{bits}")(), 0, 2**bits - 1, "apd"))
    result += [
        Column("f32", pa.float32(), floats(True), float32_text),
        Column("f64", pa.float64(), floats(False), float_text),
        Column("word", pa.string(), lambda r: r.choice(WORDS), str),
        Column("name", pa.string(), lambda r: "n%06d" % r.randrange(10**6), str),
        Column("day", pa.date32(), day, lambda v: "%04d-%02d-%02d" % (dt.date(1970, 1, 1) + dt.timedelta(v)).timetuple()[:3]),
        Column("ms", pa.timestamp("ms"), moment(3), lambda v: timestamp_text(v, 3), writers="apd"),
        Column("us", pa.timestamp("us", tz="UTC"), moment(6), lambda v: timestamp_text(v, 6)),
        Column("ns", pa.timestamp("ns"), moment(9), lambda v: timestamp_text(v, 9), writers="ap"),
        Column("clock", pa.time64("us"), clock(6), lambda v: time_text(v, 6), writers="apd"),
        Column("d9", pa.decimal128(9, 2), unscaled(9), lambda v: decimal_text(v, 2)),
        Column("d18", pa.decimal128(18, 6), unscaled(18), lambda v: decimal_text(v, 6)),
        Column("d38", pa.decimal128(38, 10), unscaled(38), lambda v: decimal_text(v, 10)),
        Column("none", pa.int32(), lambda r: None, str),
    ]
    return result


def arrow_array(column, values):
    if pa.types.is_decimal(column.arrow):
        values = [None if v is None else as_decimal(v, column.arrow.scale) for v in values]
        return pa.array(values, column.arrow)
    if pa.types.is_date(column.arrow): return pa.array(values, pa.int32()).cast(column.arrow)
    if pa.types.is_timestamp(column.arrow) or pa.types.is_time(column.arrow):
        return pa.array(values, pa.int64()).cast(column.arrow)
    return pa.array(values, column.arrow)


def make_table(rows, seed=1):
    """An Arrow table and, by column, its texts."""
    rng = random.Random(seed)
    arrays, names, texts = [], [], {}
    for column in columns():
        values = [None if rng.random() < 0.1 else column.make(rng) for _ in range(rows)]
        if column.name in ("i32", "name"): values = [column.make(rng) for _ in range(rows)]
        # A run of equal values and a run of nulls: both kinds of runs in levels and indices.
        for row in range(rows // 4, rows // 2): values[row] = values[rows // 4]
        if column.name not in ("i32", "name"):
            for row in range(rows // 2, rows // 2 + rows // 8): values[row] = None
        arrays.append(arrow_array(column, values))
        names.append(column.name)
        texts[column.name] = [None if v is None else column.text(v) for v in values]
    return pa.table(arrays, names=names), texts


def of(writer, table):
    return table.select([c.name for c in columns() if writer in c.writers and c.name in table.column_names])


def arrow_files(table, folder, name=lambda n: n):
    fields = [f.with_nullable(f.name not in ("i32", "name")) for f in table.schema]
    table = table.cast(pa.schema(fields))
    whole = [f.name for f in fields if pa.types.is_integer(f.type)]
    texts = [f.name for f in fields if pa.types.is_string(f.type)]
    streams = [f.name for f in fields if f.name in ("i32", "i64", "f32", "f64", "d38")]
    fixed = [f.name for f in fields if f.name == "d38"]
    of_ = lambda names, encoding: {n: encoding for n in names if n in table.column_names}
    settings = {
        "default": {}, "none": dict(compression="none"), "gzip": dict(compression="gzip"),
        "zstd": dict(compression="zstd"), "lz4": dict(compression="lz4"),
        "v2": dict(data_page_version="2.0"), "v2none": dict(data_page_version="2.0", compression="none"),
        "plain": dict(use_dictionary=False), "format1": dict(version="1.0", coerce_timestamps="us", allow_truncated_timestamps=True),
        "crc": dict(write_page_checksum=True), "pages": dict(data_page_size=64, write_batch_size=7, dictionary_pagesize_limit=64),
        "groups": dict(row_group_size=max(5, table.num_rows // 3)),
        "int96": dict(use_deprecated_int96_timestamps=True),
        "decimals": dict(store_decimal_as_integer=True),
        "delta": dict(use_dictionary=False, column_encoding=of_(whole, "DELTA_BINARY_PACKED") | of_(texts, "DELTA_LENGTH_BYTE_ARRAY")),
        "front": dict(use_dictionary=False, column_encoding=of_(texts + fixed, "DELTA_BYTE_ARRAY"), data_page_version="2.0"),
        "streams": dict(use_dictionary=False, column_encoding=of_(streams, "BYTE_STREAM_SPLIT")),
        "brotli": dict(compression="brotli"),
    }
    for key, options in settings.items():
        if key == "format1":
            # Unsigned 32-bit integers become INT64 there, nanoseconds microseconds.
            part = table.drop_columns([n for n in ("u32", "ns") if n in table.column_names])
        elif key == "int96":
            part = table.drop_columns([n for n in ("ms",) if n in table.column_names])
        else:
            part = table
        pq.write_table(part, f"{folder}/{name('pyarrow-' + key)}.parquet", store_schema=False, write_statistics=key == "default", **options)


def polars_files(table, folder, settings, name=lambda n: n):
    import polars as pl
    frame = pl.from_arrow(table)
    for key, options in settings.items():
        frame.write_parquet(f"{folder}/{name('polars-' + key)}.parquet", **options)


POLARS = {
    "default": {}, "snappy": dict(compression="snappy"), "gzip": dict(compression="gzip"), "lz4": dict(compression="lz4"),
    "none": dict(compression="uncompressed"), "groups": dict(row_group_size=1000), "pages": dict(data_page_size=512),
}
DUCKDB = {
    "default": "", "zstd": ", CODEC 'zstd'", "gzip": ", CODEC 'gzip'", "lz4": ", CODEC 'lz4_raw'",
    "none": ", CODEC 'uncompressed'", "v2": ", PARQUET_VERSION v2", "groups": ", ROW_GROUP_SIZE 4096",
    "plain": ", DICTIONARY_SIZE_LIMIT 1",
}
SPARK = {
    "default": {}, "none": {"compression": "none"}, "gzip": {"compression": "gzip"}, "zstd": {"compression": "zstd"},
    "lz4": {"compression": "lz4"}, "lz4raw": {"compression": "lz4_raw"}, "plain": {"parquet.enable.dictionary": "false"},
    "v2": {"parquet.writer.version": "v2"}, "pages": {"parquet.page.size": "512", "parquet.page.row.count.limit": "100"},
    "streams": {"parquet.enable.dictionary": "false", "parquet.writer.version": "v2", "parquet.enable.bytestreamsplit": "true"},
}
SPARK_CONF = {
    "int96": {"spark.sql.parquet.outputTimestampType": "INT96"},
    "micros": {"spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS"},
    "legacy": {"spark.sql.parquet.writeLegacyFormat": "true"},
}


def duckdb_files(table, folder, settings, name=lambda n: n):
    import duckdb
    connection = duckdb.connect()
    connection.execute("SET threads TO 1; SET preserve_insertion_order TO true")
    connection.register("t", table)
    for key, options in settings.items():
        connection.execute(f"COPY t TO '{folder}/{name('duckdb-' + key)}.parquet' (FORMAT parquet{options})")


def spark_session(folder):
    from pyspark.sql import SparkSession
    return (SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
            .config("spark.sql.session.timeZone", "UTC").config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.driver.host", "127.0.0.1").config("spark.sql.warehouse.dir", f"{folder}/warehouse")
            .config("spark.sql.parquet.int96RebaseModeInWrite", "CORRECTED").config("spark.sql.ansi.enabled", "true")
            .config("spark.sql.parquet.datetimeRebaseModeInWrite", "CORRECTED").getOrCreate())


def spark_files(table, folder, settings, conf, name=lambda n: n, keep_folder=()):
    """Through a Parquet file of pyarrow's, which Spark reads."""
    session = spark_session(folder)
    source = f"{folder}/source-for-spark.parquet"
    pq.write_table(table, source, version="2.6", store_schema=False)
    frame = session.read.parquet(source).coalesce(1)
    for key, options in list(settings.items()) + [(k, {}) for k in conf]:
        for setting, value in conf.get(key, {}).items(): session.conf.set(setting, value)
        target = f"{folder}/{name('spark-' + key)}"
        shutil.rmtree(target, ignore_errors=True)
        frame.write.options(**options).parquet(target)
        for setting in conf.get(key, {}): session.conf.unset(setting)
        if key in keep_folder: continue
        part = next(f for f in os.listdir(target) if f.startswith("part-"))
        os.replace(f"{target}/{part}", target + ".parquet")
        shutil.rmtree(target)
    os.remove(source)
    session.stop()


def save_texts(table, texts, path):
    """CSV with every text in quotes; nothing between the delimiters is a null."""
    with open(path, "w", newline="") as out:
        out.write(",".join(table.column_names) + "\n")
        for row in range(table.num_rows):
            cells = (texts[n][row] for n in table.column_names)
            out.write(",".join("" if c is None else '"' + c.replace('"', '""') + '"' for c in cells) + "\n")


def fixtures(folder):
    os.makedirs(folder, exist_ok=True)
    table, texts = make_table(24, seed=7)
    shutil.rmtree(folder); os.makedirs(folder)
    # All types once from each writer.
    pq.write_table(of("a", table), f"{folder}/types-pyarrow.parquet", store_schema=False, write_statistics=False)
    polars_files(of("p", table), folder, {"x": dict(statistics=False)}, lambda n: "types-polars")
    duckdb_files(of("d", table), folder, {"x": ""}, lambda n: "types-duckdb")
    spark_files(of("s", table), folder, {}, {"legacy": SPARK_CONF["legacy"]}, lambda n: "types-spark")
    # Few columns with every setting.
    few = table.select(["flag", "i32", "i64", "f64", "word", "d38", "us"])
    os.makedirs(folder + "/few")
    arrow_files(few, folder + "/few")
    arrow_few = few.select(["flag", "i64", "f64", "word"])
    duckdb_files(arrow_few, folder + "/few", {k: DUCKDB[k] for k in ("v2", "gzip")})
    polars_files(arrow_few, folder + "/few", {k: POLARS[k] for k in ("default", "lz4")})
    spark_files(few, folder + "/few", {k: SPARK[k] for k in ("v2", "lz4")}, {"int96": SPARK_CONF["int96"]})
    # What is refused.
    pq.write_table(pa.table({"id": [1, 2], "tags": [["a"], ["b", "c"]], "place": [{"x": 1}, {"x": 2}]}),
                   f"{folder}/nested.parquet", store_schema=False, write_statistics=False)
    encrypted(f"{folder}/encrypted.parquet")
    with open(f"{folder}/texts.json", "w") as out:
        json.dump(texts, out, ensure_ascii=False, separators=(",", ":")); out.write("\n")


def encrypted(path):
    import pyarrow.parquet.encryption as pe

    class Client(pe.KmsClient):
        def __init__(self, _): pe.KmsClient.__init__(self)
        def wrap_key(self, key, name): import base64; return base64.b64encode(key)
        def unwrap_key(self, key, name): import base64; return base64.b64decode(key)

    factory = pe.CryptoFactory(lambda c: Client(c))
    properties = factory.file_encryption_properties(
        pe.KmsConnectionConfig(), pe.EncryptionConfiguration(footer_key="k", column_keys={"k": ["id"]}))
    table = pa.table({"id": [1, 2]})
    with pq.ParquetWriter(path, table.schema, encryption_properties=properties, store_schema=False) as writer:
        writer.write_table(table)


def variants(folder, rows):
    os.makedirs(folder, exist_ok=True)
    table, texts = make_table(rows)
    save_texts(table, texts, f"{folder}/expected.csv")
    arrow_files(of("a", table), folder)
    polars_files(of("p", table), folder, POLARS)
    duckdb_files(of("d", table), folder, DUCKDB)
    spark_files(of("s", table), folder, SPARK, SPARK_CONF)


def speed(folder, rows):
    """12 columns of 0, 1 and missing values, as census tables have, each as the writer's own type."""
    import polars as pl, duckdb
    os.makedirs(folder, exist_ok=True)
    rng = np.random.default_rng(1)
    names = ["sex", "married", "black", "asian", "collegedegree", "employed", "militaryservice", "uscitizen",
             "disability", "englishability", "blackfemale", "targetted"]
    shares = [0.52, 0.54, 0.06, 0.11, 0.38, 0.6, 0.06, 0.9, 0.15, 0.8, 0.03, 0.25]
    data = {n: pa.array((rng.random(rows) < p).astype(np.int64), mask=rng.random(rows) < 0.002) for n, p in zip(names, shares)}
    table = pa.table(data)
    pl.from_arrow(table).write_parquet(f"{folder}/polars.parquet")
    connection = duckdb.connect(); connection.execute("SET threads TO 1"); connection.register("t", table)
    connection.execute(f"COPY t TO '{folder}/duckdb.parquet' (FORMAT parquet)")
    tiny = pa.table({n: c.cast(pa.int8()) for n, c in zip(table.column_names, table.columns)})
    spark_files(tiny, folder, {"default": {}}, {}, lambda n: "spark")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["fixtures", "variants", "speed"]); parser.add_argument("folder")
    parser.add_argument("--rows", type=int)
    arguments = parser.parse_args()
    folder = os.path.abspath(arguments.folder)
    if arguments.what == "fixtures": fixtures(folder)
    if arguments.what == "variants": variants(folder, arguments.rows or 20000)
    if arguments.what == "speed": speed(folder, arguments.rows or 1200000)
