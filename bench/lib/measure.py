# SPDX-License-Identifier: MIT
"""Measuring side by side: everything on one CPU, sides interleaved, medians, and runs that neighbours disturbed repeated."""

import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time

LOST_LIMIT = 0.05  # of the CPU's time
LOST_TICKS = 2  # what the clock's coarseness may show although nothing was lost
REPEATS_MAX = 4
REPEAT_SECONDS = 5.0  # longer runs average out what disturbs them, and are repeated once

class Failure(Exception):
    """What was to be measured did not work."""


def pin(cpu):
    """Pins this process, and so every one that it starts, servers too, to CPU."""
    allowed = os.sched_getaffinity(0)
    if cpu not in allowed:
        raise Failure(f"CPU {cpu} is not among ours ({', '.join(map(str, sorted(allowed)))}): see --cpu")
    os.sched_setaffinity(0, {cpu})


def our_cpu():
    """Seconds of CPU that this process, its children and what they waited for have used."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usage) + sum(map(_cpu_of, _children()))


def _children():
    try:
        with open("/proc/thread-self/children", encoding="ascii") as file:
            return file.read().split()
    except OSError:
        return []


def _cpu_of(pid):
    try:
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[0]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


class Watch:
    """What a CPU did meanwhile: with Watch(cpu) as watch: ...

    ours: seconds that our processes used. lost: the share of the time that others had, be it another virtual machine
    (steal) or other processes of this one.
    """

    def __init__(self, cpu):
        self.cpu = cpu
        self.ours = self.lost = self.elapsed = 0.0

    def _ticks(self):
        with open("/proc/stat", encoding="ascii") as file:
            for line in file:
                if line.startswith(f"cpu{self.cpu} "):
                    user, nice, system, _, _, _, _, steal = map(int, line.split()[1:9])
                    return user + nice + system, steal
        return 0, 0

    def __enter__(self):
        self._start = time.monotonic(), our_cpu(), *self._ticks()
        return self

    def __exit__(self, *_):
        start, cpu, busy, steal = self._start
        busy_now, steal_now = self._ticks()
        tick = 1 / os.sysconf("SC_CLK_TCK")
        self.elapsed = time.monotonic() - start
        self.ours = our_cpu() - cpu
        others = max(0.0, (busy_now - busy) * tick - self.ours)
        lost = others + (steal_now - steal) * tick
        self.lost = lost / self.elapsed if lost > LOST_TICKS * tick else 0.0


class Sides(dict):
    """What interleave() returns: side -> metric -> list of values, a run each."""

    def median(self, side, metric):
        return statistics.median(self[side][metric])


def interleave(context, sides, rounds=None):
    """Runs SIDES (name -> a function that returns a dict of figures) A B C A B C ..., after a round that does not count.

    A run that lost more than LOST_LIMIT of the CPU to others is repeated. "all" is added to the figures: the CPU that
    our processes used together, servers too.
    """
    results = Sides({name: {} for name in sides})
    for name, function in sides.items():
        context.progress(f"warming up: {name}")
        function()
    for number in range(rounds or context.rounds):
        for name, function in sides.items():
            context.progress(f"round {number + 1}: {name}")
            for metric, value in undisturbed(context, function).items():
                results[name].setdefault(metric, []).append(value)
    context.progress("")
    return results


def undisturbed(context, function):
    best = None
    for repeat in range(REPEATS_MAX + 1):
        with Watch(context.cpu) as watch:
            figures = {**function()}
        figures["all"] = watch.ours
        context.runs += 1
        context.repeated += repeat > 0
        if not best or watch.lost < best[0]:
            best = watch.lost, figures
        if watch.lost <= LOST_LIMIT or (repeat and watch.elapsed > REPEAT_SECONDS):
            break
    context.disturbed += best[0] > LOST_LIMIT
    return best[1]


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
