"""The figures of the benchmark from its JSON: `python figure.py [results.json] [--out FOLDER]` draws speed.png and scaling.png."""

from __future__ import annotations

import argparse
import json
import math
import pathlib
from typing import Any

import matplotlib as mpl


mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import NullFormatter, NullLocator, StrMethodFormatter
from table import TITLES, title


HERE = pathlib.Path(__file__).parent
OURS, PEERS = "#0b6fa4", "#8a8a8a"
WAYS = {"median": ("o", "warm"), "cached": ("D", "whole process, cached programs"), "process": ("s", "whole process, cold")}
SUFFIXES = {", no cache": "process", ", cached": "cached", ", process": "process"}


def lines(records: list[dict[str, Any]]) -> dict[str, dict[str, float | str]]:
    """What was run -> its seconds, warm and as whole processes, or why there are none."""
    out: dict[str, dict[str, float | str]] = {}
    for record in records:
        who, way = record["who"], "median"
        for suffix, kind in SUFFIXES.items():
            if who.endswith(suffix):
                who, way = who.removesuffix(suffix), kind
        place = out.setdefault(who, {})
        if record["status"] != "done":
            place["status"] = record["status"]
        else:
            place[way] = record["median" if way == "median" else "process"]
    return out


def draw_row(ax: Any, row: str, result: dict[str, Any]) -> None:
    found = lines(result["records"])
    for height, (who, place) in enumerate(found.items()):
        colour = OURS if who.startswith("jaxem") else PEERS
        for way, (marker, _) in WAYS.items():
            if way in place:
                face = colour if way == "median" else "white"
                ax.plot(place[way], height, marker, color=colour, markerfacecolor=face, markersize=6, clip_on=False)
        if "status" in place:
            text = str(place["status"])
            text = text if len(text) < 40 else text[:38] + "…"
            ax.text(
                0.02, height, text, transform=ax.get_yaxis_transform(), va="center", fontsize=7, color=PEERS, style="italic"
            )
    ax.set_yticks(range(len(found)), list(found), fontsize=8)
    ax.set_ylim(len(found) - 0.5, -0.5)
    taken = [float(value) for place in found.values() for way, value in place.items() if way != "status"]
    ax.set_xscale("log")
    ax.set_xlim(10 ** math.floor(math.log10(min(taken))), 10 ** math.ceil(math.log10(max(taken))))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_title(f"{row}. {title(row, result)}", fontsize=9, loc="left")
    ax.grid(axis="x", which="major", color="#dddddd", linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)


def speed(rows: dict[str, Any]) -> Any:
    """Seconds of everything, one panel a row of the benchmark."""
    shown = [row for row in TITLES if row in rows]
    fig, axes = plt.subplots(
        -(-len(shown) // 2), 2, figsize=(11, 2.2 * -(-len(shown) // 2) + 0.7), squeeze=False, layout="constrained"
    )
    for ax, row in zip(axes.flat, shown, strict=False):
        draw_row(ax, row, rows[row])
    for ax in axes.flat[len(shown) :]:
        ax.set_axis_off()
    for ax in axes[-1]:
        ax.set_xlabel("seconds")
    marks = [
        plt.Line2D(
            [], [], marker=marker, color="k", markerfacecolor="k" if way == "median" else "white", linestyle="", label=label
        )
        for way, (marker, label) in WAYS.items()
    ]
    fig.legend(handles=marks, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return fig


def scaling(result: dict[str, Any]) -> Any:
    """Seconds against rows, components and restarts; the dotted line is proportional growth."""
    points, at = result["records"][0]["points"], result["at"]
    fig, axes = plt.subplots(1, 3, figsize=(11, 3.2), sharey=True, layout="constrained")
    for ax, along in zip(axes, at, strict=True):
        mine = [point for point in points if point["along"] == along]
        sizes, seconds = [point[along] for point in mine], [point["median"] for point in mine]
        ax.loglog(
            sizes, [seconds[-1] * size / sizes[-1] for size in sizes], ":", color=PEERS, linewidth=1, label="proportional"
        )
        ax.loglog(sizes, seconds, "o-", color=OURS, markersize=5, label="select, without moves")
        ax.set_xticks(sizes, [f"{size:,}" for size in sizes], fontsize=7)
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xlabel(along)
        fixed = ", ".join(f"{value:,} {name}" for name, value in at.items() if name != along)
        ax.set_title(f"{fixed}, 8 columns", fontsize=9, loc="left")
        ax.grid(color="#dddddd", linewidth=0.6)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("seconds")
    axes[0].legend(fontsize=8, frameon=False)
    return fig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="?", type=pathlib.Path, default=HERE / "results.json")
    parser.add_argument("--out", type=pathlib.Path, default=HERE)
    given = parser.parse_args()
    rows = json.loads(given.results.read_text())["rows"]
    if rows.keys() & TITLES.keys():
        speed(rows).savefig(given.out / "speed.png", dpi=150)
    if rows.get("7", {}).get("records", [{}])[0].get("points"):
        scaling(rows["7"]).savefig(given.out / "scaling.png", dpi=150)


if __name__ == "__main__":
    main()
