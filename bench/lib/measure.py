# SPDX-License-Identifier: MIT
"""Measuring side by side: everything on one CPU, sides interleaved, medians, and runs that neighbours disturbed repeated."""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

STEAL_LIMIT = 0.05
REPEATS_MAX = 5


class Failure(Exception):
    """What was to be measured did not work."""


def pin(cpu):
    """Pins this process, and so every one that it starts, servers too, to CPU."""
    allowed = os.sched_getaffinity(0)
    if cpu not in allowed:
        raise Failure(f"CPU {cpu} is not among ours ({', '.join(map(str, sorted(allowed)))}): see --cpu")
    os.sched_setaffinity(0, {cpu})


class Steal:
    """The share of time that neighbours took from CPU: with Steal(cpu) as steal: ...; steal.share."""

    def __init__(self, cpu):
        self.cpu = cpu
        self.share = 0.0

    def _ticks(self):
        with open("/proc/stat", encoding="ascii") as file:
            for line in file:
                if line.startswith(f"cpu{self.cpu} "):
                    return int(line.split()[8])
        return 0

    def __enter__(self):
        self.start = time.monotonic()
        self.ticks = self._ticks()
        return self

    def __exit__(self, *_):
        elapsed = (time.monotonic() - self.start) * os.sysconf("SC_CLK_TCK")
        stolen = self._ticks() - self.ticks
        # One tick in a run of a few milliseconds is the clock's coarseness, not a neighbour.
        self.share = stolen / elapsed if stolen > 1 else 0.0


class Sides(dict):
    """What interleave() returns: side -> metric -> list of values, a run each."""

    def median(self, side, metric):
        return statistics.median(self[side][metric])


def interleave(context, sides, rounds=None):
    """Runs SIDES (name -> a function that returns a dict of figures) A B C A B C ..., after a round that does not count.

    A run that lost more than STEAL_LIMIT to neighbours is repeated, up to REPEATS_MAX times.
    """
    results = Sides({name: {} for name in sides})
    for function in sides.values():
        function()
    for number in range(rounds or context.rounds):
        for name, function in sides.items():
            context.progress(f"round {number + 1}: {name}")
            for metric, value in undisturbed(context, function).items():
                results[name].setdefault(metric, []).append(value)
    context.progress("")
    return results


def undisturbed(context, function):
    for repeat in range(REPEATS_MAX + 1):
        with Steal(context.cpu) as steal:
            figures = function()
        context.runs += 1
        if steal.share <= STEAL_LIMIT:
            return figures
        if repeat < REPEATS_MAX:
            context.repeated += 1
    context.disturbed += 1
    return figures


class Partner:
    """A program that answers each line on its standard input with a line of numbers."""

    def __init__(self, *argv):
        self.name = os.path.basename(argv[0])
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if not answer:
            raise Failure(f"{self.name} ended at {line!r}")
        return [int(word) for word in answer]

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def instructions(argv, short, long, env=None):
    """User instructions by callgrind of one operation: the difference of two run lengths, so start-up is cancelled out.

    SHORT and LONG are pairs (operations, text for standard input).
    """
    counted = [_callgrind(argv, text, env) for _, text in (short, long)]
    return (counted[1] - counted[0]) / (long[0] - short[0])


def _callgrind(argv, text, env):
    with tempfile.TemporaryDirectory(prefix="shard-bench-") as folder:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", *argv]
        done = subprocess.run(command, input=text, capture_output=True, text=True, env=env, check=False)
    found = re.search(r"Collected\s*:\s*(\d+)", done.stderr)
    if done.returncode or not found:
        raise Failure(f"{argv[0]} under valgrind: status {done.returncode}\n{done.stderr.strip()}")
    return int(found.group(1))


def run_together(commands, env=None):
    """Runs COMMANDS (pairs of argv and a file for standard input, or None) at the same time, output thrown away.

    Returns seconds: {"wall": ..., "cpu": ...}, the CPU of all of them together.
    """
    start = time.monotonic()
    children = [_start(argv, path, env) for argv, path in commands]
    cpu = 0.0
    for argv, child in zip((argv for argv, _ in commands), children):
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise Failure(f"{' '.join(argv)}: ended with status {child.returncode}")
        cpu += usage.ru_utime + usage.ru_stime
    return {"wall": time.monotonic() - start, "cpu": cpu}


def _start(argv, path, env):
    with open(path or os.devnull, "rb") as source:
        return subprocess.Popen(argv, stdin=source, stdout=subprocess.DEVNULL, env=env)


def warn(text):
    print(f"bench: {text}", file=sys.stderr)
