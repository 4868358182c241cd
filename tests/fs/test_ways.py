# SPDX-License-Identifier: MIT
"""Every way that people write and read files does on a mount what it does on another file system."""

import os
import sys
import tempfile
import unittest

from fslib import Mount, run
from shardtest import Cluster, wait_until

CLUSTER = None
MOUNT = None


def setUpModule():
    global CLUSTER, MOUNT
    CLUSTER = Cluster(masters=3, replicas=0)
    MOUNT = Mount(CLUSTER.uri)


def tearDownModule():
    try:
        if MOUNT:
            MOUNT.end()
    finally:
        if CLUSTER:
            CLUSTER.close()


def stored():
    """{key: value} of all string keys."""
    keys = [key for server in CLUSTER.servers for key in server.call("KEYS", "*")]
    return {key.decode(): CLUSTER.call("GET", key) for key in keys}


def files(folder):
    found = {}
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as file:
            found[name] = file.read()
    return found


def blocks(text):
    """Scripts with empty lines between them."""
    return [block.strip("\n") + "\n" for block in text.split("\n\n") if block.strip()]


class Ways(unittest.TestCase):
    def setUp(self):
        CLUSTER.flush()

    SHOW = 'for f in *; do test -e "$f" && printf "%s " "$f" && md5sum < "$f"; done'

    def same(self, words, script):
        """SCRIPT, run by WORDS, does the same in the mount and in a folder of another file system."""
        CLUSTER.flush()
        with self.subTest(script, by=words[0]), tempfile.TemporaryDirectory(prefix="shardfs-test-") as other:
            folders = (f"{MOUNT.path}/.", f"{other}/.")
            here, there = (run([*words, script], folder, timeout=60) for folder in folders)
            self.assertEqual((here.status, here.out, here.err), (there.status, there.out, there.err))
            shown, expected = (run(self.SHOW, folder) for folder in folders)
            self.assertEqual(shown.out, expected.out)
            try:
                # close() does not wait for the last commit of a file without data.
                wait_until(lambda: stored() == files(other), 2)
            except AssertionError:
                self.assertEqual(stored(), files(other))

    def shells(self, text, shells=("bash", "dash")):
        for script in blocks(text):
            for shell in shells:
                self.same([shell, "-c"], script)

    def bash(self, text):
        self.shells(text, ["bash"])

    def python(self, text, start=""):
        for script in blocks(text):
            self.same([sys.executable, "-c"], start + script)


class Shells(Ways):
    def test_redirections(self):
        self.shells(
            r"""
echo one > a; echo two > b; echo three > a; cat a b

printf one > a; printf two >> a; printf three >> b; cat a b

: > a; > b; echo x > c; : > c; > a; ls

echo x > a; : >> a; : >> b; cat a b

set -C; echo 1 > a; (echo 2 > a) 2> /dev/null; echo $?; echo 3 >| a; cat a

printf '1\n2\n' > a; exec 3<> a; read x <&3; echo "<$x>"; echo more >&3; exec 3>&-; cat a

{ echo out; echo err >&2; } > a 2>&1; ls nosuch > b 2> c; cat a c

cat > a <<EOF
here
$((1 + 1))
EOF
cat a; cat < a > b

(echo sub; (echo subsub); echo sub; cat /etc/passwd; echo end) > a

{ echo a; /bin/echo b; echo c; (sleep 0.15; echo d); echo e; } > a

exec 3> a 4>> a; echo 1 >&3; echo 2 >&4; exec 3>&- 4>&-; cat a

exec 3> a; echo a long line >&3; exec 4> a; echo x >&4; echo y >&3; exec 3>&- 4>&-; od -c a

exec 3> a; exec 4>&3; echo 1 >&3; echo 2 >&4; exec 3>&-; echo 3 >&4; exec 4>&-; cat a

seq 3 > a; while read l; do echo "<$l>"; done < a > b; cat b

echo long text > a; echo y 1<> a; echo z 1<> b; cat a b

echo a > a; cat a >> a; cat a > a; echo $?; cat < a > a; cat a

seq 1000 > a; sort -rn a | uniq | head -n 500 | tee b c | tail -n 3 >> a; wc a b c

echo x > a & echo y > b & wait; cat a b

trap 'echo bye > a' EXIT; echo hello > a

exec > a; echo to a; exec >> b; echo to b; cat a >&2

echo x > a; rm a; echo y >> a; rm -f a nosuch; echo z > b; unlink b; ls

exec 3> a; echo 1 >&3; rm a; echo 2 >&3; exec 3>&-; test -e a; echo $?

echo x > a; cp a b; (echo y; cat b) > a; cat a

head -c 200000 /dev/zero > a; echo end >> a; (cat a; echo more) > b; tail -c 10 b
"""
        )

    def test_of_bash_alone(self):
        self.bash(
            r"""
echo x &> a; ls nosuch &>> a; cat a

cat <<< here > a; mapfile -t lines < a; echo ${lines[0]}; diff <(cat a) <(echo here)

echo x > a; echo $(< a); exec {fd}>> a; echo y >&$fd; exec {fd}>&-; cat a

coproc cat > a; echo x >&${COPROC[1]}; exec {COPROC[1]}>&-; wait $!; cat a

for i in {1..50}; do echo $i > f$i; done; cat f?; rm f[1-4]?; ls

echo x | tee >(cat > a) > b; for i in {1..50}; do [ -s a ] && break; sleep 0.1; done; cat a b
"""
        )

    def test_loops(self):
        self.shells(
            r"""
i=0; while [ $i -lt 100 ]; do echo line $i >> a; i=$((i + 1)); done; wc a

i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i + 1)); done > a; wc a

i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i + 1)); done >> a; wc a
"""
        )


class Tools(Ways):
    def test_cp(self):
        self.bash(
            r"""
seq 60000 > a; cp a b; cp -p a c; cp -n c b; cp -u a b; cp -f a d; cp --backup=numbered c d; ls; cmp a d

seq 5 > a; seq 9 > b; cp a b; cp --remove-destination b a; cp -b a b; cp -a a z; cp --attributes-only a n; ls

(head -c 100000 /dev/zero; echo mid; head -c 99999 /dev/zero) > a; cp --sparse=always a b; cp --sparse=never b c

seq 60000 > a; cp --reflink=auto a b; cp --reflink=always a c 2> /dev/null || rm -f c; cat a | cp /dev/stdin d

seq 60000 > a; install -m 600 a b; install -m 644 -T b c; cp a a; echo $?; dd if=a of=a conv=notrunc status=none

cp /etc/passwd /etc/group /etc/services .; cat passwd group services | wc; cp -t . /etc/hosts; cp nosuch b
"""
        )

    def test_tee(self):
        self.bash(
            r"""
seq 60000 > a; tee b c < a > d; tee -a b < a > /dev/null; echo x | tee -a new; ls

seq 10 | tee a | tee -a a b | tac > c; cat a | wc -l
"""
        )

    def test_dd(self):
        for size in ("1000", "4096", "65537", "1M"):
            dd = f"dd status=none bs={size}"
            self.bash(f"seq 60000 > a; {dd} if=a of=b; cmp a b; {dd} if=b | md5sum")
        self.bash(
            r"""
seq 1000 > a; dd if=a of=b bs=1 status=none; cmp a b; dd if=a bs=1 skip=100 count=10 status=none

seq 60000 > a; dd="dd if=a of=b bs=1000 conv=notrunc status=none"; $dd; $dd seek=100; wc -c b

seq 9 > a; echo AB | dd of=a bs=1 seek=3 conv=notrunc status=none; echo Z | dd of=a bs=1 seek=5 status=none; cat a

echo x | dd of=new bs=1 seek=99999 status=none; echo y | dd of=new bs=1 seek=50000 conv=notrunc status=none

seq 99 > a; echo E | dd of=a oflag=append conv=notrunc status=none; dd of=b if=a conv=fsync status=none

seq 99 > a; dd if=a of=b oflag=sync status=none; dd if=a of=c conv=excl status=none; dd if=a of=c conv=excl 2>&1

seq 99 > a; dd if=a of=nosuch conv=nocreat status=none; dd if=a of=b conv=sparse,ucase bs=512 status=none; cat b

dd if=/dev/null of=a bs=1 seek=12345 status=none; dd if=/dev/null of=a bs=1 seek=99 status=none; wc -c a
"""
        )

    def test_tar(self):
        self.bash(
            r"""
for i in $(seq 20); do seq $((i * 1000)) > f$i; done
tar cf t.tar --mtime=@0 --owner=0 --group=0 --mode=600 f*; rm f*; tar xf t.tar; tar tf t.tar

for i in $(seq 5); do seq $((i * 1000)) > f$i; done
like='--mtime=@0 --owner=0 --group=0 --mode=600'
tar cf t.tar $like f1; tar rf t.tar $like f2 f3; tar --delete -f t.tar f2; tar tf t.tar

for i in $(seq 20); do seq $((i * 1000)) > f$i; done
tar cf - f* | tar xf - --to-stdout | md5sum; tar cf - f1 f2 | tar xf - --overwrite; tar czf - f1 | tar xzOf -

for i in $(seq 20); do seq $((i * 1000)) > f$i; done
tar cf t.tar --mtime=@0 --owner=0 --group=0 --mode=600 f*; tar xf t.tar --unlink-first; echo changed > f1
tar xf t.tar -k f1 2>&1; cat f1
"""
        )

    def test_edits(self):
        self.bash(
            r"""
seq 9 > a; seq 9 > b; sed -i s/5/five/ a b; sed -i.bak '2d;$d' a; sed -n 'w c' a; sed -i -s '1i top' a b; head *

seq 60000 > a; sed -i s/1/one/g a; sed -i '100,$d' a; sed --follow-symlinks -i 1d a; wc a

seq 9 > a; perl -i -pe 's/7/seven/' a; perl -i.orig -ne 'print if $. > 3' a; cat a a.orig

seq 20 > a; awk '{ print > "out" $1 % 3 } END { print NR >> "out0" }' a; head out*

seq 9 > a; sort -rn -o a a; shuf -n 0 -o b a; split -n l/3 a part; csplit -s a 4 7; cat part* xx*

seq 9 > a; gzip a; gunzip -k a.gz; cmp <(zcat a.gz) a; rm a.gz; truncate -s 3 a; truncate -s +5 a; truncate -r a b

seq 5000 > a; shred -n 1 -z a; tr -d '\0' < a | wc -c; shred -u -n 1 a; ls
"""
        )

    def test_vim(self):
        self.bash(
            r"""
seq 9 > a; vim -u NONE -es -c '2,4d' -c 'normal Goend' -c wq a < /dev/null; cat a

vim -u NONE -n -es -c 'normal ihello' -c 'w new' -c 'w >> new' -c q! < /dev/null; cat new

seq 9 > a; vim -u NONE -es --cmd 'set backup backupcopy=no' -c 'g/3/d' -c wq a < /dev/null; ls

seq 9 > a; vim -u NONE -es --cmd 'set backup backupcopy=yes' -c 'g/3/d' -c wq a < /dev/null; ls

seq 9 > a; vim -u NONE -es --cmd 'set undofile' -c 'g/3/d' -c w -c 'g/4/d' -c wq a < /dev/null; cat a; rm .*un~

seq 60000 > a; vim -u NONE -es -c '%s/1/one/g' -c wq a < /dev/null; wc a
"""
        )

    def test_mv(self):
        for b in ("b", "'{a}b'"):  # another slot, the same
            self.bash(
                r"""
echo 1 > a; mv a B; ls; echo 2 > a; mv -n a B; mv -f a B; cat B

echo 1 > a; echo 2 > B; mv -b a B; ls; mv -u B a; mv B B 2>&1; mv nosuch B 2>&1; ls

echo 1 > a; exec 3< a; mv a B; echo 2 > a; cat <&3; cat a B; rm a B; ls

echo old > B; exec 3< B; echo new > a; mv a B; cat <&3; cat B

exec 3> a; echo 1 >&3; mv a B; echo 2 >&3; exec 3>&-; cat B; test -e a || echo moved

exec 3>> a; echo 1 >&3; mv a B; echo 2 >&3; echo 3 > a; exec 3>&-; cat a B

: > a; mv a B; touch c; mv -T c B; test -s B || echo empty; ls

seq 60000 > a; mv a B; md5sum < B; cp B a; cmp a B; mv a c; mv B a; mv c B; ls
""".replace(
                    "B", b
                )
            )

    def test_removing(self):
        self.bash(
            r"""
seq 9 > a; exec 3<> a; rm a; cat <&3; ls; echo new > a; exec 3>&-; cat a

exec 4> a 3< a; seq 5 >&4; rm a; seq 3 >&4; ls; echo new > a; cat <&3; exec 4>&-; cat a

seq 9999 > a; exec 3< a; rm a; md5sum <&3; test -e a || echo gone

seq 9 > a; (sleep 0.3; cat) < a & sleep 0.1; rm a; wait; ls

for i in $(seq 30); do echo $i > f$i; done; find . -name 'f1*' -delete; find . -type f -size -2 | sort; rm -r f*; ls

f=$(mktemp -p . XXXX); echo x > $f; cat $f; rm $f; ls
"""
        )


class Python(Ways):
    def test_buffered(self):
        for buffering in (1, 10, 4096, 8192, 1 << 17, -1):
            self.python(
                f"buffering = {buffering}"
                + r"""
with open("a", "w", buffering) as f:
    for i in range(3000):
        f.write(f"line {i}\n")
with open("a", "a", buffering) as f:
    for i in range(30):
        f.write(f"more {i}\n")
with open("a", "r+", buffering) as f:
    f.seek(9000)
    f.write("HERE")
    f.seek(0, 2)
    f.write("END")
    f.seek(8990)
    print(f.read(30))
    f.truncate(9000)
"""
            )
        self.python(
            r"""
with open("a", "wb", 0) as f:
    for i in range(300): f.write(b"x" * i)
    print(f.tell())

with open("a", "w+") as f:
    f.write("hello"); f.seek(1); print(f.read()); f.truncate(3); f.seek(0); print(f.read())

with open("a", "x") as f:
    f.write("1")
try:
    open("a", "x")
except FileExistsError as error:
    print(error)

f = open("a", "a+")
f.write("one"); f.flush(); f.seek(0); print(f.read()); f.write("two"); f.seek(1); print(f.read())
f.write("3"); f.close(); print(open("a").read())

f = open("a", "w"); g = open("a")
f.write("x" * 10); f.flush(); print(g.read()); f.write("y" * 5); f.close(); print(g.read())
"""
        )

    CALLS = r"""
os.writev(f, [b"one", b"", b"two" * 5000]); print(os.preadv(f, [bytearray(5), bytearray(9)], 2))

os.pwrite(f, b"end", 100000); print(os.pread(f, 9, 99995), os.pread(f, 5, 200000), os.fstat(f).st_size)

os.pwrite(f, b"x", 300000); os.pwrite(f, b"y", 150000); os.pwrite(f, b"z", 0); print(os.read(f, 10))

os.ftruncate(f, 5); print(os.fstat(f).st_size)
os.ftruncate(f, 70000); print(os.pread(f, 12, 0), os.fstat(f).st_size)

os.truncate("a", 5); print(os.fstat(f).st_size)
os.truncate("a", 9); print(os.pread(f, 99, 0))
os.truncate("a", 0); print(os.stat("a").st_size)

os.ftruncate(f, 50000); os.ftruncate(f, 0); os.write(f, b"x"); os.ftruncate(f, 3)
os.fsync(f); os.fdatasync(f); print(os.pread(f, 9, 0))

os.ftruncate(f, 10); os.lseek(f, 0, 2); os.write(f, b"at the end"); os.lseek(f, -3, 1); print(os.read(f, 9))

os.lseek(f, 5000, 0); os.write(f, b"x"); os.lseek(f, 0, 0); os.write(f, b"y"); os.close(f); print(os.stat("a").st_size)

os.posix_fallocate(f, 0, 5000); os.pwrite(f, b"x", 6000); print(os.fstat(f).st_size)

g = os.open("a", os.O_WRONLY | os.O_APPEND)
for i in range(9): os.write(g, b"append"); os.pwrite(f, b"in place", i)
print(os.fstat(g).st_size)

g = os.open("a", os.O_RDWR | os.O_APPEND)
os.write(g, b"one"); os.lseek(g, 0, 0); print(os.read(g, 5)); os.write(g, b"two"); print(os.fstat(g).st_size)

g = os.open("a", os.O_WRONLY | os.O_TRUNC)
os.write(g, b"new"); print(os.pread(f, 9, 0)); os.write(f, b"old"); print(os.pread(f, 9, 0))

g = os.dup(f)
os.write(f, b"one"); os.write(g, b"two"); os.close(f); os.write(g, b"three"); print(os.lseek(g, 0, 1))

if not (pid := os.fork()): os.write(f, b"child"); os._exit(0)
os.waitpid(pid, 0); os.write(f, b"mother"); print(os.lseek(f, 0, 1), os.fstat(f).st_size)

import fcntl
fcntl.fcntl(f, fcntl.F_SETFL, os.O_APPEND); os.lseek(f, 0, 0)
os.write(f, b"x"); os.write(f, b"y"); print(os.fstat(f).st_size)

g = os.open("b", os.O_RDWR | os.O_CREAT)
os.pwrite(f, b"data" * 9999, 0)
print(os.copy_file_range(f, g, 20000, 0), os.sendfile(g, f, 0, 5000), os.fstat(g).st_size)

r, w = os.pipe()
os.write(w, b"through a pipe"); print(os.splice(r, f, 14))
os.lseek(f, 0, 0); print(os.splice(f, w, 7), os.read(r, 9))

import mmap
os.ftruncate(f, 9000); os.fsync(f)
with mmap.mmap(f, 9000, mmap.MAP_PRIVATE) as m: m[0:3] = b"abc"; print(m[0:5])

os.write(f, b"one"); os.rename("a", "b"); os.write(f, b"two"); print(os.listdir("."))
os.close(f); print(open("b").read(10))

g = os.open("a", os.O_RDWR | os.O_SYNC); os.write(g, b"sync")
h = os.open("a", os.O_WRONLY | os.O_DSYNC | os.O_APPEND); os.write(h, b"!"); print(os.pread(f, 5, 0))

os.write(f, b"x"); g = os.open("a", os.O_PATH); print(os.fstat(g).st_size)
d = os.open(".", 0); print(os.stat("a", dir_fd=d).st_size); os.unlink("a", dir_fd=d); print(os.listdir(d))
"""

    def test_system_calls(self):
        self.python(self.CALLS, 'import os\nf = os.open("a", os.O_RDWR | os.O_CREAT | os.O_TRUNC)\n')
        self.python(self.CALLS, 'import os\nf = os.open("a", os.O_RDWR | os.O_CREAT)\n')
        full = 'import os\nopen("a", "w").write("0123456789" * 9999)\n'
        self.python(self.CALLS, full + 'f = os.open("a", os.O_RDWR | os.O_CREAT)\n')

    def test_a_file_that_was_removed(self):
        self.python(
            r"""
import os
f = os.open("a", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
os.unlink("a"); os.write(f, b"gone"); print(os.pread(f, 9, 0), os.fstat(f).st_nlink)
os.ftruncate(f, 2); print(os.fstat(f).st_size)
"""
        )

    def test_holes(self):
        self.python(
            r"""
import os
f = os.open("a", os.O_RDWR | os.O_CREAT)
os.pwrite(f, b"x", 1 << 20); print(os.fstat(f).st_size)
os.pwrite(f, b"y", 5 << 20); print(set(os.pread(f, 1 << 20, 2 << 20)))
os.lseek(f, 0, 2); os.write(f, b"z")

import os
f = os.open("a", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
os.ftruncate(f, 3 << 20); os.pwrite(f, b"y", 2 << 20)
print(set(os.pread(f, 1 << 20, 1 << 20)), os.lseek(f, 2 << 20, os.SEEK_DATA), os.lseek(f, 0, os.SEEK_END))

import os
os.close(os.open("a", os.O_WRONLY | os.O_CREAT))
os.truncate("a", 100000); print(os.stat("a").st_size)
with open("a", "r+b") as f: f.seek(200000); f.write(b"x")
"""
        )

    def test_library(self):
        self.python(
            r"""
import os, tempfile
with tempfile.NamedTemporaryFile("w", dir=".", delete=False) as f: f.write("x")
os.replace(f.name, "a")

import tempfile
with tempfile.TemporaryFile(dir=".") as f: f.write(b"x" * 9999); f.seek(0); print(len(f.read()))

import shutil
open("a", "w").write("x" * 99999)
shutil.copy("a", "b"); shutil.copyfile("b", "c"); shutil.move("a", "d")

import fileinput
open("a", "w").write("1\n2\n3\n")
for line in fileinput.input("a", inplace=True, backup=".bak"): print(line, end="" if "2" in line else line)

import zipfile
for i in range(3):
    with zipfile.ZipFile("a", "a") as z: z.writestr(zipfile.ZipInfo(f"f{i}"), "x" * 5000)
print(zipfile.ZipFile("a").testzip(), zipfile.ZipFile("a").namelist())

import dbm.dumb
for i in range(5):
    with dbm.dumb.open("a") as d: d[str(i)] = "v" * i; print(len(d))

import os, sqlite3
c = sqlite3.connect("a"); c.execute("create table t (i, v)")
for i in range(200): c.execute("insert into t values (?, ?)", (i, "v" * 99))
c.commit(); c.execute("delete from t where i % 3"); c.commit(); c.execute("vacuum"); c.close()
c = sqlite3.connect("a")
print(c.execute("select count(*), sum(i) from t").fetchall(), c.execute("pragma integrity_check").fetchall())
c.close(); print(os.listdir(".")); os.unlink("a")

import logging, logging.handlers
log = logging.getLogger()
log.addHandler(logging.handlers.RotatingFileHandler("a", maxBytes=1000, backupCount=3))
for i in range(100): log.warning("line %d of the log", i)

import mailbox, os
m = mailbox.mbox("a"); m.lock(); m.add("From: x\n\nbody\n"); m.flush(); m.unlock(); m.close()
print(len(mailbox.mbox("a"))); os.unlink("a")

import configparser, csv, json
json.dump([1] * 999, open("a", "w"))
c = configparser.ConfigParser(); c["x"] = {"y": 1}; c.write(open("b", "w"))
csv.writer(open("c", "w")).writerows([[1, 2]] * 99)
"""
        )

    RENAME = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def rename(a, b, flags):
    ok = libc.renameat2(-100, a.encode(), -100, b.encode(), flags) == 0
    print(a, b, flags, "ok" if ok else errno.errorcode[ctypes.get_errno()])
"""

    def test_renaming(self):
        self.python(
            """
for b in ("b", "{a}b"):
    open("a", "w").write("1")
    rename("a", b, 1); rename("a", b, 1); rename("a", b, 0)
    open("a", "w").write("2")
    rename("a", b, 1); rename(b, b, 1); rename(b, b, 0); rename("a", "a", 0)
    rename("a", b, 0); rename("nosuch", b, 1)
open("c", "w"); rename("c", "b/c", 0); rename("c", ".", 0); rename("c", "d", 4096)
""",
            self.RENAME,
        )

    def test_names_cannot_be_exchanged(self):
        self.assertEqual(
            MOUNT.python(self.RENAME + "open('a', 'w'); open('b', 'w'); rename('a', 'b', 2)"), "a b 2 EINVAL\n"
        )

    def test_locks(self):
        self.python(
            """
import fcntl, os
def child(lock):
    if pid := os.fork():
        os.waitpid(pid, 0)
        return
    f = os.open("a", os.O_RDWR)
    try:
        lock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        print("got it", flush=True)
    except OSError as error:
        print("busy", error.errno, flush=True)
    os._exit(0)
open("a", "w").write("x")
for lock in (fcntl.flock, fcntl.lockf):
    f = os.open("a", os.O_RDWR)
    lock(f, fcntl.LOCK_EX); child(lock)
    lock(f, fcntl.LOCK_UN); child(lock)
    lock(f, fcntl.LOCK_SH); child(lock)
    os.close(f); child(lock)
"""
        )
        self.bash(
            """
echo 0 > n
add() { flock 9; echo $(($(cat n) + 1)) > n; }
for i in 1 2 3 4; do (for j in 1 2 3 4 5; do (add) 9>> lock; done) & done; wait; cat n
"""
        )


if __name__ == "__main__":
    unittest.main()
