# SPDX-License-Identifier: MIT
"""calls.py: every call that a file system answers, once each, in the mount that is the current directory.

Opens some of the files, prints `ready`, and waits for a line. Then it does all of CALLS, and prints a JSON object:
{call: [errno's name or "ok", seconds]}. A call whose name begins with `open_` uses a file that was opened before.
"""

import errno
import json
import os
import sys
import threading
import time

# All keys of one slot; `other` is one of another slot.
VALUE = b"0123456789"


def key(name):
    return "{t}" + name


def with_file(name, flags, *steps):
    f = os.open(key(name), flags)
    try:
        for step in steps:
            step(f)
    finally:
        os.close(f)


def write(data):
    return lambda f: os.write(f, data)


PATHS = {
    "stat": lambda: os.stat(key("stat")),
    "ls": lambda: os.listdir("."),
    "statfs": lambda: os.statvfs("."),
    "read": lambda: with_file("read", os.O_RDONLY, lambda f: os.read(f, 100)),
    "overwrite": lambda: with_file("overwrite", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, write(b"new")),
    "empty": lambda: with_file("empty", os.O_WRONLY | os.O_TRUNC, os.fsync),
    "create": lambda: with_file("create", os.O_WRONLY | os.O_CREAT | os.O_EXCL),
    "append": lambda: with_file("append", os.O_WRONLY | os.O_CREAT | os.O_APPEND, write(b"more")),
    "in_place": lambda: with_file("in_place", os.O_RDWR, lambda f: os.pwrite(f, b"AB", 5)),
    "shorten": lambda: os.truncate(key("shorten"), 3),
    "lengthen": lambda: os.truncate(key("lengthen"), 30),
    "truncate": lambda: os.truncate(key("truncate"), 0),
    "unlink": lambda: os.unlink(key("unlink")),
    "rename": lambda: os.rename(key("rename"), key("renamed")),
    "move": lambda: os.rename(key("move"), "other"),
    "getxattr": lambda: os.getxattr(key("getxattr"), "user.redis.ttl"),
    "setxattr": lambda: os.setxattr(key("setxattr"), "user.redis.ttl", b"1000"),
}


def close_after(f, step):
    step(f)
    os.close(f)


OPEN = {
    "open_read": (os.O_RDONLY, lambda f: os.read(f, 100)),
    "open_stat": (os.O_RDONLY, os.fstat),
    "open_write": (os.O_WRONLY | os.O_TRUNC, write(b"new")),
    "open_close": (os.O_WRONLY | os.O_TRUNC, lambda f: close_after(f, write(b"x" * 4096))),
    "open_fsync": (os.O_WRONLY | os.O_TRUNC, lambda f: (os.write(f, b"x" * 4096), os.fsync(f))),
    "open_append": (os.O_WRONLY | os.O_APPEND, write(b"more")),
    "open_in_place": (os.O_WRONLY, lambda f: os.pwrite(f, b"AB", 5)),
    "open_shorten": (os.O_WRONLY, lambda f: os.ftruncate(f, 3)),
    "open_truncate": (os.O_WRONLY, lambda f: (os.ftruncate(f, 0), os.fsync(f))),
}
CALLS = [*PATHS, *OPEN]


def keys():
    """{key: value} that have to be there before."""
    values = {key(name): VALUE for name in CALLS if name != "create"}
    values[key("open_read")] = VALUE * 10000  # more than open() brings along
    return values


def attempt(results, name, call):
    start = time.monotonic()
    try:
        call()
        result = "ok"
    except OSError as error:
        result = errno.errorcode[error.errno]
    results[name] = [result, time.monotonic() - start]


def main():
    files = {name: os.open(key(name), flags) for name, (flags, _) in OPEN.items()}
    time.sleep(0.1)  # what was seen is not fresh any more
    print("ready", flush=True)
    sys.stdin.readline()
    results = {}
    threads = [
        threading.Thread(target=attempt, args=(results, name, lambda f=files[name], step=step: step(f)))
        for name, (_, step) in OPEN.items()
    ]
    for thread in threads:
        thread.start()
    # One after the other: the kernel locks the directory, so they would wait for each other.
    for name, call in PATHS.items():
        attempt(results, name, call)
    for thread in threads:
        thread.join()
    print(json.dumps(results), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
