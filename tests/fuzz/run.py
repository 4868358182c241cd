# SPDX-License-Identifier: MIT
"""run.py TARGET ARTIFACTS CORPUS...: runs a fuzz target for $SHARD_FUZZ_SECONDS (20, at least 2).

What it finds on its way goes to a temporary folder; an input that fails is kept in the folder ARTIFACTS."""

import base64
import os
import signal
import subprocess
import sys
import tempfile

GRACE = 120  # seconds to start and to end in, on a machine that has other work


def seconds():
    try:
        return max(2, int(os.environ.get("SHARD_FUZZ_SECONDS") or 20))
    except ValueError:
        sys.exit("SHARD_FUZZ_SECONDS is not a number of seconds")


def environment():
    """Undefined behaviour ends the target in a way that it notices, so that the input is kept."""
    more = {}
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
        more[name] = ":".join(filter(None, [os.environ.get(name), "halt_on_error=1:abort_on_error=1"]))
    return {**os.environ, **more}


def show(path):
    with open(path, "rb") as file:
        data = file.read()
    print(f"{path}: {len(data)} bytes, base64:\n{base64.b64encode(data[:3000]).decode()}")


def main(target, artifacts, *corpora):
    time = seconds()
    name = os.path.basename(target)
    os.makedirs(artifacts, exist_ok=True)
    prefix = os.path.join(artifacts, name + "-")
    for old in os.listdir(artifacts):
        if old.startswith(name + "-"):
            os.unlink(os.path.join(artifacts, old))
    with tempfile.TemporaryDirectory(prefix="shard-fuzz-") as found:
        folders = [found, *filter(os.path.isdir, corpora)]
        command = [os.path.abspath(target), f"-max_total_time={time}", "-timeout=10", "-max_len=4096", f"-artifact_prefix={prefix}"]
        try:
            run = subprocess.run(command + folders, cwd=found, env=environment(), timeout=time + GRACE,
                                 stdin=subprocess.DEVNULL)
            status = run.returncode
        except subprocess.TimeoutExpired:
            status = f"still running {GRACE} s after its time"
    for new in sorted(os.listdir(artifacts)):
        if new.startswith(name + "-"):
            show(os.path.join(artifacts, new))
    return 0 if status == 0 else f"{name}: failed: {status}"


signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # ends the target and tidies up
sys.exit(main(*sys.argv[1:]))
