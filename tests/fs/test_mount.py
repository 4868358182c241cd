# SPDX-License-Identifier: MIT
"""Mounting, its options and its end."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from fslib import SHARDFS, Mount, detach, mounts, run
from shardtest import HOST, Server, free_port, wait_until

SERVER = None


def setUpModule():
    global SERVER
    SERVER = Server()


def tearDownModule():
    if SERVER:
        SERVER.close()


def daemons(path):
    """Processes that have PATH on their command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if os.fsencode(path) in words and words[0] == os.fsencode(SHARDFS):
            found.append(int(pid))
    return found


class Starting(unittest.TestCase):
    def setUp(self):
        SERVER.call("FLUSHALL")
        self.temp = tempfile.TemporaryDirectory(prefix="shardfs-test-")
        self.addCleanup(self.temp.cleanup)
        self.path = os.path.join(self.temp.name, "mnt")
        os.mkdir(self.path)
        self.addCleanup(lambda: wait_until(lambda: not daemons(self.path), what="the daemon ends"))
        self.addCleanup(detach, self.path)

    def start(self, *words, env=None, uri=None):
        uri = ["-u", uri or SERVER.uri]
        return run([SHARDFS, *uri, *words], timeout=30, env=env)

    def refused(self, result, text, seconds=3.0):
        self.assertEqual(result.status, 2, result)
        self.assertRegex(result.err, text)
        self.assertTrue(result.err.startswith("shardfs: "), result)
        self.assertEqual(result.err.count("\n"), 1, result)
        self.assertLess(result.seconds, seconds)
        self.assertNotIn(self.path, mounts())
        self.assertEqual(daemons(self.path), [])

    def test_in_the_background_once_it_answers(self):
        for _ in range(5):
            result = self.start(self.path)
            self.assertEqual((result.status, result.out, result.err), (0, b"", ""), result)
            self.assertEqual(run("echo v > k; cat k", self.path).out, b"v\n")
            self.assertEqual(len(daemons(self.path)), 1)
            self.assertEqual(run(["fusermount3", "-u", self.path]).status, 0)
            wait_until(lambda: not daemons(self.path))

    def test_it_lets_go_of_the_terminal(self):
        words = [SHARDFS, "-u", SERVER.uri, self.path]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=True)
        self.assertEqual(done.stdout + done.stderr, b"")
        (pid,) = daemons(self.path)
        self.assertEqual([os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)], ["/dev/null"] * 3)
        self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), "/")
        self.assertEqual(os.getsid(pid), pid)

    def test_the_table_of_mounts_names_it(self):
        self.start(self.path)
        with open("/proc/self/mounts", encoding="utf-8") as file:
            (line,) = [line.split() for line in file if self.path in line]
        self.assertEqual((line[0], line[2]), ("shardfs", "fuse.shardfs"))

    def test_relative_paths_and_paths_with_spaces(self):
        odd = os.path.join(self.temp.name, "a b")
        os.mkdir(odd)
        self.addCleanup(detach, odd)
        self.assertEqual(run([SHARDFS, "-u", SERVER.uri, "a b/"], cwd=self.temp.name).status, 0)
        self.assertIn(run(["stat", "-fc", "%T", odd]).out, (b"fuseblk\n", b"fuse\n"))
        again = run([SHARDFS, "-u", SERVER.uri, "./a b"], cwd=self.temp.name)
        self.assertEqual(again.status, 2)
        self.assertIn("is a mount of shardfs already", again.err)
        self.assertEqual(run(["fusermount3", "-u", odd]).status, 0)

    def test_no_server(self):
        uri = f"redis://{HOST}:{free_port()}"
        self.refused(self.start("--timeout", "1000", self.path, uri=uri), uri.removeprefix("redis://"))
        self.refused(self.start("-f", "--timeout", "1000", self.path, uri=uri), uri.removeprefix("redis://"))

    def test_a_server_that_is_silent(self):
        with Server() as server:
            server.pause()
            self.refused(self.start("--timeout", "1000", self.path, uri=server.uri), server.addr)
            server.resume()

    def test_passwords(self):
        with Server(password="pass word") as server:
            self.refused(self.start(self.path, uri=f"redis://:wrong@{server.addr}"), "(?!.*wrong@).*WRONGPASS|password")
            self.refused(self.start(self.path, uri=f"redis://{server.addr}"), "NOAUTH|Authentication|password")
            file = os.path.join(self.temp.name, "password")
            with open(file, "w", encoding="utf-8") as out:
                out.write("pass word\n")
            env = {**os.environ, "SHARD_PASSWORD": "pass word"}
            for words, more in ((["--password-file", "password"], {}), ([], {"env": env})):
                result = run([SHARDFS, "-u", f"redis://{server.addr}", *words, "mnt"], cwd=self.temp.name, **more)
                self.assertEqual(result.status, 0, result)
                self.assertEqual(run("echo v > k; cat k", self.path).out, b"v\n")
                detach(self.path)
                wait_until(lambda: not daemons("mnt"))

    def test_where_nothing_can_be_mounted(self):
        file = os.path.join(self.temp.name, "file")
        with open(file, "w", encoding="utf-8"):
            pass
        self.refused(self.start(self.path + "/none"), "none: no such directory")
        self.refused(self.start(file), "file: not a directory")
        self.refused(self.start(file + "/x"), "Not a directory")

    def test_twice(self):
        self.assertEqual(self.start(self.path).status, 0)
        again = self.start(self.path)
        self.assertEqual(again.status, 2)
        self.assertRegex(again.err, r"^shardfs: .*is a mount of shardfs already; fusermount3 -u ends it\n$")
        self.assertEqual(run("echo v > k; cat k", self.path).out, b"v\n")

    def test_after_a_crash(self):
        self.start(self.path)
        (pid,) = daemons(self.path)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not daemons(self.path))
        again = self.start(self.path)
        self.assertEqual(again.status, 2)
        self.assertIn("fusermount3 -u", again.err)
        run(["fusermount3", "-u", self.path])
        self.assertEqual(self.start(self.path).status, 0)

    def test_mount_options_that_are_odd_are_refused_before_a_server_is_asked(self):
        id_range, ttl_range = "from 0 to 4294967294", "keep, clear or seconds: .* from 1"
        with socket.socket() as nobody:
            nobody.bind((HOST, 0))
            nobody.listen()
            nobody.setblocking(False)
            uri = f"redis://{HOST}:{nobody.getsockname()[1]}"
            for option, text in (
                ("x", "-o x: no such option"),
                ("a=b", "-o a: no such option"),
                ("=b", '-o "": no such option'),
                ("timeout=-1", "-o timeout=: a whole number from 1 to 86400000"),
                ("password=s3cr3t", "-o password: no such option"),
                ("uid=-1", f"-o uid=: .*{id_range}.*-1"),
                ("uid=x", f"-o uid=: .*{id_range}.*x"),
                ("uid=1x", f"-o uid=: .*{id_range}.*1x"),
                ("uid=", f"-o uid=: .*{id_range}"),
                ("uid", f"-o uid=: .*{id_range}"),
                ("uid= 1", f"-o uid=: .*{id_range}"),
                ("uid=4294967295", f"-o uid=: .*{id_range}"),
                ("gid=99999999999", f"-o gid=: .*{id_range}"),
                ("gid=99999999999999999999999", f"-o gid=: .*{id_range}"),
                ("umask=9", "-o umask=: .*octal .*0 to 777.*9"),
                ("umask=0x1f", "-o umask=: .*octal"),
                ("umask=-1", "-o umask=: .*octal"),
                ("umask=1000", "-o umask=: .*octal"),
                ("umask=" + "7" * 100, "-o umask=: .*octal"),
                ("umask=", "-o umask=: .*octal"),
                ("commit=", "-o commit=: auto, close or write"),
                ("commit", "-o commit=: auto, close or write"),
                ("commit=never", "-o commit=: auto, close or write"),
                ("ttl=0", f"-o ttl=: {ttl_range}"),
                ("ttl=-1", f"-o ttl=: {ttl_range}"),
                ("ttl=soon", f"-o ttl=: {ttl_range}"),
                ("ttl=1000000000001", f"-o ttl=: {ttl_range}"),
                ("max_read=x", "-o max_read=: a whole number"),
                ("fsname=", "-o fsname=: a value is wanted"),
                ("subtype", "-o subtype=: a value is wanted"),
                ("ro=1", "-o ro: no value is wanted"),
                ("allow_other,allow_root", "exclude each other"),
                ("ro,,nosuid,x", "-o x: no such option"),
                ("fsname=a\\,b,x", "-o x: no such option"),
                ("x" * 5000, "-o xxx"),
            ):
                with self.subTest(option[:40]):
                    result = self.start("-o", option, self.path, uri=uri)
                    self.refused(result, text)
                    self.assertNotIn("s3cr3t", result.err)
            self.assertRaises(BlockingIOError, nobody.accept)

    def test_wrong_command_lines(self):
        for words, text in (
            ([], "a mount point is wanted"),
            ([self.path, self.path], "one too many"),
            (["-o"], "requires an argument"),
            (["--nosuch=s3cr3t", self.path], "unrecognized option '--nosuch' "),
            (["--timeout", "0", self.path], "--timeout"),
        ):
            self.refused(self.start(*words), text)
        self.refused(run([SHARDFS, "-u", "nonsense://", self.path]), "URI")
        self.refused(run([SHARDFS, "-u", "twemproxy:/nonexistent.yml", self.path]), "nonexistent")

    def test_help_and_version(self):
        self.assertIn(b"MOUNTPOINT", run([SHARDFS, "--help"]).out)
        self.assertRegex(run([SHARDFS, "--version"]).out, rb"^shardfs \(shard\) \d")

    def test_a_closed_standard_output_is_no_matter(self):
        result = run(f"exec {SHARDFS} -u {SERVER.uri} {self.path} <&- >&- 2>&-")
        self.assertEqual(result.status, 0)
        self.assertEqual(run("echo v > k; cat k", self.path).out, b"v\n")

    def test_a_unix_socket(self):
        with Server(unix=True) as server:
            self.assertEqual(self.start(self.path, uri=f"unix://{server.path}").status, 0)
            self.assertEqual(run("echo v > k; cat k", self.path).out, b"v\n")
            self.assertEqual(server.call("GET", "k"), b"v\n")


class Ending(unittest.TestCase):
    def test_every_way_ends_the_daemon(self):
        for how in ("fusermount3 -u", "umount", "umount -f", "umount -l", "kill -TERM", "kill -INT", "kill -HUP"):
            with self.subTest(how), Mount(SERVER.uri) as mount:
                mount.ok("echo v > k")
                target = str(mount.daemon.pid) if "kill" in how else mount.path
                self.assertEqual(run([*how.split(), target]).status, 0)
                self.assertEqual(mount.wait(5), 0)
                self.assertNotIn(mount.path, mounts())
                aborted = "fuse: reading device: Software caused connection abort\n"  # libfuse, after umount -f
                self.assertEqual(mount.stderr().replace(aborted, ""), "")

    def test_a_file_that_is_open_keeps_it(self):
        with Mount(SERVER.uri) as mount:
            words = ["bash", "-c", "exec 3> k; read; echo late >&3"]
            holder = subprocess.Popen(words, cwd=mount.path, stdin=subprocess.PIPE)
            time.sleep(0.3)
            self.assertNotEqual(run(["fusermount3", "-u", mount.path]).status, 0)
            self.assertEqual(run(["fusermount3", "-uz", mount.path]).status, 0)
            holder.communicate(b"\n", timeout=10)
            self.assertEqual(mount.wait(5), 0)
            self.assertEqual(SERVER.call("GET", "k"), b"late\n")

    def test_a_touched_file_is_stored_before_the_end(self):
        for _ in range(5):
            SERVER.call("FLUSHALL")
            with Mount(SERVER.uri) as mount:
                mount.ok("touch a b c")
                self.assertEqual(mount.unmount(), 0)
            self.assertEqual(SERVER.call("DBSIZE"), 3)


OTHERS = """
set -e
cd "$1"; mkdir mnt other
shard() { exec "$shardfs" -f -u "$uri" "$PWD/${1:-mnt}" 2> "$log"; }
is_mounted() {
    for i in $(seq 500); do
        if [ "$(grep -c " $1 .* fuse.shardfs " /proc/self/mountinfo)" = $2 ]; then return; fi
        sleep 0.02
    done
    echo "$1 is not mounted $2 times"; exit 1
}
first() { log=first shard & first=$!; is_mounted $PWD/mnt 1; }
second() { log=second shard & second=$!; is_mounted $PWD/mnt $1; }
end() { kill -$2 $1; status=0; wait $1 || status=$?; }
"""


def has_namespaces():
    """Not for everybody, nor in a chroot."""
    return run(["unshare", "-m", "-p", "-f", "--mount-proc", "true"]).status == 0


@unittest.skipUnless(has_namespaces(), "needs mount namespaces")
class OthersMounts(unittest.TestCase):
    """At its end a daemon unmounts its own mount, never what somebody else has put in its place."""

    def script(self, text):
        SERVER.call("FLUSHALL")
        SERVER.call("SET", "k", "v")
        env = {**os.environ, "shardfs": SHARDFS, "uri": SERVER.uri}
        with tempfile.TemporaryDirectory(prefix="shardfs-test-") as path:
            # The namespace ends with its last process, and its mounts with it.
            words = ["unshare", "-m", "-p", "-f", "--mount-proc", "--kill-child", "bash", "-c", OTHERS + text]
            result = run([*words, "-", path], timeout=40, env=env)
        self.assertEqual((result.status, result.err), (0, ""), result)
        return result.out.decode().splitlines()

    def test_its_own_mount_is_ended(self):
        for name in ("TERM", "INT", "HUP"):
            out = self.script(f"first; end $first {name}; is_mounted $PWD/mnt 0; echo $status; cat first")
            self.assertEqual(out, ["0"])

    def test_its_own_mount_is_ended_when_no_descriptor_is_left(self):
        out = self.script("""first; used=$(ls /proc/$first/fd | wc -l); prlimit --pid $first --nofile=$((used)):4096
            end $first TERM; is_mounted $PWD/mnt 0; echo $status; cat first""")
        self.assertEqual(out, ["0"])

    def test_what_is_mounted_over_it_stays(self):
        out = self.script("""first; mount -t tmpfs none mnt; echo mine > mnt/mine; end $first TERM
            cat mnt/mine; echo $status; cat first; umount mnt; umount mnt; is_mounted $PWD/mnt 0""")
        self.assertEqual(out[:2], ["mine", "2"])
        self.assertRegex(out[2], "^shardfs: /.*/mnt: something else is mounted there now: left alone")
        self.assertEqual(len(out), 3)

    def test_a_second_one_in_its_place_stays(self):
        for name in ("TERM", "INT"):
            out = self.script(f"""first; exec 3> mnt/held; umount -l mnt; second 1
                echo late >&3; exec 3>&-; end $first {name}; echo $status; cat first
                cat mnt/k; echo; echo new > mnt/new; cat mnt/new; end $second TERM; echo $status
                is_mounted $PWD/mnt 0""")
            self.assertEqual(out, ["0", "v", "new", "0"])
            self.assertEqual(SERVER.call("GET", "held"), b"late\n")

    def test_a_second_one_stays_when_the_first_is_busy_for_good(self):
        out = self.script("""first; (cd mnt; exec sleep 60) & sleep 0.3; umount -l mnt; second 1; end $first TERM
            echo $status; cat first; cat mnt/k; echo; end $second TERM; echo $status""")
        self.assertEqual(out, ["0", "v", "0"])

    def test_one_that_was_moved_does_not_end_what_came_after_it(self):
        out = self.script("""mount -t tmpfs none .; mount --make-private .; cd "$1"; mkdir mnt other; first
            mount --move mnt other; second 1; end $first TERM; echo $status; cat mnt/k; echo; umount other
            end $second TERM; echo $status""")
        self.assertEqual(out, ["2", "v", "0"])

    def test_one_that_is_hidden_does_not_end_what_hides_it(self):
        out = self.script("""first; mount -t tmpfs none .; cd "$1"; mkdir mnt; mount -t tmpfs none mnt
            echo mine > mnt/mine; end $first TERM; echo $status; cat mnt/mine""")
        self.assertEqual(out, ["2", "mine"])


class Options(unittest.TestCase):
    def setUp(self):
        SERVER.call("FLUSHALL")

    def test_ro(self):
        SERVER.call("SET", "k", "v")
        with Mount(SERVER.uri, options="ro") as mount:
            self.assertEqual(mount.ok("cat k"), b"v")
            for command in ("echo x > k", "echo x > new", "rm -f k", "mv k l", "truncate -s 0 k", "touch k"):
                result = mount.run(command)
                self.assertEqual(result.status, 1, command)
                self.assertIn("Read-only file system", result.err)
            self.assertEqual(SERVER.call("GET", "k"), b"v")

    def test_what_libfuse_and_the_kernel_know(self):
        SERVER.call("SET", "k", "v")
        flags = "rw,nosuid,nodev,noexec,noatime,sync,dirsync,default_permissions"
        for options, shown in (
            (flags, {"rw", "nosuid", "nodev", "noexec", "noatime", "default_permissions"}),
            ("suid,dev,exec,async,atime", {"rw"}),
            ("allow_root", {"allow_other"}),
            ("max_read=8192", {"max_read=8192"}),
            ("max_read=0", {"rw"}),
            (",ro,,allow_other,", {"ro", "allow_other", "default_permissions"}),
            ("auto_unmount", {"rw"}),
        ):
            with self.subTest(options), Mount(SERVER.uri, options=options) as mount:
                self.assertEqual(mount.ok("cat k"), b"v")
                self.assertLessEqual(shown, set(self.row(mount)[3].split(",")))
                self.assertEqual(mount.unmount(), 0)

    def row(self, mount):
        with open("/proc/self/mounts", encoding="utf-8") as file:
            (row,) = [line.split() for line in file if line.split()[1] == mount.path]
        return row

    def test_reading_in_small_pieces(self):
        SERVER.call("SET", "k", b"0123456789abcdef" * 20000)
        with Mount(SERVER.uri, options="max_read=4096") as mount:
            self.assertEqual(mount.ok("cat k"), b"0123456789abcdef" * 20000)

    def test_names_of_the_table_of_mounts(self):
        with Mount(SERVER.uri, options="fsname=a\\,b c") as mount:
            self.assertEqual(self.row(mount)[0], "a,b\\040c")
            self.assertEqual(self.row(mount)[2], "fuse.shardfs")
        words = [SHARDFS, "-f", "-u", SERVER.uri, "-o", "subtype=other"]
        with tempfile.TemporaryDirectory(prefix="shardfs-test-") as path:
            with subprocess.Popen([*words, path], stdin=subprocess.DEVNULL) as daemon:
                try:
                    wait_until(lambda: run(["grep", "-q", f" {path} fuse.other ", "/proc/self/mounts"]).status == 0)
                    self.assertEqual(run(["fusermount3", "-u", path]).status, 0)
                    self.assertEqual(daemon.wait(10), 0)
                finally:
                    daemon.terminate()

    def test_debug_tells_each_request_in_the_foreground(self):
        with tempfile.TemporaryDirectory(prefix="shardfs-test-") as path:
            words = [SHARDFS, "-u", SERVER.uri, "-o", "debug", path]
            with subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as daemon:
                try:
                    wait_until(lambda: path in mounts())
                    self.assertEqual(run(["fusermount3", "-u", path]).status, 0)
                    self.assertIn(b"INIT", daemon.communicate(timeout=10)[1])
                    self.assertEqual(daemon.returncode, 0)
                finally:
                    daemon.terminate()

    def test_uid_gid_umask(self):
        SERVER.call("SET", "k", "v")
        with Mount(SERVER.uri, options="uid=1234,gid=2345,umask=027") as mount:
            self.assertEqual(mount.ok("stat -c '%u %g %a' k ."), b"1234 2345 640\n1234 2345 750\n")

    @unittest.skipUnless(os.getuid() == 0, "needs two users")
    def test_others_are_let_in_only_if_told_to(self):
        SERVER.call("SET", "k", "v")
        for options, reads, writes in (
            ("", False, False),
            ("allow_other", False, False),
            ("allow_other,umask=022", True, False),
            ("allow_other,umask=0", True, True),
        ):
            with self.subTest(options), Mount(SERVER.uri, options=options) as mount:
                os.chmod(mount.dir, 0o755)
                nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "bash", "-c"]
                self.assertEqual(run([*nobody, f"cat {mount.path}/k"]).status == 0, reads)
                self.assertEqual(run([*nobody, f"echo v >> {mount.path}/k"]).status == 0, writes)

    def test_ttl(self):
        for options, low, high in (("ttl=keep", 990, 1000), ("ttl=clear", -1, -1), ("ttl=50", 40, 50), ("", 990, 1000)):
            with self.subTest(options), Mount(SERVER.uri, options=options) as mount:
                SERVER.call("SET", "k", "old", "EX", 1000)
                mount.ok("echo new > k")
                self.assertTrue(low <= SERVER.call("TTL", "k") <= high, SERVER.call("TTL", "k"))
                mount.ok("echo new > fresh")
                self.assertEqual(SERVER.call("TTL", "fresh") > 0, options == "ttl=50")
                SERVER.call("FLUSHALL")

    def test_commit(self):
        # No process may be started meanwhile: that too closes the file once, which is a FLUSH.
        script = """
import os, time
f = os.open("k", os.O_WRONLY | os.O_TRUNC)
for step in (lambda: os.write(f, b"x" * 4096), lambda: os.write(f, b"x" * 1000), lambda: os.fsync(f)):
    step()
    time.sleep(0.3)
    print(flush=True)
    input()
"""
        for options, expected in (
            ("commit=close", [0, 0, 5096]),
            ("commit=write", [4096, 5096, 5096]),
            ("commit=auto", [4096, 5096, 5096]),
        ):
            with self.subTest(options), Mount(SERVER.uri, options=options) as mount:
                SERVER.call("SET", "k", "")
                words = [sys.executable, "-c", script]
                with subprocess.Popen(words, cwd=mount.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
                    sizes = []
                    for _ in expected:
                        writer.stdout.readline()
                        sizes.append(SERVER.call("STRLEN", "k"))
                        writer.stdin.write(b"\n")
                        writer.stdin.flush()
                self.assertEqual(sizes, expected)

    def test_a_deadline_of_its_own(self):
        with Server() as server, Mount(server.uri, timeout=300) as mount:
            mount.ok("echo v > k")
            server.pause()
            result = mount.run("cat k")
            server.resume()
            self.assertIn("Connection timed out", result.err)
            self.assertLess(result.seconds, 2)


class TwoMounts(unittest.TestCase):
    def test_appends_of_many_writers_are_whole(self):
        SERVER.call("FLUSHALL")
        with Mount(SERVER.uri) as one, Mount(SERVER.uri) as two:
            line = 'printf "%s$w.$i %0$2d\\n" $1 0 >> log'
            script = f"for w in 1 2 3 4; do (for i in $(seq 50); do {line}; done) & done; wait"
            running = [
                subprocess.Popen(["bash", "-c", script, "-", *words], cwd=mount.path, stdin=subprocess.DEVNULL)
                for mount, words in ((one, ("a", "3000")), (two, ("b", "70")))
            ]
            for process in running:
                self.assertEqual(process.wait(60), 0)
            lines = SERVER.call("GET", "log").decode().splitlines()
            self.assertEqual(len(lines), 400)
            self.assertEqual(len({line.split()[0] for line in lines}), 400)
            for line in lines:
                self.assertRegex(line, r"^(a\d\.\d+ 0{3000}|b\d\.\d+ 0{70})$")
            self.assertEqual(two.ok("wc -l < log"), b"400\n")

    def test_a_change_on_one_is_seen_on_the_other(self):
        with Mount(SERVER.uri) as one, Mount(SERVER.uri) as two:
            for i in range(20):
                one.ok(f"echo {i} > k")
                self.assertEqual(two.ok("cat k"), b"%d\n" % i)
                two.ok("rm k; ! test -e k")
                self.assertIn("No such file", one.run("cat k").err)

    def test_only_one_gets_an_exclusive_file(self):
        with Mount(SERVER.uri) as one, Mount(SERVER.uri) as two:
            for i in range(10):
                command = f"sleep 0.0$((RANDOM % 5)); set -C; echo mine > lock{i}"
                running = [
                    subprocess.Popen(["bash", "-c", command], cwd=mount.path, stderr=subprocess.DEVNULL)
                    for mount in (one, two, one, two)
                ]
                self.assertEqual(sorted(p.wait(20) for p in running), [0, 1, 1, 1])


if __name__ == "__main__":
    unittest.main()
