# SPDX-License-Identifier: MIT
"""Rows of the table: what was measured, the peer in the same run, the goal and whether it is reached."""

import dataclasses
import json

UNITS = {  # unit -> (factor from the base, digits)
    "us": (1e6, 3),
    "ms": (1e3, 2),
    "ns": (1e9, 1),
    "s": (1, 3),
    "MB": (1, 1),
    "instr": (1, 0),
}


@dataclasses.dataclass
class Row:
    """OURS and THEIRS in seconds or instructions; UNIT is how they are shown.

    kind: "absolute" (ours <= limit, in UNIT), "ratio" (ours / theirs <= limit), "speed-up" (theirs / ours >= limit) or
    "" (no goal, for information).
    """

    what: str
    unit: str
    ours: float
    peer: str
    theirs: float
    kind: str = ""
    limit: float = 0.0

    @property
    def ratio(self):
        return self.ours / self.theirs

    @property
    def reached(self):
        if self.kind == "absolute":
            return self.ours * UNITS[self.unit][0] <= self.limit
        if self.kind == "ratio":
            return self.ratio <= self.limit
        if self.kind == "speed-up":
            return 1 / self.ratio >= self.limit
        return None

    @property
    def goal(self):
        return {
            "absolute": f"<= {self.limit:g} {self.unit}",
            "ratio": f"<= {self.limit:g}x",
            "speed-up": f">= {self.limit:g}x as quick",
            "": "",
        }[self.kind]

    def shown(self, value):
        factor, digits = UNITS[self.unit]
        return f"{value * factor:.{digits}f} {self.unit}"

    def shown_ratio(self):
        if self.kind == "speed-up":
            return f"{1 / self.ratio:.1f}x as quick"
        return f"{self.ratio:.3f}x"

    def cells(self):
        verdict = {True: "reached", False: "MISSED", None: ""}[self.reached]
        return [
            self.what,
            self.shown(self.ours),
            self.peer,
            self.shown(self.theirs),
            self.shown_ratio(),
            self.goal,
            verdict,
        ]

    def as_json(self):
        return {**dataclasses.asdict(self), "ratio": self.ratio, "goal": self.goal, "reached": self.reached}


HEAD = ["what", "libshard", "peer", "peer's", "ratio", "goal", "verdict"]


def print_table(rows):
    table = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(HEAD))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def print_json(rows, facts):
    print(json.dumps({**facts, "rows": [row.as_json() for row in rows]}, indent=2))
