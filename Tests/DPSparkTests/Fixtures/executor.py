#!/usr/bin/env python3
"""Speaks the protocol of docs/spark-protocol.md with a Spark inside this process, for tests.

The tests compare what Spark makes of the SQL with what the native engine makes; for that it does not
matter how the SQL gets to Spark. Needs pyspark and Java.
"""
import json
import os
import sys

out = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)  # whatever Spark prints


def say(reply):
    out.write(json.dumps(reply) + "\n")


def plain(value):
    """A value as the protocol has it: JSON knows no NaN and no infinity."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return value


def connect(request):
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    from pyspark.sql import SparkSession

    local = request.get("local", {})
    builder = (
        SparkSession.builder.master(f"local[{local.get('cores', '2')}]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.catalogImplementation", "in-memory")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.memory", "1g")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.shuffle.partitions", "3")
        .config("spark.log.level", "OFF")
    )
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    for name, value in request.get("configuration", {}).items():
        session.conf.set(name, value)
    return session


def failure(error):
    condition = getattr(error, "getCondition", lambda: None)()
    state = getattr(error, "getSqlState", lambda: None)()
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    if condition is None and "USER_RAISED_EXCEPTION" in str(error):
        condition = "USER_RAISED_EXCEPTION"
    status = 66 if condition == "PATH_NOT_FOUND" else 65 if (state or "").startswith("22") else 70
    return {"status": status, "condition": condition, "message": text, "remedy": "see the log"}


def main():
    session = None
    for line in sys.stdin:
        request = json.loads(line)
        number = request["id"]
        try:
            if "connect" in request:
                session = connect(request["connect"])
                say({"id": number, "connected": {"protocol": 1, "version": session.version}})
            elif "run" in request:
                frame = session.sql(request["run"]["sql"])
                rows = [] if request["run"]["kind"] == "command" else frame.collect()
                say({"id": number, "rows": {"columns": frame.columns, "types": [], "values": [[plain(value) for value in row] for row in rows]}})
        except Exception as error:  # Spark's errors have many classes
            say({"id": number, "error": failure(error)})
    if session is not None:
        session.stop()


main()
