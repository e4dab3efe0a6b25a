# SPDX-License-Identifier: Apache-2.0
"""What was measured, the goals it is held against, and both as text and as JSON."""

import json
import statistics


class Series(list):
    """Values of one thing, measured several times; the median stands for them."""

    @property
    def median(self):
        return statistics.median(self)

    def summary(self):
        return {"median": self.median, "min": min(self), "max": max(self), "runs": len(self), "values": list(self)}


class Row:
    """One command in one case. Times in ms, memory in MiB; what wasn't measured is None."""

    SERIES = ("wall", "pause", "stop", "noise", "yard")

    def __init__(self, bench, case, command, **keys):
        self.bench, self.case, self.command, self.keys = bench, case, command, keys
        self.wall, self.pause, self.stop, self.noise = Series(), Series(), Series(), Series()
        self.yard_name, self.yard = None, Series()
        self.extra = self.image = None
        self.more = {}  # further numbers, for the JSON

    def speed(self):
        """1: as fast as the yardstick; 0.5: takes twice as long."""
        return self.yard.median / self.wall.median if self.yard and self.wall else None

    def as_dict(self):
        d = {"bench": self.bench, "case": self.case, "command": self.command, "keys": self.keys}
        for name in self.SERIES:
            if getattr(self, name):
                d[name] = getattr(self, name).summary()
        d.update({"yardstick": self.yard_name, "speed": self.speed(), "extra_mib": self.extra,
                  "image_mib": self.image, "more": self.more})
        return {k: v for k, v in d.items() if v is not None}

    @classmethod
    def from_dict(cls, d):
        row = cls(d["bench"], d["case"], d["command"], **d["keys"])
        for name in cls.SERIES:
            getattr(row, name).extend(d.get(name, {}).get("values", ()))
        row.yard_name, row.extra, row.image = (d.get(k) for k in ("yardstick", "extra_mib",
                                                                  "image_mib"))
        row.more = d["more"]
        return row


class Goal:
    def __init__(self, text, value, limit, unit, at_least):
        self.text, self.value, self.limit, self.unit, self.at_least = (text, value, limit, unit,
                                                                       at_least)

    def met(self):
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def as_dict(self):
        return {"goal": self.text, "value": self.value, "limit": self.limit, "unit": self.unit,
                "at_least": self.at_least, "met": self.met()}


def number(value, digits=2):
    if value is None:
        return "-"
    return f"{value:.{digits if abs(value) < 1000 else 0}f}"


class Results:
    def __init__(self):
        self.rows, self.goals, self.notes = [], [], []

    def row(self, *args, **keys):
        row = Row(*args, **keys)
        self.rows.append(row)
        return row

    def drop_empty(self):
        """Of a benchmark that failed half-way."""
        self.rows = [r for r in self.rows if r.wall or r.pause or r.image is not None]

    def goal(self, text, value, limit, unit="", at_least=False):
        if value is not None:
            self.goals.append(Goal(text, value, limit, unit, at_least))

    def note(self, text):
        print(f"  ({text})")
        self.notes.append(text)

    def of(self, bench, command):
        return [r for r in self.rows if r.bench == bench and r.command == command]

    # ---- text

    COLUMNS = ("", "", "wall ms", "min", "max", "yardstick", "ms", "speed", "pause ms", "max",
               "stop", "noise", "extra MiB", "image MiB")

    def cells(self, row):
        def stat(series, what):
            return number(series.summary()[what]) if series else "-"

        return (row.case, row.command, stat(row.wall, "median"), stat(row.wall, "min"),
                stat(row.wall, "max"), row.yard_name or "-", stat(row.yard, "median"),
                number(row.speed()), stat(row.pause, "median"), stat(row.pause, "max"),
                stat(row.stop, "median"), stat(row.noise, "median"), number(row.extra), number(row.image))

    def print(self):
        by_bench = {}
        for row in self.rows:
            by_bench.setdefault(row.bench, []).append(self.cells(row))
        everything = [c for cells in by_bench.values() for c in cells] + [self.COLUMNS]
        widths = [max(len(c[i]) for c in everything) for i in range(len(self.COLUMNS))]

        def line(cells):
            left = (0, 1, 5)
            print("  ".join(c.ljust(w) if i in left else c.rjust(w)
                            for i, (c, w) in enumerate(zip(cells, widths))).rstrip())

        for bench, rows in by_bench.items():
            print(f"\n== {bench}")
            line(self.COLUMNS)
            for cells in rows:
                line(cells)
        print("\nmedians, and the least and the most of several runs. speed: the yardstick's time by the"
              "\ncommand's. pause: the largest gap that a thread of the program felt; stop: the same"
              "\nwith real-time priority (no wait for a CPU in it); noise: the same without torpor, while"
              "\nanother process only reads its memory. extra: peak of torpor's anonymous memory, pipes, page tables and kernel"
              "\nstacks.")
        self.print_goals()

    def print_goals(self):
        if self.goals:
            print("\n== goals")
        for g in self.goals:
            verdict = "ok" if g.met() else "MISSED"
            sign = ">=" if g.at_least else "<="
            print(f"{verdict:7} {g.text:58} {number(g.value, 3):>9} {sign} {g.limit:g} {g.unit}")
        if self.goals:
            met = sum(g.met() for g in self.goals)
            print(f"{met} of {len(self.goals)} goals met")

    # ---- JSON

    def read_json(self, path):
        with open(path) as f:
            read = json.load(f)
        self.rows = [Row.from_dict(d) for d in read["rows"]]
        self.goals = [Goal(g["goal"], g["value"], g["limit"], g["unit"], g["at_least"])
                      for g in read["goals"]]

    def write_json(self, path, about):
        with open(path, "w") as f:
            json.dump({**about, "rows": [r.as_dict() for r in self.rows],
                       "goals": [g.as_dict() for g in self.goals], "notes": self.notes},
                      f, indent=1)
            f.write("\n")
