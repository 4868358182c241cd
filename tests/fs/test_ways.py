# SPDX-License-Identifier: MIT
"""The ways of shells and tools to write and read files do on a mount what they do on another file system."""

import unittest

from ways import Ways, setUpModule, tearDownModule  # noqa: F401


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

    def test_logs(self):
        self.bash(
            r"""
seq 100 > log; exec 3>> log; echo a >&3; cp log log.1; truncate -s 0 log; echo b >&3; cat log; wc log.1

seq 100 > log; exec 3>> log; mv log log.1; echo a >&3; echo b >> log; cat log; tail -n 1 log.1

exec 3> a; echo 1 >&3; : > a; echo 2 >&3; exec 3>&-; od -c a

(for i in 1 2 3; do echo x$i; sleep 0.12; done) > a; cat a

(for i in 1 2 3; do echo x$i; sleep 0.12; done) >> a; cat a

(sleep 1; echo late) > a & sleep 0.1; cat a; echo; wait; cat a

seq 100 | xargs -P 4 -I{} sh -c 'echo {} >> all'; sort -n all | md5sum; sort -n -o all all

timeout 1 bash -c 'echo begin; sleep 50' > a; cat a
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

cp /etc/passwd /etc/group /etc/shells .; cat passwd group shells | wc; cp -t . /etc/hosts; cp nosuch b
"""
        )

    def test_tee(self):
        self.bash(
            r"""
seq 60000 > a; tee b c < a > d; tee -a b < a > /dev/null; echo x | tee -a new; ls

seq 10 | tee a > b; tee -a a < b | tac > c; cat a | wc -l
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
tar cf - f* | tar xf - --to-stdout | md5sum; tar czf - f1 | tar xzOf -
tar cf t.tar --mtime=@0 --owner=0 --group=0 --mode=600 f1 f2; tar xf t.tar --overwrite

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

    def test_more_tools(self):
        # Where one is missing, it is missing in both.
        self.bash(
            r"""
seq 10000 > a; diff <(cat a) <(sed s/77/XX/ a) | patch -s a; grep -c XX a; ls

printf 'a\nw\nq\n' | ed -s new 2>&1; seq 5 > b; printf '2d\nw\nq\n' | ed -s b; cat b

seq 1000 > a; xz -k a; xz -dc a.xz | cmp - a; rm a.xz; bzip2 a; bunzip2 a.bz2; zstd -q a; zstd -dqf a.zst; wc a; rm *z*

sqlite3 db 'create table t(a); insert into t values(1),(2); select sum(a) from t;'; sqlite3 db .dump; rm -f db

git config -f c a.b c; git config -f c --get a.b; git config -f c a.d e; cat c; git hash-object c

seq 5 > a; touch -d @5 a; stat -c %Y a; cp a b; test b -nt a && echo newer; cp -p a c; stat -c %Y c; find . -newer a

echo x > a; sync a; sync -d a; sync -f a; chmod 400 a; cat a; chmod 600 a

rsync -a --inplace /etc/passwd p; rsync --append /etc/passwd p; rsync -I --no-whole-file /etc/passwd p; rsync -c p q

perl -e 'open F, "+>", "a"; print F "hello"; seek F, 0, 0; print <F>; truncate F, 2; close F; rename "a", "b"'
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


if __name__ == "__main__":
    unittest.main()
