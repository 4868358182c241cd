#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""mount(8): a line of fstab becomes a mount, and secrets are shown nowhere.

All of it happens in mount namespaces of its own, where shardfs is found as an installed one is.
"""

import os
import shutil
import tempfile
import unittest

from fslib import SHARDFS, run
from shardtest import Cluster

PASSWORD = "s3c,r3t"
IN_URI = "s3c%2Cr3t"
REAL_HELPER = os.path.exists("/sbin/mount.fuse") and os.geteuid() == 0


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(masters=3, replicas=0, password=PASSWORD)
        cls.addClassCleanup(cls.cluster.close)
        cls.seeds = cls.cluster.addrs

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="shardfs-fstab-")
        self.addCleanup(shutil.rmtree, self.dir, True)
        self.mnt, self.fstab = os.path.join(self.dir, "mnt"), os.path.join(self.dir, "fstab")
        os.mkdir(self.mnt)
        os.mkdir(os.path.join(self.dir, "bin"))
        shutil.copy(SHARDFS, os.path.join(self.dir, "bin"))
        self.password_file = os.path.join(self.dir, "pass word")
        with open(self.password_file, "w", encoding="utf-8") as file:
            file.write(PASSWORD + "\n")

    def uri(self, password=IN_URI, comma="\\,"):
        return f"redis://{':' + password + '@' if password else ''}{comma.join(self.seeds)}"

    def write(self, options, source="none", kind="fuse.shardfs"):
        with open(self.fstab, "w", encoding="utf-8") as file:
            file.write(f"{source} {self.mnt} {kind} {options} 0 0\n")

    def script(self, text, check=True):
        """A script of bash in a mount namespace; it unmounts what is left. $mnt and $fstab are ours."""
        end = (
            'end() { umount "$mnt" 2> /dev/null || true; '
            "for i in $(seq 100); do kill -0 $daemon 2> /dev/null || break; sleep 0.1; done; }"
        )
        # The daemon's command line, as everybody sees it.
        find = (
            "found() { for p in /proc/[0-9]*; do { tr '\\0' ' ' < $p/cmdline; } 2> /dev/null | "
            'grep -a "^[^ ]*shardfs .*$mnt" && daemon=${p#/proc/}; done; true; }'
        )
        whole = (
            f"mnt={self.mnt} fstab={self.fstab}; mount --bind {self.dir}/bin /usr/local/bin || exit 99\n"
            f"{end}\n{find}\ntrap end EXIT\n{text}"
        )
        result = run(["unshare", "-m", "bash", "-c", whole], timeout=60)
        if check:
            self.assertEqual(result.status, 0, result)
        return result


@unittest.skipUnless(REAL_HELPER, "mount.fuse and root are needed")
class Fstab(Case):
    def test_a_line_of_fstab(self):
        self.write(f"uri={self.uri()},_netdev,nofail,noauto,user,x-systemd.automount,timeout=1234,commit=close")
        out = self.script(
            "set -e; mount -T $fstab $mnt; found > $mnt/cmdline; cat $mnt/cmdline; echo hi > $mnt/k; cat $mnt/k\n"
            "cat $mnt/.shardfs/config; grep -a $mnt /proc/self/mountinfo; ls $mnt; umount $mnt; ! mountpoint -q $mnt"
        ).out.decode()
        self.assertEqual(self.cluster.call("GET", "k"), b"hi\n")
        for text in ("timeout 1234\n", "commit close\n", f"uri {self.uri('', ',')}\n", "fuse.shardfs none "):
            self.assertIn(text, out)
        for text in ("nosuid,nodev,noexec", "shardfs none "):
            self.assertIn(text, out)
        for secret in ("s3c", "r3t"):
            self.assertNotIn(secret, out)

    def test_mount_a_does_it_once(self):
        self.write(f"uri={self.uri()},_netdev,nofail")
        result = self.script(
            "set -e; mount -a -T $fstab; mount -a -v -T $fstab; found > /dev/null; echo v > $mnt/k; cat $mnt/k"
        )
        self.assertIn(b"already mounted", result.out)
        self.assertIn(b"v\n", result.out)

    def test_a_password_file_and_defaults(self):
        path = self.password_file.replace(" ", "\\040")
        self.write(f"uri={self.uri('')},password_file={path},defaults,nofail")
        result = self.script("set -e; mount -T $fstab $mnt; found; echo v > $mnt/k; cat $mnt/k")
        self.assertIn(b"v\n", result.out)

    def test_a_uri_as_the_source(self):
        self.write("noatime,nofail,umask=022", source=self.uri(comma=","))
        result = self.script(
            "set -e; mount -T $fstab $mnt; found; cat $mnt/.shardfs/config; grep -a $mnt /proc/self/mountinfo"
        )
        self.assertIn(b"umask 022", result.out)
        self.assertNotIn(b"s3c", result.out)
        self.assertIn(b",".join(seed.encode() for seed in self.seeds) + b" rw", result.out)

    def test_the_command_line_of_mount(self):
        result = self.script(
            f"set -e; mount -t fuse.shardfs none $mnt -o 'uri={self.uri()},dev,suid,ro'; found; ! echo v > $mnt/k"
        )
        self.assertIn("Read-only", result.err)

    def test_what_is_wrong_is_said(self):
        for options, source, text in (
            ("nosuch=1", "none", "-o nosuch: no such option"),
            ("timeout=soon", "none", "-o timeout=: a whole number from 1 to 86400000"),
            ("uri=redis://127.0.0.1:1", "none", "Connection refused"),
            ("uri=redis://127.0.0.1:1", "redis://127.0.0.1:2", "named twice"),
            ("uri=nonsense://x", "none", "URI"),
        ):
            self.write(options, source)
            result = self.script("mount -T $fstab $mnt", check=False)
            self.assertNotEqual(result.status, 0, options)
            self.assertIn(text, result.err)


class CommandLine(Case):
    def start(self, *words):
        return run([SHARDFS, *words], timeout=30)

    def refused(self, result, text):
        self.assertEqual(result.status, 2, result)
        self.assertRegex(result.err, text)
        self.assertNotIn("s3c", result.err)
        self.assertNotIn("r3t", result.err)

    def test_what_is_wrong(self):
        self.refused(self.start("somewhere", self.mnt), "only none or a URI .* one too many")
        self.refused(self.start("none", self.mnt, self.mnt), "one too many")
        self.refused(self.start("-o", "uri=", self.mnt), "-o uri=: a value is wanted")
        self.refused(self.start("-o", "password_file", self.mnt), "-o password_file=: a value is wanted")
        # A comma that is not marked: what comes after it may be a secret.
        self.refused(self.start("-o", f"uri=redis://:{PASSWORD}@{self.seeds[0]}", self.mnt), "-o uri=: a comma")
        self.refused(self.start("-o", f"password_file={self.dir}/nosuch", self.mnt), "nosuch: cannot read the password")

    def test_words_for_others_are_taken(self):
        words = "defaults,auto,noauto,user,nouser,users,owner,group,nofail,_netdev,x-a.b=c,X-y,comment=z,rw,dev,suid"
        result = self.start("-o", words, "-o", "uri=redis://127.0.0.1:1", "none", self.mnt)
        self.refused(result, "127.0.0.1:1: Connection refused")


unittest.main()
