#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What all tools have in common: where the servers are, secrets, deadlines, errors, the topology cache."""

import contextlib
import glob
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest

from toollib import FAILED, NO, OK, ToolCase, sanitized, shared_cluster
from shardtest import HOST, Server, TempDir, clean_env, free_port, program

TOOLS = {
    "rget": ["k"],
    "rset": ["k", "v"],
    "rdel": ["k"],
    "rkeys": [],
    "rslots": [],
    "rcmd": ["GET", "k"],
}
SECRET = "s3cr3t-pw"


class Options(ToolCase):
    needs_cluster = False

    def test_help_and_version(self):
        for tool in TOOLS:
            out = self.ok(tool, "--help").decode()
            for word in ("--uri", "--timeout", "--password-file", "Exit status"):
                self.assertIn(word, out)
            self.assertRegex(self.ok(tool, "--version").decode(), rf"^{tool} \(shard\) \d+\.\d+\.\d+\n$")

    def test_usage_errors_are_one_line_and_status_2(self):
        for tool, words in TOOLS.items():
            self.error(FAILED, tool, "--nonsense", *words)
            self.error(FAILED, tool, "--uri")
            for number in ("0", "-1", "x", "", "1.5", "99999999999999999999", " 1", "\t1", "\n1", "1s"):
                self.assertIn("--timeout", self.error(FAILED, tool, f"--timeout={number}", *words))
        for tool in ("rget", "rdel", "rset", "rcmd"):
            self.error(FAILED, tool)
        self.error(FAILED, "rkeys", "a", "b")
        self.error(FAILED, "rget", "-0", "-j", "k")

    def test_a_password_as_a_word_is_refused_and_not_shown(self):
        for tool, words in TOOLS.items():
            for option in (["--password", SECRET], [f"--password={SECRET}"]):
                err = self.error(FAILED, tool, *option, *words)
                self.assertIn("--password-file", err)
                self.assertNotIn(SECRET, err)

    def test_the_value_of_an_option_that_nobody_knows_is_not_shown(self):
        for tool, words in (*TOOLS.items(), ("rcluster", ["status"])):
            for value in (SECRET, f"x'{SECRET}' y", f"\n'\n={SECRET}\n", SECRET * 9999):
                err = self.error(FAILED, tool, f"--bogus={value}", *words)
                self.assertEqual(err, f"{tool}: unrecognized option '--bogus' (see {tool} --help)\n")
            for value in (SECRET, f"' is ambiguous {SECRET}", f"=' '{SECRET}"):
                self.assertNotIn(SECRET, self.error(FAILED, tool, f"--={value}", *words))
                if tool != "rcluster":
                    err = self.error(FAILED, tool, f"--u={value}", *words)
                    self.assertTrue(err.startswith(f"{tool}: option '--u' is ambiguous"), err)
                    self.assertNotIn(SECRET, err)
        result = self.run_tool("rcluster", "up", f"--bogus={SECRET}")
        self.assertEqual(result.err, "rcluster up: unrecognized option '--bogus' (see rcluster up --help)\n")
        self.assertEqual(result.status, FAILED)

    def test_the_option_of_argp_that_hangs_is_none(self):
        for tool in (*TOOLS, "rcluster"):
            self.error(FAILED, tool, "--HANG")

    def test_help_to_a_full_disk_is_an_error(self):
        with open("/dev/full", "wb") as full:
            for tool in (*TOOLS, "rcluster"):
                for option in ("--help", "--version"):
                    self.assertIn("No space left", self.error(FAILED, tool, option, stdout=full))

    def test_bad_uris(self):
        for uri in (
            "",
            "nonsense",
            "http://127.0.0.1:1",
            "redis://",
            "redis://127.0.0.1:99999",
            "redis://127.0.0.1:0",
            "redis://127.0.0.1:x",
            "redis://127.0.0.1/x",
            "redis://127.0.0.1?x=1",
            "redis://[::1",
            "redis://:%zz@127.0.0.1",
            "unix://",
        ):
            for tool, words in TOOLS.items():
                self.assertIn(f"{tool}: URI: ", self.error(FAILED, tool, "-u", uri, *words))
                if uri:
                    err = self.error(FAILED, tool, *words, env=self.env() | {"SHARD_URI": uri})
                    self.assertIn(f"{tool}: $SHARD_URI: ", err)

    def test_what_is_not_there_yet_is_refused(self):
        for tool, words in TOOLS.items():
            self.assertIn("TLS", self.error(FAILED, tool, "-u", "rediss://127.0.0.1", *words))

    def test_a_pool_without_a_file(self):
        for tool, words in TOOLS.items():
            err = self.error(FAILED, tool, "-u", "twemproxy:nutcracker.yml#alpha", *words)
            self.assertIn("nutcracker.yml: ", err)
            self.assertIn("No such file", err)
        self.assertIn("pool", self.error(FAILED, "rslots", "--diff", "other.yml"))


class StandardInput(ToolCase):
    def test_a_file_a_directory_and_none_are_not_waited_for(self):
        path = os.path.join(self.runtime.path, "input")
        for tool, given, status in (
            ("rset", b"k\tv\n", OK),
            ("rget", b"k\n", OK),
            ("rslots", b"k\n", OK),
            ("rcmd", b"GET k\n", OK),
            ("rdel", b"k\n", OK),
        ):
            with open(path, "wb") as file:
                file.write(given)
            for name, expected in ((path, status), (self.runtime.path, FAILED), ("/dev/null", None)):
                stdin = os.open(name, os.O_RDONLY)
                start = time.monotonic()
                result = self.run_tool(tool, "-", stdin=stdin)
                os.close(stdin)
                self.assertLess(time.monotonic() - start, 1, (tool, name))
                if expected is not None:
                    self.assertEqual(result.status, expected, (tool, name, result))
                if expected == FAILED:
                    self.assertEqual(result.err, f"{tool}: standard input: Is a directory\n")
            stdin = os.open("/dev/null", os.O_WRONLY)
            result = self.run_tool(tool, "-", stdin=stdin)
            os.close(stdin)
            self.assertEqual((result.status, result.err), (FAILED, f"{tool}: standard input: Bad file descriptor\n"))


class StandardOutput(ToolCase):
    def test_a_file_that_may_not_grow_is_an_error(self):
        self.ok("rset", "k", "x" * 100000)
        path = os.path.join(self.runtime.path, "output")
        for tool, words in (("rget", ["k"]), ("rget", ["k", "k"]), ("rcmd", ["GET", "k"]), ("rget", ["--help"])):
            script = 'ulimit -f 0; exec "$0" "$@" > ' + path
            words = ["bash", "-c", script, program(tool), *words]
            result = subprocess.run(words, env=self.env(), capture_output=True, timeout=60, check=False)
            self.assertEqual(result.stderr.decode(), f"{tool}: standard output: File too large\n")
            self.assertEqual(result.returncode, FAILED)


class Servers(ToolCase):
    needs_cluster = False

    def setUp(self):
        super().setUp()
        self.server = Server(unix=True)
        self.addCleanup(self.server.close)
        self.server.call("SET", "k", "v")

    def test_the_command_line_comes_before_the_environment(self):
        self.more_env["SHARD_URI"] = "redis://127.0.0.1:1"
        self.assertEqual(self.ok("rget", "-u", self.server.uri, "k"), b"v")
        self.assertEqual(self.ok("rget", f"--uri={self.server.uri}", "k"), b"v")
        self.more_env["SHARD_URI"] = self.server.uri
        self.assertEqual(self.ok("rget", "k"), b"v")

    def test_a_unix_socket(self):
        uri = f"unix://{self.server.path}"
        self.assertEqual(self.ok("rget", "-u", uri, "k"), b"v")
        self.assertEqual(self.ok("rkeys", "-u", uri), b"k\n")
        self.assertEqual(self.ok("rcmd", "-u", uri, "ECHO", "x"), b"x\n")
        self.assertEqual(self.ok("rslots", "-u", uri).decode(), f"0\t16383\t{self.server.path}\t-\t\n")

    def test_a_database_of_a_single_server(self):
        self.ok("rset", "-u", self.server.uri + "/3", "k", "other")
        self.assertEqual(self.ok("rget", "-u", self.server.uri + "/3", "k"), b"other")
        self.assertEqual(self.ok("rget", "-u", self.server.uri, "k"), b"v")

    def test_all_tools_on_a_single_server(self):
        self.more_env["SHARD_URI"] = self.server.uri
        self.ok("rset", "-", input=b"a\t1\nb\t2\n")
        self.assertEqual(self.ok("rget", "a", "b", "k"), b"a\t1\nb\t2\nk\tv\n")
        self.assertEqual(sorted(self.ok("rkeys").split()), [b"a", b"b", b"k"])
        self.assertEqual(self.ok("rdel", "a", "b"), b"2\n")
        self.assertEqual(self.ok("rslots").decode(), f"0\t16383\t{self.server.addr}\t-\t\n")
        self.assertEqual(self.ok("rslots", "foo").decode(), f"foo\t12182\t{self.server.addr}\n")
        self.assertEqual(self.ok("rcmd", "GET", "k"), b"v\n")

    def test_a_name_that_is_not_known(self):
        for tool, words in TOOLS.items():
            err = self.error(FAILED, tool, "--timeout", "1500", "-u", "redis://no-such-host.invalid", *words)
            self.assertIn("no-such-host.invalid", err)

    def test_a_database_of_a_cluster_is_an_error_that_names_the_node_once(self):
        uri = f"redis://{shared_cluster().servers[0].addr}/1"
        for tool, words in TOOLS.items():
            for more in ([], ["-"]) if tool in ("rget", "rdel", "rset", "rcmd") else ([],):
                given = b"k\tv\n" if tool == "rset" else b"GET k\n"
                result = self.check(FAILED, tool, "-u", uri, *(more or words), input=given)
                line = result.err.splitlines()[0]
                self.assertIn("ERR SELECT is not allowed in cluster mode", line)
                self.assertEqual(line.count(HOST), 1, line)

    def test_another_server_of_the_list_is_asked(self):
        uri = f"redis://{HOST}:{free_port()},{self.server.addr}"
        self.assertEqual(self.ok("rget", "-u", uri, "k"), b"v")


class NoServer(ToolCase):
    needs_cluster = False

    def test_nobody_listens(self):
        port = free_port()
        for tool, words in TOOLS.items():
            for more in ([], ["-"]) if tool in ("rget", "rdel", "rset", "rcmd") else ([],):
                start = time.monotonic()
                given = b"k\tv\n" if tool == "rset" else b"k\n"
                err = self.error(
                    FAILED,
                    tool,
                    "--timeout=600",
                    f"-uredis://{HOST}:{port}",
                    *(more or words),
                    input=given,
                    lines=2 if more else 1,
                )
                self.assertLess(time.monotonic() - start, 5)
                self.assertIn(f"{HOST}:{port}", err)

    def test_a_command_that_nobody_knows_fails_at_once(self):
        uri = f"redis://{HOST}:{free_port()}"
        for words, lines in ((["foo", "bar"], 1), (["-"], 2)):
            start = time.monotonic()
            err = self.error(FAILED, "rcmd", "--timeout=20000", "-u", uri, *words, input=b"foo bar\n", lines=lines)
            self.assertLess(time.monotonic() - start, 5)
            self.assertIn("no connection", err)

    def test_a_server_that_never_answers(self):
        with socket.socket() as mute:
            mute.bind((HOST, 0))
            mute.listen()
            uri = f"redis://{HOST}:{mute.getsockname()[1]}"
            for tool, words in TOOLS.items():
                start = time.monotonic()
                self.error(FAILED, tool, "--timeout", "500", "-u", uri, *words)
                self.assertLess(time.monotonic() - start, 5, tool)

    @contextlib.contextmanager
    def parrot(self, answer):
        """A server that answers each connection with ANSWER and ends it. Yields its URI."""
        with socket.socket() as parrot:
            parrot.bind((HOST, 0))
            parrot.listen()

            def serve():
                while True:
                    try:
                        with parrot.accept()[0] as peer:
                            peer.recv(1000)
                            peer.sendall(answer)
                    except OSError:
                        return

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            yield f"redis://{HOST}:{parrot.getsockname()[1]}"
            parrot.shutdown(socket.SHUT_RDWR)
        thread.join(10)

    def test_a_server_that_talks_nonsense(self):
        with self.parrot(b"HTTP/1.1 400 Bad Request\r\n\r\n") as uri:
            for tool, words in TOOLS.items():
                self.error(FAILED, tool, "--timeout", "500", "-u", uri, *words)

    def test_an_answer_of_another_type(self):
        for answer in (b"*0\r\n", b"*1\r\n$1\r\nv\r\n", b":1\r\n", b"+OK\r\n", b"$1\r\nv\r\n"):
            with self.parrot(answer) as uri:
                if not answer.startswith(b"$"):
                    self.assertIn("not an answer", self.error(FAILED, "rget", "-u", uri, "k"))
                if not answer.startswith(b"+"):
                    self.assertIn("not an answer", self.error(FAILED, "rset", "-u", uri, "k", "v"))
                if not answer.startswith(b":"):
                    result = self.check(FAILED, "rdel", "--timeout", "500", "-u", uri, "k")
                    self.assertIn("not an answer", result.err)

    def record(self, text):
        """Writes the record of the local cluster. Returns its path."""
        directory = os.path.join(self.runtime.path, "shard")
        os.makedirs(directory, 0o700, exist_ok=True)
        path = os.path.join(directory, "local-cluster")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def test_a_damaged_record_is_an_error_that_names_the_file(self):
        env = clean_env(self.runtime.path)
        for damaged in ("", "\n", "redis://127.0.0.1:70", "redis:", "\0\0\0\0", "x" * 5000):
            path = self.record(damaged)
            for tool, words in TOOLS.items():
                err = self.error(FAILED, tool, *words, env=env)
                self.assertTrue(err.startswith(f"{tool}: {path}: the record of the local cluster is damaged"), err)
        for damaged in ("", "redis://127.0.0.1:7000", "redis://127.0.0.1:7000\n", "redis://127.0.0.1:7000\n/some/wh"):
            path = self.record(damaged)
            for verb in (["down"], ["status"], ["restart"], ["kill", "7000"], ["tail", "1"]):
                err = self.error(FAILED, "rcluster", *verb, env=env)
                self.assertIn(f"{path}: the record of the local cluster is damaged", err)
        os.unlink(path)
        os.mkfifo(path, 0o600)
        self.assertIn("is damaged", self.error(FAILED, "rget", "k", env=env))
        self.assertIn("is damaged", self.error(FAILED, "rcluster", "status", env=env))
        self.server = Server()  # what is named goes first
        self.addCleanup(self.server.close)
        self.ok("rset", "-u", self.server.uri, "k", "v", env=env)
        self.ok("rget", "k", env=env | {"SHARD_URI": self.server.uri})

    def test_a_recorded_cluster_that_does_not_run_is_an_error(self):
        port = free_port()
        env = clean_env(self.runtime.path)
        self.record(f"redis://{HOST}:{port}\n")
        for tool, words in TOOLS.items():
            err = self.error(FAILED, tool, "--timeout=500", *words, env=env)
            self.assertIn(f"{HOST}:{port}", err)
            self.assertIn("rcluster up", err)

    def test_many_failures_are_counted(self):
        keys = b"".join(b"k%d\n" % i for i in range(3000))
        uri = f"redis://{HOST}:{free_port()}"
        result = self.check(FAILED, "rget", "--timeout=400", "-u", uri, "-", input=keys)
        lines = result.err.splitlines()
        self.assertLessEqual(len(lines), 12)
        self.assertIn("was the last one sent", lines[-1])


class Passwords(ToolCase):
    needs_cluster = False

    def setUp(self):
        super().setUp()
        self.server = Server(password=SECRET)
        self.addCleanup(self.server.close)
        self.server.call("SET", "k", "v")
        self.server.call("ACL", "SETUSER", "alice", "on", ">al1ce:p@ss/word", "~*", "&*", "+@all")
        self.server.call("ACL", "SETUSER", "reader", "on", ">readonly", "~k*", "+@read", "+cluster", "+info")

    def uri(self, secret=""):
        return f"redis://{secret}{self.server.addr}"

    def write(self, text):
        path = os.path.join(self.runtime.path, "password")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o600)
        return path

    def test_in_the_uri(self):
        self.assertEqual(self.ok("rget", "-u", self.uri(f":{SECRET}@"), "k"), b"v")
        self.assertEqual(self.ok("rget", "-u", self.uri(f"default:{SECRET}@"), "k"), b"v")
        self.assertEqual(self.ok("rget", "-u", self.uri("alice:al1ce%3Ap%40ss%2fword@"), "k"), b"v")

    def test_in_the_environment(self):
        self.more_env["SHARD_PASSWORD"] = SECRET
        self.assertEqual(self.ok("rget", "-u", self.uri(), "k"), b"v")
        self.more_env["REDISCLI_AUTH"] = "wrong"
        self.assertEqual(self.ok("rget", "-u", self.uri(), "k"), b"v")
        self.more_env = {"REDISCLI_AUTH": SECRET}
        self.assertEqual(self.ok("rget", "-u", self.uri(), "k"), b"v")

    def test_in_a_file(self):
        for text in (SECRET, SECRET + "\n", SECRET + "\r\nsecond line\n"):
            self.assertEqual(self.ok("rget", "-u", self.uri(), "--password-file", self.write(text), "k"), b"v")

    def test_from_a_pipe(self):
        script = f'exec "{program("rget")}" -u {self.uri()} --password-file <(printf s3cr3t; sleep 0.2; echo -pw) k'
        result = subprocess.run(["bash", "-c", script], env=self.env(), capture_output=True, timeout=60, check=False)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (OK, b"v", b""))

    def test_a_pipe_that_nobody_writes_to_is_waited_for_up_to_the_deadline(self):
        fifo = os.path.join(self.runtime.path, "fifo")
        os.mkfifo(fifo)
        for tool, words in TOOLS.items():
            start = time.monotonic()
            err = self.error(FAILED, tool, "-u", self.uri(), "--timeout=300", "--password-file", fifo, *words)
            self.assertEqual(err, f"{tool}: {fifo}: nobody wrote a password there within 0.3 s\n")
            self.assertLess(time.monotonic() - start, 5)
        script = f'(sleep 0.3; printf s3cr3t; sleep 0.1; echo -pw) > {fifo} & exec "$@"'
        words = ["bash", "-c", script, "-", program("rget"), "-u", self.uri(), "--password-file", fifo, "k"]
        result = subprocess.run(words, env=self.env(), capture_output=True, timeout=60, check=False)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (OK, b"v", b""))
        with open(fifo, "r+b", buffering=0):  # a writer that is silent
            self.assertIn("nobody wrote", self.error(FAILED, "rget", "--timeout=300", "--password-file", fifo, "k"))

    def test_the_one_in_the_uri_comes_before_the_environment(self):
        self.more_env["SHARD_PASSWORD"] = "wrong"
        self.assertEqual(self.ok("rget", "-u", self.uri(f":{SECRET}@"), "k"), b"v")

    def test_a_file_that_cannot_be_used(self):
        missing = os.path.join(self.runtime.path, "missing")
        for tool, words in TOOLS.items():
            err = self.error(FAILED, tool, "-u", self.uri(), "--password-file", missing, *words)
            self.assertEqual(err, f"{tool}: {missing}: cannot read the password: No such file or directory\n")
        self.assertIn("Is a directory", self.error(FAILED, "rget", "--password-file", self.runtime.path, "k"))
        self.assertIn("holds no password", self.error(FAILED, "rget", "--password-file", self.write("\n"), "k"))
        for text in (f"{SECRET}\0\n", f"\0{SECRET}\n"):
            self.assertIn("holds a NUL", self.error(FAILED, "rget", "--password-file", self.write(text), "k"))
        self.assertIn("4096", self.error(FAILED, "rget", "--password-file", self.write("x" * 5000), "k"))

    @unittest.skipUnless(os.getuid() == 0, "needs another user")
    def test_a_file_of_another_user(self):
        path = self.write(SECRET)
        os.chmod(self.runtime.path, 0o755)
        binary = os.path.join(self.runtime.path, "rget")
        shutil.copy(program("rget"), binary)
        result = subprocess.run(
            [binary, "-u", self.uri(), "--password-file", path, "k"],
            env=self.env(),
            user=65534,
            capture_output=True,
            timeout=60,
        )
        self.assertEqual(result.returncode, FAILED)
        self.assertEqual(result.stderr.decode(), f"rget: {path}: cannot read the password: Permission denied\n")

    def test_wrong_or_no_password(self):
        for secret in ("", ":wrong-pw@", "alice:wrong-pw@", "nobody:wrong-pw@"):
            for tool, words in TOOLS.items():
                start = time.monotonic()
                err = self.error(FAILED, tool, "-u", self.uri(secret), *words)
                self.assertRegex(err, "NOAUTH|WRONGPASS")
                self.assertIn(self.server.addr, err)
                self.assertNotIn("wrong-pw", err)
                self.assertLess(time.monotonic() - start, 4, f"{tool} {secret}: the deadline is no help here")

    def test_a_user_who_may_not_do_it(self):
        uri = self.uri("reader:readonly@")
        self.assertEqual(self.ok("rget", "-u", uri, "k"), b"v")
        self.assertIn("rset: k: NOPERM", self.error(FAILED, "rset", "-u", uri, "k", "w"))
        self.assertIn("rget: other: NOPERM", self.error(FAILED, "rget", "-u", uri, "other"))
        result = self.check(FAILED, "rget", "-u", uri, "k", "other", "k")
        self.assertEqual(result.out, b"k\tv\nk\tv\n")

    def test_many_refusals_are_counted(self):
        self.server.call("ACL", "SETUSER", "reader", "-type")
        for i in range(100):
            self.server.call("SET", f"k{i}", "v")
        uri = self.uri("reader:readonly@")
        self.server.call("ACL", "SETUSER", "reader", "+scan", "+@keyspace", "-type")
        err = self.error(FAILED, "rkeys", "-l", "-u", uri, lines=11)
        self.assertEqual(err.count("NOPERM"), 10)
        self.assertTrue(err.endswith("rkeys: 91 more keys failed\n"), err)

    def cmdline_of(self, *args):
        process = self.start("rget", *args, "-", stdin=subprocess.PIPE)
        try:
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                with open(f"/proc/{process.pid}/cmdline", "rb") as file:
                    shown = file.read()
                if b"***" in shown or not args:
                    break
                time.sleep(0.01)
            return shown
        finally:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()
            process.stderr.close()

    def test_no_secret_shows_in_the_list_of_processes(self):
        for user in ("", "alice"):
            uri = self.uri(f"{user}:{SECRET}@")
            for args in (["-u", uri], [f"-u{uri}"], ["--uri", uri], [f"--uri={uri}"], [f"--ur={uri}"]):
                shown = self.cmdline_of(*args)
                self.assertNotIn(SECRET.encode(), shown)
                self.assertIn(self.server.addr.encode(), shown)

    def test_no_secret_shows_in_errors(self):
        dead = f"redis://alice:{SECRET}@{HOST}:{free_port()}"
        uris = [
            self.uri(f"alice:{SECRET}@"),
            dead,
            f"redis://:{SECRET}@{HOST}:badport",
            f"redis://:{SECRET}@{HOST}:1/x",
            f"http://:{SECRET}@{HOST}",
            f"redis://:{SECRET}%zz@{HOST}",
            f"redis://:{SECRET}@",
            f"redis://:{SECRET}@{HOST}?x",
            f"rediss://:{SECRET}@{HOST}",
            f":{SECRET}@{HOST}",
        ]
        for uri in uris:
            for tool, words in TOOLS.items():
                err = self.error(FAILED, tool, "--timeout=400", "-u", uri, *words)
                self.assertNotIn(SECRET, err)
                env = self.env() | {"SHARD_URI": uri}
                self.assertNotIn(SECRET, self.error(FAILED, tool, "--timeout=400", *words, env=env))
        for name in ("SHARD_PASSWORD", "REDISCLI_AUTH"):
            self.more_env = {name: SECRET + "wrong"}
            self.assertNotIn(SECRET, self.error(FAILED, "rget", "-u", self.uri(), "k"))
        path = self.write(SECRET + "wrong")
        self.assertNotIn(SECRET, self.error(FAILED, "rget", "-u", self.uri(), "--password-file", path, "k"))

    def test_no_secret_in_the_runtime_directory(self):
        self.ok("rget", "-u", self.uri(f":{SECRET}@"), "k")
        files = glob.glob(os.path.join(self.runtime.path, "**"), recursive=True)
        self.assertTrue(any(os.path.isfile(f) for f in files))
        for path in files:
            self.assertNotIn(SECRET, path)
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    self.assertNotIn(SECRET.encode(), file.read())


class Cache(ToolCase):
    def files(self):
        return glob.glob(os.path.join(self.runtime.path, "shard", "*"))

    def test_written_after_the_first_answer_and_then_left_alone(self):
        self.assertEqual(self.files(), [])
        self.ok("rset", "k", "v")
        self.assertEqual(len(self.files()), 1)
        path = self.files()[0]
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        self.assertEqual(os.stat(os.path.dirname(path)).st_mode & 0o777, 0o700)
        before = os.stat(path)
        for i in range(10):
            self.ok("rset", f"k{i}", "v")
        after = os.stat(path)
        self.assertEqual((before.st_ino, before.st_mtime_ns), (after.st_ino, after.st_mtime_ns))

    def test_each_tool_writes_it(self):
        for tool, words in (("rget", ["a", "b"]), ("rdel", ["a"]), ("rslots", []), ("rcmd", ["GET", "a"])):
            self.run_tool(tool, *words)
            self.assertEqual(len(self.files()), 1, tool)
            os.unlink(self.files()[0])

    def test_a_map_that_is_wrong_is_replaced(self):
        self.ok("rset", "k", "v")
        path = self.files()[0]
        with open(path, encoding="utf-8") as file:
            good = file.read()
        masters = [f"{s.addr}" for s in self.cluster.masters()]
        swapped = good
        for i, addr in enumerate(masters):  # each in the place of another
            swapped = swapped.replace(f"{addr}", f"@{i}@")
        for i in range(len(masters)):
            swapped = swapped.replace(f"@{i}@", masters[(i + 1) % len(masters)])
        self.assertNotEqual(good, swapped)
        with open(path, "w", encoding="utf-8") as file:
            file.write(swapped)
        self.assertEqual(self.ok("rget", "k"), b"v")
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), good)

    def test_rubbish_is_passed_over(self):
        self.ok("rset", "k", "v")
        path = self.files()[0]
        for rubbish in (b"", b"\0" * 1000, b"nonsense\n" * 10, os.urandom(5000)):
            with open(path, "wb") as file:
                file.write(rubbish)
            self.assertEqual(self.ok("rget", "k"), b"v")

    def test_a_believed_node_that_is_gone(self):
        self.ok("rset", "k", "v")
        path = self.files()[0]
        with open(path, encoding="utf-8") as file:
            text = file.read()
        for server in self.cluster.servers:
            text = text.replace(f":{server.port}", f":{free_port()}")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        self.assertEqual(self.ok("rget", "k"), b"v")

    def test_a_runtime_directory_that_cannot_be_used(self):
        self.cluster.call("SET", "k", "v")
        for make in (self.no_directory, self.a_file, self.others_may_write):
            make()
            self.assertEqual(self.ok("rget", "k"), b"v", make)
            self.assertEqual(self.ok("rget", "k"), b"v", make)

    def no_directory(self):
        self.more_env["XDG_RUNTIME_DIR"] = os.path.join(self.runtime.path, "missing")

    def a_file(self):
        path = os.path.join(self.runtime.path, "file")
        with open(path, "w", encoding="utf-8"):
            pass
        self.more_env["XDG_RUNTIME_DIR"] = path

    def others_may_write(self):
        path = os.path.join(self.runtime.path, "open")
        os.makedirs(os.path.join(path, "shard"))
        os.chmod(os.path.join(path, "shard"), 0o777)
        self.more_env["XDG_RUNTIME_DIR"] = path

    @unittest.skipUnless(os.getuid() == 0, "needs another user")
    def test_a_runtime_directory_of_another_user(self):
        self.cluster.call("SET", "k", "v")
        path = os.path.join(self.runtime.path, "shard")
        os.mkdir(path, 0o700)
        os.chown(path, 65534, 65534)
        self.assertEqual(self.ok("rget", "k"), b"v")
        self.assertEqual(os.listdir(path), [])


class StartUp(ToolCase):
    """A shell loop starts a tool a thousand times: nothing is loaded that it does not use."""

    def test_only_libc_is_loaded(self):
        for tool in TOOLS:
            out = subprocess.run(["ldd", program(tool)], capture_output=True, check=True).stdout.decode()
            names = {line.split()[0] for line in out.splitlines()}
            if sanitized(tool):
                self.skipTest("a build with sanitizers")
            allowed = ("linux-vdso", "libc.so", "/lib64/ld-linux", "/lib/ld-linux")
            self.assertEqual([n for n in names if not n.startswith(allowed)], [], tool)

    @unittest.skipUnless(shutil.which("strace"), "needs strace")
    def test_one_rget_is_one_question(self):
        self.cluster.call("SET", "k", "v")
        self.ok("rget", "k")
        log = os.path.join(self.runtime.path, "strace")
        command = ["strace", "-f", "-o", log, "-e", "trace=connect,sendto,sendmsg,writev,write", program("rget"), "k"]
        result = subprocess.run(command, env=self.env(), capture_output=True, timeout=60)
        if result.returncode or "ptrace" in result.stderr.decode():
            self.skipTest(result.stderr.decode())
        with open(log, encoding="utf-8", errors="replace") as file:
            calls = [line for line in file if "(" in line and "exited" not in line]
        self.assertEqual(sum("connect(" in c for c in calls), 1, calls)
        self.assertEqual(sum("GET" in c for c in calls), 1, calls)
        self.assertEqual(len(calls), 3, calls)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    unittest.main()
