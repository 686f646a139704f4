#!/usr/bin/env python3
"""Runs fastdp-spark, and fastdp with it, against a real Spark: what ends well, and everything that can go wrong.

Usage: scripts/spark test, which calls this with SPARK_HOME set:   python3 scripts/spark_test.py FASTDP_SPARK FASTDP [NAME...]

Without names all of TESTS run, in about four minutes on two cores. One cluster (master, two workers with an executor
each, Connect server) and three local Sparks are started; nothing is left running, whatever fails.
"""
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = None
FASTDP = None
FOLDER = None
ROWS = 5_000_000
# A hard end, and the time after which no further test is begun (scripts/spark test --if-there, for make test).
LIMIT = 900
BEGIN_WITHIN = float(os.environ.get("FASTDP_SPARK_TEST_SECONDS", LIMIT))
ENDINGS = ("connected", "rows", "error", "cancelled", "disconnected")


class Failure(Exception):
    pass


def check(condition, what):
    if not condition:
        raise Failure(what)


def wait_until(condition, what, limit=30):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise Failure(f"after {limit} s not yet: {what}")


class Client:
    """A running fastdp-spark."""

    living = []

    def __init__(self, environment=None):
        Client.living.append(self)
        self.state = os.path.join(FOLDER, "state")
        self.process = subprocess.Popen(
            [PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "XDG_STATE_HOME": self.state, **(environment or {})})
        self.lines = queue.Queue()
        self.seen = []
        self.next = 0
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))
        self.lines.put(None)

    def send(self, **body):
        self.next += 1
        self.process.stdin.write(json.dumps({"id": self.next, **body}) + "\n")
        self.process.stdin.flush()
        return self.next

    def take(self, limit=120):
        try:
            reply = self.lines.get(timeout=limit)
        except queue.Empty:
            raise Failure(f"no reply within {limit} s") from None
        if reply is None:
            raise Failure(f"fastdp-spark ended with {self.process.wait()}")
        self.seen.append(reply)
        return reply

    def end_of(self, request, limit=120):
        while True:
            reply = self.take(limit)
            kind = next((k for k in ENDINGS if k in reply), None)
            if reply["id"] == request and kind:
                return kind, reply[kind]

    def progress_of(self, request, enough=lambda p: p["tasks"] > 0):
        """Waits for a report of a statement that is under way."""
        while True:
            reply = self.take()
            check(not (reply["id"] == request and "error" in reply), f"ended early: {reply}")
            check(not (reply["id"] == request and "rows" in reply), "ended before it could be disturbed")
            if reply["id"] == request and "progress" in reply and enough(reply["progress"]):
                return reply["progress"]

    def connect(self, remote, **more):
        kind, content = self.end_of(self.send(connect={"remote": remote, **more}))
        check(kind == "connected", f"{kind}: {content}")
        return content

    def run(self, sql, kind="query", limit=120):
        return self.end_of(self.send(run={"sql": sql, "kind": kind, "title": "test"}), limit)

    def rows(self, sql, kind="query"):
        end, content = self.run(sql, kind)
        check(end == "rows", f"{sql[:80]}: {content}")
        return content["values"]

    def close(self, limit=30):
        self.process.stdin.close()
        return self.process.wait(limit)

    def leave(self):
        """Ends what a test has left running, the statement on the cluster too."""
        try:
            self.process.stdin.close()
            self.process.wait(20)
        except (OSError, ValueError, subprocess.SubprocessError):
            self.kill()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Cluster:
    """What scripts/spark start has started."""

    remote = None

    @property
    def run(self):
        return os.path.join(FOLDER, "cluster")

    def start(self):
        conf = " ".join(f"--conf {c}" for c in [
            "spark.connect.execute.reattachable.senderMaxStreamDuration=2s",
            "spark.connect.execute.manager.detachedTimeout=120s"])
        self.remote = subprocess.run(
            [os.path.join(HERE, "spark"), "start", "--token", "sesame"], check=True, text=True,
            stdout=subprocess.PIPE, env={**os.environ, "FASTDP_SPARK_RUN": self.run, "FASTDP_SPARK_CONF": conf},
        ).stdout.strip()

    def stop(self):
        subprocess.run([os.path.join(HERE, "spark"), "stop"], env={**os.environ, "FASTDP_SPARK_RUN": self.run})

    def ask(self, path):
        with open(os.path.join(self.run, "driver.url")) as file:
            driver = file.read().strip()
        with urllib.request.urlopen(f"{driver}/api/v1/applications{path}", timeout=10) as answer:
            return json.load(answer)

    def running_jobs(self):
        return self.ask(f"/{self.ask('')[0]['id']}/jobs?status=running")

    def master(self):
        with open(os.path.join(self.run, "master.url")) as file:
            with urllib.request.urlopen(file.read().strip() + "/json/", timeout=10) as answer:
                return json.load(answer)

    def process(self, name):
        with open(os.path.join(self.run, f"{name}.pid")) as file:
            return int(file.read())

    def executors(self):
        """Process numbers of the executors: the children of the workers."""
        workers = {self.process("worker1"), self.process("worker2")}
        table = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], check=True, text=True, stdout=subprocess.PIPE).stdout
        return [int(fields[0]) for fields in (line.split(None, 2) for line in table.splitlines())
                if int(fields[1]) in workers and "CoarseGrainedExecutorBackend" in fields[2]]

    def idle(self):
        wait_until(lambda: not self.running_jobs(), "no job of the cluster is running")


CLUSTER = Cluster()


def table():
    return f"csv.`{FOLDER}/table`"


def slow(count=ROWS, rounds=60):
    """A query over the table whose every row costs something; its sum is the number of rows."""
    work = f"sha2(repeat(_c0, {rounds}), 512)"
    return f"SELECT count(*), sum(CASE WHEN length({work}) = 128 THEN 1 ELSE 0 END) FROM {table()} LIMIT {count}"


def slow_write(out, rounds=60):
    return (f"INSERT OVERWRITE DIRECTORY '{out}' USING parquet "
            f"SELECT CAST(_c0 AS BIGINT) AS id, sha2(repeat(_c0, {rounds}), 512) AS h FROM {table()}")


def has_result(out):
    return os.path.exists(os.path.join(out, "_SUCCESS"))


def expect_error(end, status, words="", condition=None):
    kind, content = end
    check(kind == "error", f"no error but {kind}: {str(content)[:200]}")
    check(content["status"] == status, f"status {content['status']}, not {status}: {content}")
    check(words in content["message"], f"{words!r} is not in {content['message']!r}")
    check(condition is None or content.get("condition") == condition, f"{content}")
    check("\n" not in content["message"] + content["remedy"] and content["remedy"], f"{content}")


def check_progress(client, request):
    reports = [r["progress"] for r in client.seen if r["id"] == request and "progress" in r]
    for before, after in zip(reports, reports[1:]):
        check(all(after[k] >= before[k] for k in after), f"progress fell from {before} to {after}")
    check(all(p["completed"] <= p["tasks"] for p in reports), "more was completed than there is")
    return len(reports)


def make_table():
    """The table that all tests read: 5 million rows in 20 files."""
    client = Client()
    client.connect(CLUSTER.remote)
    client.rows(f"INSERT OVERWRITE DIRECTORY '{FOLDER}/table' USING csv "
                f"SELECT id, id % 7 FROM range(0, {ROWS}, 1, 20)", "command")
    check(len([n for n in os.listdir(f"{FOLDER}/table") if n.endswith(".csv")]) == 20, "not 20 files")
    check(client.rows(f"SELECT count(*), sum(CAST(_c0 AS BIGINT)) FROM {table()}")
          == [[ROWS, ROWS * (ROWS - 1) // 2]], "rows are missing")
    check(client.close() == 0, "the end of input is no clean end")


def types_and_errors():
    client = Client()
    client.connect(CLUSTER.remote, configuration={"spark.sql.ansi.enabled": "true", "spark.sql.session.timeZone": "UTC"})
    kind, content = client.run(
        "SELECT CAST(NULL AS VOID) v, true b, 1Y i8, 2S i16, 3 i32, 9223372036854775807L i64, CAST(0.1 AS FLOAT) f32, "
        "0.1D f64, double('NaN') nan, -12.30 d, 'x\"y' s, X'00FF' bin, DATE'2024-02-29' dt, "
        "TIMESTAMP'2024-02-29 23:59:59.123456' ts, TIMESTAMP_NTZ'2024-02-29 12:00:00' ntz")
    check(kind == "rows", f"{content}")
    check(content["types"] == ["null", "bool", "int8", "int16", "int32", "int64", "float32", "float64", "float64",
                               "decimal", "string", "binary", "date", "timestamp", "timestamp_ntz"], content["types"])
    check(content["values"] == [[None, True, 1, 2, 3, 9223372036854775807, 0.1, 0.1, "NaN", "-12.30", 'x"y', "AP8=",
                                 "2024-02-29", "2024-02-29T23:59:59.123456Z", "2024-02-29T12:00:00.000000"]],
          content["values"])
    check(len(client.rows("SELECT id, 'some words' w FROM range(100000)")) == 100_000, "not 100,000 rows")
    check(client.rows("SET spark.sql.shuffle.partitions=2", "command") != [], "SET hands nothing back")
    errors = [
        ("SELECT id FROM range(100001)", "query", 70, None),
        ("SELECT array(1)", "query", 70, None),
        ("SELCT 1", "query", 70, "PARSE_SYNTAX_ERROR"),
        ("SELECT nothing FROM range(1)", "query", 70, "UNRESOLVED_COLUMN.WITH_SUGGESTION"),
        ("SELECT 1; SELECT 2", "query", 70, "PARSE_SYNTAX_ERROR"),
        ("SELECT * FROM parquet.`/no/such/folder`", "query", 66, "PATH_NOT_FOUND"),
        ("SELECT * FROM no_such_table", "query", 66, "TABLE_OR_VIEW_NOT_FOUND"),
        ("SELECT CAST('hidden' AS INT)", "query", 65, "CAST_INVALID_INPUT"),
        ("SELECT 1 / 0", "query", 65, "DIVIDE_BY_ZERO"),
        ("SELECT raise_error('column age: a value outside')", "query", 65, "USER_RAISED_EXCEPTION"),
        (f"INSERT OVERWRITE DIRECTORY '{FOLDER}/cast' USING parquet SELECT CAST(concat('hidden', id) AS INT) x "
         "FROM range(10)", "command", 65, "CAST_INVALID_INPUT"),
        ("INSERT OVERWRITE DIRECTORY '/proc/none/out' USING parquet SELECT 1 x", "command", 73, None),
        (f"CREATE TABLE t USING parquet LOCATION '{FOLDER}/table' AS SELECT 1 x", "command", 73, None),
    ]
    for sql, kind, status, condition in errors:
        end = client.run(sql, kind)
        expect_error(end, status, condition=condition)
        check("hidden" not in json.dumps(end[1]), "a cell is quoted")
    check(not has_result(f"{FOLDER}/cast"), "a write that failed looks done")
    expect_error(client.run("SELECT raise_error('column age: a value outside')"), 65, "column age: a value outside")
    check(client.close() == 0, "the end of input is no clean end")
    end = Client().refused(CLUSTER.remote, configuration={"spark.executor.memory": "9g"})
    expect_error(end, 70, condition="CANNOT_MODIFY_CONFIG")


def refused(self, remote, **more):
    end = self.end_of(self.send(connect={"remote": remote, **more}))
    check(self.close() == 0, "ends badly")
    return end


Client.refused = refused


def wrong_token_and_host():
    server = CLUSTER.remote.split("/;")[0]
    expect_error(Client().refused(server), 69, "token")
    expect_error(Client().refused(server + "/;token=wrong"), 69, "token")
    expect_error(Client().refused("sc://127.0.0.1:1"), 69, "nothing listens")
    expect_error(Client().refused("sc://no-such-host.invalid:15002"), 69, "no address")
    with open(os.path.join(CLUSTER.run, "master.url")) as file:
        web = file.read().strip().replace("http://", "sc://")
    expect_error(Client().refused(web), 69)
    expect_error(Client().refused(server + "/;token=sesame;use_ssl=true"), 69)


def stream_cut():
    """The server ends every stream after 2 s; a statement of more than that goes on over several."""
    client = Client()
    client.connect(CLUSTER.remote)
    began = time.monotonic()
    request = client.send(run={"sql": slow(rounds=30), "kind": "query"})
    kind, content = client.end_of(request)
    check(kind == "rows" and content["values"] == [[ROWS, ROWS]], f"{content}")
    check(time.monotonic() - began > 2.5, "too fast to be cut")
    check(check_progress(client, request) >= 2, "no progress was reported")
    check(client.close() == 0, "ends badly")


def executor_killed_in_read():
    client = Client()
    client.connect(CLUSTER.remote)
    request = client.send(run={"sql": slow(), "kind": "query"})
    client.progress_of(request, lambda p: 0 < p["completed"])
    os.kill(CLUSTER.executors()[0], signal.SIGKILL)
    kind, content = client.end_of(request)
    check(kind == "rows" and content["values"] == [[ROWS, ROWS]], f"{content}")
    check_progress(client, request)
    check(client.close() == 0, "ends badly")
    CLUSTER.idle()


def executor_killed_in_write():
    out = f"{FOLDER}/write"
    client = Client()
    client.connect(CLUSTER.remote)
    wait_until(lambda: len(CLUSTER.executors()) == 2, "both executors are back")
    request = client.send(run={"sql": slow_write(out), "kind": "command"})
    client.progress_of(request, lambda p: 0 < p["completed"])
    os.kill(CLUSTER.executors()[0], signal.SIGKILL)
    kind, content = client.end_of(request)
    check(kind == "rows", f"{content}")
    check(has_result(out), "no _SUCCESS")
    check(client.rows(f"SELECT count(*), sum(id), sum(id % 1009 * id), min(length(h)) FROM parquet.`{out}`")
          == [[ROWS, ROWS * (ROWS - 1) // 2, sum(i % 1009 * i for i in range(ROWS)), 128]], "rows are missing or doubled")
    check_progress(client, request)
    check(client.close() == 0, "ends badly")
    CLUSTER.idle()


def interrupted(end):
    """Starts a write, ends the program in some way, and looks at what is left."""
    out = f"{FOLDER}/interrupted"
    shutil.rmtree(out, ignore_errors=True)
    client = Client()
    client.connect(CLUSTER.remote)
    request = client.send(run={"sql": slow_write(out, 200), "kind": "command"})
    client.progress_of(request)
    wait_until(CLUSTER.running_jobs, "a job runs")
    end(client, request)
    CLUSTER.idle()
    check(not has_result(out), "a write that was ended looks done")


def ctrl_c():
    def end(client, request):
        client.process.send_signal(signal.SIGINT)
        expect_error(client.end_of(request), 130)
        check(client.process.wait(30) == 130, "not status 130")
    interrupted(end)


def cancelled():
    def end(client, request):
        client.send(cancel={"id": request})
        expect_error(client.end_of(request), 130)
        check(client.rows("SELECT 1") == [[1]], "the session is gone")
        check(client.close() == 0, "ends badly")
    interrupted(end)


def caller_killed():
    """fastdp is killed with -9: its end of the pipe closes."""
    interrupted(lambda client, request: check(client.close() == 0, "ends badly"))


def client_killed():
    """fastdp-spark is killed with -9: its job runs on until the next connection to the same server."""
    def end(client, request):
        client.kill()
        check(CLUSTER.running_jobs(), "the job has ended by itself: nothing is tested")
        state = os.path.join(client.state, "fastdp", "spark")
        files = os.listdir(state)
        check(len(files) == 1, f"state files: {files}")
        with open(os.path.join(state, files[0])) as file:
            check("sesame" not in file.read(), "the token is in the state file")
        check(os.stat(os.path.join(state, files[0])).st_mode & 0o777 == 0o600, "others may read the state file")
        following = Client()
        following.connect(CLUSTER.remote)
        check(any("released session" in r.get("note", {}).get("message", "") for r in following.seen), "no note")
        wait_until(lambda: not CLUSTER.running_jobs(), "the job was released", 15)
        check(following.close() == 0, "ends badly")
        check(os.listdir(state) == [], "a state file is left")
    interrupted(end)


# What fastdp prepare does with all of that: the table is prepared here once, and on the cluster under faults.

SCHEMA = """label: seventh
columns:
  number: {type: numeric, bounds: [0, 5000000]}
  seventh: {type: categorical, categories: [0, 1, 2, 3, 4, 5, 6]}
"""
PREPARED = {}


def fastdp(*words):
    return subprocess.run([FASTDP, *words], text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)


class Preparation:
    """A running fastdp prepare --engine spark of the table."""

    def __init__(self, name, *more):
        self.out = f"{FOLDER}/{name}"
        self.state = os.path.join(FOLDER, "state")
        self.process = subprocess.Popen(
            [FASTDP, "prepare", f"{FOLDER}/table/*.csv", *TABLE, "--out", self.out, "--engine", "spark",
             "--spark-remote", CLUSTER.remote.split("/;")[0], *more],
            text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "FASTDP_SPARK": PROGRAM, "FASTDP_SPARK_TOKEN": "sesame",
                 "XDG_STATE_HOME": self.state})

    def helper(self):
        """The process of fastdp-spark."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as found:
            return int(found.read().split()[0])

    def wait_for_tasks(self, writing):
        """Waits until the rows are counted, or written, and some tasks of that are done."""
        def is_there():
            check(self.process.poll() is None, f"it ended before it could be disturbed: {self.process.returncode}")
            jobs = [j for j in CLUSTER.running_jobs() if j["numTasks"] >= 20 and j["numCompletedTasks"] > 0]
            return jobs and os.path.exists(f"{self.out}/_temporary") == writing
        wait_until(is_there, "tasks are done", 60)

    def end(self, status, words="", limit=120):
        """Waits for the end, and checks what was said."""
        output, errors = self.process.communicate(timeout=limit)
        check(self.process.returncode == status, f"status {self.process.returncode}, not {status}: {errors}")
        check(words in errors and "Exception" not in errors, f"{words!r} is not in what was said: {errors}")
        return output, errors

    def expect_nothing(self):
        """Checks that what is left is taken for no result by anybody."""
        check(not os.path.exists(f"{self.out}/_fastdp/_SUCCESS"), "a preparation that was ended looks done")
        refused = fastdp("train", self.out, "--out", f"{FOLDER}/none", "--steps", "1", "--non-private")
        check(refused.returncode in (65, 66) and len(refused.stderr.splitlines()) == 1, f"{refused}")


TABLE = []


def contents(data):
    """What a dataset's rows hash to, and the model that one step makes of them."""
    run = f"{FOLDER}/run"
    done = fastdp("train", data, "--out", run, "--overwrite", "--steps", "1", "--batch-size", "5000",
                  "--insecure-seed", "1", "--numerics", "canonical")
    check(done.returncode == 0, done.stderr)
    with open(f"{run}/run.json") as record, open(f"{run}/model.safetensors", "rb") as model:
        return json.load(record)["exact"]["contentHash"], model.read()


def expect_prepared(preparation, output):
    """Checks that the result is the native engine's, counts and rows."""
    found = json.loads(output)
    for key in ["rowsRead", "rowsKept", "rowsMissing", "rowsRejected", "trainExamples", "testExamples", "features"]:
        check(found[key] == PREPARED["counts"][key], f"{key} is {found[key]}, not {PREPARED['counts'][key]}")
    check(contents(preparation.out) == PREPARED["contents"], "other rows than the native engine's")
    shutil.rmtree(preparation.out)
    CLUSTER.idle()


def prepare_here():
    """The table by the native engine: what the cluster is compared with."""
    with open(f"{FOLDER}/schema.yaml", "w") as schema:
        schema.write(SCHEMA)
    TABLE[:] = ["--schema", f"{FOLDER}/schema.yaml", "--columns", "number,seventh", "--source", "numbers", "--json"]
    out = f"{FOLDER}/native.safetensors"
    done = fastdp("prepare", f"{FOLDER}/table/*.csv", *TABLE, "--out", out)
    check(done.returncode == 0, done.stderr)
    PREPARED["counts"] = json.loads(done.stdout)
    check(PREPARED["counts"]["rowsKept"] == ROWS, f"{done.stdout}")
    PREPARED["contents"] = contents(out)


def prepare_loses_executors():
    """One executor is killed while rows are counted, another while they are written."""
    preparation = Preparation("spark-lost")
    wait_until(lambda: len(CLUSTER.executors()) == 2, "both executors are there")
    preparation.wait_for_tasks(writing=False)
    os.kill(CLUSTER.executors()[0], signal.SIGKILL)
    wait_until(lambda: os.path.exists(f"{preparation.out}/_temporary"), "rows are written", 120)
    wait_until(lambda: len(CLUSTER.executors()) == 2, "both executors are back")
    preparation.wait_for_tasks(writing=True)
    os.kill(CLUSTER.executors()[0], signal.SIGKILL)
    expect_prepared(preparation, preparation.end(0)[0])


def prepare_interrupted():
    preparation = Preparation("spark-stopped")
    preparation.wait_for_tasks(writing=True)
    preparation.process.send_signal(signal.SIGINT)
    _, errors = preparation.end(130, limit=30)
    check(len(errors.splitlines()) <= 2, errors)
    CLUSTER.idle()
    preparation.expect_nothing()
    check(os.listdir(f"{preparation.state}/fastdp/spark") == [], "a session is left")


def prepare_killed():
    """fastdp dies by -9 while rows are written; what it has left can be overwritten."""
    preparation = Preparation("spark-killed")
    preparation.wait_for_tasks(writing=True)
    helper = preparation.helper()
    preparation.process.kill()
    preparation.process.communicate()
    CLUSTER.idle()
    wait_until(lambda: not os.path.exists(f"/proc/{helper}"), "fastdp-spark has ended", 20)
    preparation.expect_nothing()
    again = Preparation("spark-killed", "--overwrite")
    expect_prepared(again, again.end(0)[0])


def prepare_loses_its_helper():
    """fastdp-spark dies by -9 while rows are written: fastdp says so, and the next one ends the job."""
    preparation = Preparation("spark-helper")
    preparation.wait_for_tasks(writing=True)
    os.kill(preparation.helper(), signal.SIGKILL)
    preparation.end(69, "fastdp-spark", limit=30)
    preparation.expect_nothing()
    client = Client()
    client.connect(CLUSTER.remote)
    CLUSTER.idle()
    check(client.close() == 0, "ends badly")
    preparation.expect_nothing()


def server_killed():
    """The last test of the cluster: the Connect server dies during a write, and during a preparation's."""
    out = f"{FOLDER}/server"
    preparation = Preparation("spark-server")
    preparation.wait_for_tasks(writing=True)
    client = Client()
    client.connect(CLUSTER.remote, patience=3)
    request = client.send(run={"sql": slow_write(out), "kind": "command"})
    client.progress_of(request)
    check(preparation.process.poll() is None, "the preparation ended before it could be disturbed")
    os.kill(CLUSTER.process("connect"), signal.SIGKILL)
    began = time.monotonic()
    expect_error(client.end_of(request), 69)
    check(time.monotonic() - began < 20, "too slow to notice")
    check(client.close() == 0, "ends badly")
    check(not has_result(out), "a write that was ended looks done")
    preparation.end(69, CLUSTER.remote.split("/;")[0].removeprefix("sc://"), limit=60)
    preparation.expect_nothing()
    wait_until(lambda: not CLUSTER.master()["activeapps"], "the master has dropped the application", 60)
    wait_until(lambda: not CLUSTER.executors(), "the executors are gone")


def local_processes():
    table = subprocess.run(["ps", "-eo", "pid=,args="], check=True, text=True, stdout=subprocess.PIPE).stdout
    return [line for line in table.splitlines() if f"{FOLDER}/tmp/fastdp-spark-" in line]


def start_local(**local):
    os.makedirs(f"{FOLDER}/tmp", exist_ok=True)
    client = Client({"TMPDIR": f"{FOLDER}/tmp"})
    began = time.monotonic()
    kind, content = client.end_of(
        client.send(connect={"local": {"cores": "2", "memory": "1g", **local},
                             "configuration": {"spark.sql.ansi.enabled": "true"}}))
    check(kind == "connected", f"{content}")
    return client, time.monotonic() - began


def nothing_is_left():
    wait_until(lambda: not local_processes(), "no process of the local Spark is left", 20)
    wait_until(lambda: not os.listdir(f"{FOLDER}/tmp"), "its folder is gone", 20)


def local():
    client, seconds = start_local()
    check(client.rows("SELECT sum(id) FROM range(1000)") == [[499500]], "wrong sum")
    check(local_processes(), "nothing runs")
    check(client.close(60) == 0, "ends badly")
    nothing_is_left()
    return f"ready after {seconds:.1f} s"


def local_killed():
    client, _ = start_local()
    client.send(run={"sql": slow(), "kind": "query"})
    client.kill()
    nothing_is_left()


def session_expired():
    client, _ = start_local(configuration={
        "spark.connect.session.manager.defaultSessionTimeout": "2s",
        "spark.connect.session.manager.maintenanceInterval": "500ms"})
    time.sleep(5)
    end = client.run("SELECT 1")
    expect_error(end, 69, "session")
    check(client.close(60) == 0, "ends badly")
    nothing_is_left()
    return end[1]["condition"]


def no_java_and_no_spark():
    empty = {"PATH": "/nowhere", "JAVA_HOME": ""}
    for environment, words in [
        (empty, "no Java"), ({"JAVA_HOME": "/nowhere"}, "JAVA_HOME"),
        ({"SPARK_HOME": "/nowhere"}, "spark-submit"),
        ({"SPARK_HOME": "", "FASTDP_PYTHON": "/nowhere/python3"}, "no Spark"),
    ]:
        client = Client(environment)
        expect_error(client.end_of(client.send(connect={"local": {}})), 69, words)
        check(client.close() == 0, "ends badly")


# The order matters: the cluster is there for the first ones, and server_killed is its last.
ON_CLUSTER = [make_table, types_and_errors, wrong_token_and_host, stream_cut, executor_killed_in_read,
              executor_killed_in_write, ctrl_c, cancelled, caller_killed, client_killed, prepare_here,
              prepare_loses_executors, prepare_interrupted, prepare_killed, prepare_loses_its_helper, server_killed]
# What must have run before any test of the cluster.
FIRST = [make_table, prepare_here]
TESTS = [no_java_and_no_spark] + ON_CLUSTER + [local, local_killed, session_expired]


def run(tests):
    failed = []
    start = time.monotonic()
    for index, test in enumerate(tests):
        began = time.monotonic()
        if began - start > BEGIN_WITHIN:
            print(f"Skipped after {BEGIN_WITHIN:.0f} s: {', '.join(t.__name__ for t in tests[index:])} "
                  "(scripts/spark test runs all)", flush=True)
            break
        try:
            if test in ON_CLUSTER and CLUSTER.remote is None:
                CLUSTER.start()
                print(f"  a cluster was started in {time.monotonic() - began:.1f} s", flush=True)
                began = time.monotonic()
            more = test()
            print(f"✔ {test.__name__} ({time.monotonic() - began:.1f} s){', ' + more if more else ''}", flush=True)
        except (Failure, OSError, subprocess.SubprocessError, IndexError) as error:
            failed.append(test.__name__)
            print(f"✘ {test.__name__} ({time.monotonic() - began:.1f} s): {error}", flush=True)
        for client in Client.living:
            client.leave()
        Client.living.clear()
        # What a test that failed has left would be taken for the next one's.
        shutil.rmtree(f"{FOLDER}/state", ignore_errors=True)
    return failed


def main():
    global PROGRAM, FASTDP, FOLDER
    PROGRAM, FASTDP = map(os.path.abspath, sys.argv[1:3])
    tests = TESTS
    if sys.argv[3:]:
        tests = [t for t in TESTS if t.__name__ in sys.argv[3:]]
        if any(t in ON_CLUSTER for t in tests):
            tests = FIRST + [t for t in tests if t not in FIRST]
    FOLDER = tempfile.mkdtemp(prefix="fastdp-spark-test-")
    # Spark's processes are ended even where this one is interrupted.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"not done after {LIMIT} s"))
    signal.alarm(LIMIT)
    try:
        failed = run(tests)
    finally:
        CLUSTER.stop()
        if os.environ.get("FASTDP_KEEP"):
            print(f"kept {FOLDER}")
        else:
            shutil.rmtree(FOLDER, ignore_errors=True)
    left = [line for line in subprocess.run(["ps", "-eo", "pid=,args="], text=True, stdout=subprocess.PIPE).stdout
            .splitlines() if FOLDER in line and "spark_test" not in line]
    if left:
        failed.append("processes are left: " + "; ".join(line[:120] for line in left))
    print(f"{len(failed)} of {len(tests)} tests with Spark failed" + (f": {', '.join(failed)}" if failed else ""))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
