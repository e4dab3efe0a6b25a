# SPDX-License-Identifier: Apache-2.0
"""Plots of the results, as SVG. Each says what is better, and shows the goal as a dashed line."""

import os

GOAL = {"color": "black", "linestyle": "--", "linewidth": 1}
PLAIN = {"linestyle": ":", "marker": "x", "markersize": 5}
COLORS = {"dump": "#1f5fa8", "restore": "#c2571a", "first": "#1f5fa8", "later": "#2a9d5c",
          "noise": "#888888"}


def draw_all(results, directory):
    """Returns the paths, or None if the library isn't installed."""
    try:
        import matplotlib
    except ImportError:
        return None
    matplotlib.use("svg")
    matplotlib.rcParams.update({"figure.constrained_layout.use": True, "axes.grid": True,
                                "grid.alpha": 0.3, "axes.axisbelow": True, "font.size": 9,
                                "axes.titlesize": 10, "svg.hashsalt": "torpor"})
    from matplotlib import pyplot

    paths = []
    for name, draw in (("size", draw_size), ("tasks", draw_tasks), ("pause", draw_pause),
                       ("incremental", draw_incremental), ("cow", draw_cow),
                       ("extra-memory", draw_extra), ("sparse", draw_sparse)):
        figure = draw(results, pyplot)
        if figure is not None:
            path = os.path.join(directory, name + ".svg")
            figure.savefig(path)
            pyplot.close(figure)
            paths.append(path)
    return paths


def series(rows, key, value):
    """([x], [y]) of those rows where both are known."""
    points = sorted((r.keys[key], value(r)) for r in rows
                    if key in r.keys and value(r) is not None)
    return [p[0] for p in points], [p[1] for p in points]


def median_of(name):
    return lambda row: getattr(row, name).median if getattr(row, name) else None


def mib_axis(axes, sizes):
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [f"{s} MiB" if s < 1024 else f"{s / 1024:g} GiB" for s in sizes])
    axes.minorticks_off()
    axes.set_xlabel("memory of the program")


def log_scale(axes):
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def ms_axis(axes):
    log_scale(axes)
    axes.set_ylabel("milliseconds (less is better)")


def range_bars(axes, rows, key, color):
    """From the least to the most."""
    for row in rows:
        axes.vlines(row.keys[key], min(row.wall), max(row.wall), color=color, linewidth=4, alpha=0.3)


def times(axes, pairs, key, ticks):
    """Wall time of commands, and of the plain kernel work beside each."""
    for command, rows in pairs:
        color = COLORS[command]
        axes.plot(*series(rows, key, median_of("wall")), marker="o", color=color, label=command)
        axes.plot(*series(rows, key, median_of("yard")), color=color, label=rows[0].yard_name,
                  **PLAIN)
        range_bars(axes, rows, key, color)
    ms_axis(axes)
    axes.legend()
    axes.set_title("time, and that of the plain kernel work")
    ticks(axes)


def speeds(axes, pairs, key, ticks):
    top = 1.0
    for command, rows in pairs:
        xs, ys = series(rows, key, lambda r: r.speed())
        top = max([top, *ys])
        axes.plot(xs, ys, marker="o", color=COLORS[command], label=f"{command} by {rows[0].yard_name}")
    for command, goal in (("dump", 0.9), ("restore", 0.8)):
        axes.axhline(goal, **{**GOAL, "color": COLORS[command]}, label=f"goal: {goal:g} ({command})")
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_ylim(0, top * 1.1)
    axes.set_ylabel("part of the plain work's speed (more is better)")
    axes.set_title("speed, as part of the plain kernel work's")
    axes.legend(loc="lower right")
    ticks(axes)


def draw_growth(pairs, pyplot, key, ticks, title):
    pairs = [(command, rows) for command, rows in pairs if rows]
    if not pairs:
        return None
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4.2))
    times(left, pairs, key, ticks)
    speeds(right, pairs, key, ticks)
    figure.suptitle(title)
    return figure


def draw_size(results, pyplot):
    pairs = [(command, [r for r in results.of("memory", command) if r.keys["pages"] == "4k"])
             for command in ("dump", "restore")]
    sizes = sorted({r.keys["mib"] for _, rows in pairs for r in rows})
    return draw_growth(pairs, pyplot, "mib", lambda axes: mib_axis(axes, sizes),
                       "One process, pages of 4 KiB: growth with its memory")


def draw_tasks(results, pyplot):
    pairs = [(command, results.of("tasks", command)) for command in ("dump", "restore")]
    numbers = sorted({r.keys["tasks"] for _, rows in pairs for r in rows})

    def ticks(axes):
        axes.set_xscale("log", base=2)
        axes.set_xticks(numbers, numbers)
        axes.minorticks_off()
        axes.set_xlabel("number of processes with 64 MiB each")

    return draw_growth(pairs, pyplot, "tasks", ticks, "Several processes: growth with their number")


def draw_pause(results, pyplot):
    first, later = (results.of("pre_dump", f"{which} pre-dump") for which in ("first", "later"))
    if not first or not later:
        return None
    sizes = [r.keys["mib"] for r in first]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 5))
    for which, rows, goal in (("first", first, 2), ("later", later, 1)):
        color = COLORS[which]
        left.plot(*series(rows, "mib", median_of("pause")), marker="o", color=color,
                  label=f"{which} pre-dump")
        for row in rows:
            left.plot([row.keys["mib"]] * len(row.pause), row.pause, marker=".", linestyle="",
                      color=color, alpha=0.5)
        left.plot(*series(rows, "mib", median_of("stop")), marker="s", markersize=4, linestyle="-.",
                  color=color, label=f"{which}: not counting the wait for a CPU")
        left.axhline(goal, **{**GOAL, "color": color}, label=f"goal: {goal} ms ({which})")
        right.plot(*series(rows, "mib", median_of("wall")), marker="o", color=color,
                   label=f"{which} pre-dump")
    left.plot(*series(first, "mib", median_of("noise")), color=COLORS["noise"],
              label="noise: while another process only reads", **PLAIN)
    right.plot(*series(first, "mib", median_of("yard")), color=COLORS["noise"],
               label="process_vm_readv of all of it", **PLAIN)
    log_scale(left)
    left.set_ylabel("largest gap between two ticks, ms (less is better)")
    left.set_title("the pause that the program feels (dots: each run)")
    ms_axis(right)
    right.set_title("time of the command")
    for axes in (left, right):
        mib_axis(axes, sizes)
        axes.legend(fontsize=7)
    figure.suptitle("Pre-dumps of a program that goes on writing")
    return figure


def draw_incremental(results, pyplot):
    dumps = results.of("incremental", "dump")
    sizes = sorted({r.keys["mib"] for r in dumps})
    if not sizes:
        return None
    figure, plots = pyplot.subplots(1, len(sizes), figsize=(5 * len(sizes), 4.2), squeeze=False)
    for axes, mib in zip(plots[0], sizes):
        full = next(r for r in results.of("incremental", "full dump") if r.keys["mib"] == mib)
        for command, color in (("dump", COLORS["dump"]), ("pre-dump", COLORS["later"])):
            rows = [r for r in results.of("incremental", command) if r.keys["mib"] == mib]
            axes.plot(*series(rows, "share", median_of("wall")), marker="o", color=color,
                      label=f"{command} on a parent")
        axes.axhline(full.wall.median, color="black", linewidth=1, label="full dump")
        axes.plot([0.01], [full.wall.median / 20], marker="v", color="black", linestyle="",
                  label="goal at 1%: a twentieth")
        axes.set_xscale("log")
        shares = sorted({r.keys["share"] for r in dumps})
        axes.set_xticks(shares, [f"{s * 100:g}%" for s in shares])
        axes.minorticks_off()
        axes.set_xlabel("pages written since the parent's")
        ms_axis(axes)
        axes.set_title(f"{mib} MiB")
        axes.legend()
    figure.suptitle("Incremental dumps: growth with what was written")
    return figure


def draw_cow(results, pyplot):
    rows = {r.more["kind"]: r for r in results.of("cow", "dump") if "kind" in r.more}
    if "shared" not in rows:
        return None
    row = rows["shared"]
    bars = [("all that the\nprocesses see", row.more["of_all_mib"], "#bbbbbb")]
    if "plain" in rows:
        bars.append(("plain images", rows["plain"].image, COLORS["restore"]))
    bars += [("images", row.image, COLORS["dump"]),
             ("different pages\nof the tree", row.more["unique_mib"], COLORS["later"])]
    figure, axes = pyplot.subplots(figsize=(6.5, 4.2))
    drawn = axes.bar([b[0] for b in bars], [b[1] for b in bars], color=[b[2] for b in bars])
    axes.bar_label(drawn, fmt="%.0f")
    axes.axhline(row.more["unique_mib"] * 1.02, **GOAL, label="goal: different pages + 2%")
    axes.set_ylabel("MiB (less is better)")
    axes.set_title(f"A forked tree ({row.case.rpartition(',')[0]}): size of its images")
    axes.legend()
    return figure


def draw_extra(results, pyplot):
    rows = [r for r in results.rows if r.extra is not None]
    if not rows:
        return None
    figure, axes = pyplot.subplots(figsize=(8, 1.2 + 0.22 * len(rows)))
    left = [0] * len(rows)
    for kind, label in (("anon", "anonymous"), ("pipes", "pipes"), ("tables", "page tables"),
                        ("stacks", "kernel stacks"), ("target_tables", "the program's page tables")):
        values = [r.more["memory"][kind] for r in rows]
        axes.barh(range(len(rows)), values, left=left, label=label)
        left = [a + b for a, b in zip(left, values)]
    axes.set_yticks(range(len(rows)), [f"{r.case}: {r.command}" for r in rows])
    axes.invert_yaxis()
    axes.axvline(16, **GOAL, label="goal: 16 MiB")
    axes.set_xlabel("MiB (less is better)")
    axes.set_title("Memory beside the images: peak of each kind")
    axes.legend(loc="lower right")
    return figure


def draw_sparse(results, pyplot):
    rows = [r for r in results.rows if r.bench == "sparse"]
    if not rows:
        return None
    figure, axes = pyplot.subplots(figsize=(6.5, 4.2))
    for command, color in (("pre-dump", COLORS["later"]), ("dump", COLORS["dump"]),
                           ("restore", COLORS["restore"])):
        axes.plot(*series(results.of("sparse", command), "gib", median_of("wall")), marker="o",
                  color=color, label=command)
    sizes = sorted({r.keys["gib"] for r in rows})
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [f"{s} GiB" for s in sizes])
    axes.minorticks_off()
    axes.set_xlabel("size of the reservation that 16 MiB are spread over")
    axes.set_ylim(0)
    axes.set_ylabel("milliseconds (less is better)")
    axes.set_title("Large reservations with little in them (better: flat)")
    axes.legend()
    return figure
