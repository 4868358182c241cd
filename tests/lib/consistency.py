# SPDX-License-Identifier: MIT
"""examples/consistency_test while it runs."""

import re
import signal
import subprocess
import threading

from shardtest import Failure, TempDir, clean_env, program, wait_until

LINE = re.compile(
    r"(?P<reads>\d+) R \((?P<read_errors>\d+) err\) \| (?P<writes>\d+) W \((?P<write_errors>\d+) err\) \|"
    r"(?: (?P<lost>\d+) lost \|)?(?: (?P<noack>\d+) noack \|)?(?: (?P<unreplicated>\d+) unreplicated \|)?$"
)


class Line:
    """The figures of a line: reads, read_errors, writes, write_errors, lost, noack, unreplicated."""

    def __init__(self, match):
        for name, text in match.groupdict().items():
            setattr(self, name, int(text or 0))


class Consistency:
    """The program on the servers of URI. lines: what it has told a second; errors: its other lines; last: its last line.

    status and err (its standard error) are known when it has ended.
    """

    def __init__(self, uri, *args):
        self.runtime = TempDir("shard-runtime-")
        self.lines, self.errors, self.text = [], [], []
        self.status = self.err = None
        self.process = subprocess.Popen(
            [program("consistency_test"), "-u", uri, *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_env(self.runtime.path),
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        try:
            for line in self.process.stdout:
                match = LINE.match(line.rstrip("\n"))
                self.text.append(line.rstrip("\n"))
                if match:
                    self.lines.append(Line(match))
                else:
                    self.errors.append(line.rstrip("\n"))
        except ValueError:
            pass  # closed by the test

    @property
    def last(self):
        return self.lines[-1]

    def wait_line(self, check, timeout=30):
        """Until it has told a line that CHECK agrees with."""

        def told():
            if self.process.poll() is not None:
                raise Failure(f"consistency_test ended with {self.process.returncode}: {self.text[-5:]}")
            return any(check(line) for line in list(self.lines))

        wait_until(told, timeout, "a line of consistency_test")

    def stop(self, number=signal.SIGTERM, timeout=60):
        self.process.send_signal(number)
        self.wait(timeout)

    def wait(self, timeout=60):
        """Until it has ended by itself."""
        try:
            self.status = self.process.wait(timeout)
            self.reader.join(timeout)
            self.err = self.process.stderr.read()
        finally:
            self.kill()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.reader.join(10)
        for pipe in (self.process.stdout, self.process.stderr):
            pipe.close()
        self.runtime.close()
