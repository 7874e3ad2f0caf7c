"""The benchmark's JSON as a Markdown table: `python table.py [results.json]`."""

from __future__ import annotations

import argparse
import json
import pathlib
from typing import Any


TITLES = {
    "1": "K = 1..{most}, {restarts} restarts each, full covariances, {n:,} × {d}",
    "2": "the same, {n:,} × {d}",
    "3": "{families} structures × K = 1..{most}, {restarts} restarts (mclust: 1), {n:,} × {d}",
    "4": "the same, {n:,} × {d}",
    "5": "one fit, {n:,} × {d}, K = {most}, full, {steps} steps",
    "6": "one fit, {n:,} × {d}, K = {most}, diagonal, {steps} steps",
}
HEADER = (
    "| work | package | first call, s | warm, s | whole process, s | jaxem is faster by | log-likelihood against jaxem's |",
    "|---|---|---|---|---|---|---|",
)


def title(row: str, result: dict[str, Any]) -> str:
    """What the work of a row is."""
    (n, d), most = result["shape"], result["components"]
    most = most[-1] if isinstance(most, list) else most
    given = {"restarts": result.get("restarts"), "steps": result.get("steps"), "families": len(result["families"])}
    return TITLES[row].format(n=n, d=d, most=most, **given)


def seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def nats(gain: float) -> str:
    return "equal" if abs(gain) < 0.5 else f"{abs(gain):,.0f} nats {'lower' if gain > 0 else 'higher'}"


def process_of(records: dict[str, Any], who: str) -> str:
    """Seconds of whole processes: cold and, for ours, with cached programs."""
    cold, cached = (records.get(f"{who}, {way}", {}).get("process") for way in ("no cache", "cached"))
    alone = records.get(f"{who}, process", {}).get("process")
    return f"{seconds(cold)} ({seconds(cached)} cached)" if cold and cached else seconds(alone)


def likelihood(ours: dict[str, Any], record: dict[str, Any], facts: dict[str, Any] | None) -> str:
    if "log_likelihood" in record and "log_likelihood" in ours:
        return nats(ours["log_likelihood"] - record["log_likelihood"])
    if facts is None:
        return ""
    return f"{facts['better by 0.5']} of {facts['cells']} cells lower, {len(facts['worse by 0.5'])} higher by 0.5 nats or more"


def row_lines(row: str, result: dict[str, Any]) -> list[str]:
    records = {record["who"]: record for record in result["records"]}
    ours, out = result["records"][0], []
    for who, record in records.items():
        if who.endswith((", no cache", ", cached", ", process")):
            continue
        cells = [title(row, result) if not out else "", who, seconds(record.get("first")), seconds(record.get("median"))]
        if record["status"] != "done":
            out.append([*cells[:3], record["status"], "", "", ""])
            continue
        peer = not who.startswith("jaxem")
        ratio = f"{record['median'] / ours['median']:.1f}" if peer and "median" in ours else ""
        facts = next((f for f in result["compared"].values() if f.get("peer") == who), None)
        out.append([*cells, process_of(records, who), ratio, likelihood(ours, record, facts) if peer else ""])
    return ["| " + " | ".join(cells) + " |" for cells in out]


def notes(rows: dict[str, Any]) -> list[str]:
    """What does not fit the table."""
    out = []
    for who, share in rows.get("5", {}).get("share of the matrix-product rate", {}).items():
        if share:
            out.append(f"Share of the matrix-product rate in the fit with K = 64, {who}: {share:.0%}.")
    shares = {
        f"{row}, {record['who']}": record["useful share of lane steps"]
        for row in sorted(rows)
        for record in rows[row]["records"]
        if "useful share of lane steps" in record
    }
    if shares:
        said = "; ".join(f"row {who} {share:.0%}" for who, share in shares.items())
        out.append(f"Of all steps × rows × components computed, padding of every kind included, so much was needed: {said}.")
    for record in rows.get("7", {}).get("records", []):
        if "memory" in record:
            held = record["memory"]
            beyond = f"{held['peak'] - held['data']:.0f} MB beyond the data, of which {held['before data']:.0f} MB before they are read"
            out.append(
                f"{record['who']}, {rows['7']['many rows'][0]:,} × 8 ({held['data']:.0f} MB): {record['first']:.0f} s, {beyond}."
            )
    about = next(iter(rows.values()))["provenance"]
    rate = about["matrix-product rate"]
    out.append(
        f"{about['processor']}, {about['cores']} cores; matrix products {rate['float64'] / 1e9:.0f} and {rate['float32'] / 1e9:.0f} "
        "billion operations a second in double and single width."
    )
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).with_name("results.json"))
    rows = json.loads(parser.parse_args().results.read_text())["rows"]
    print(*HEADER, sep="\n")
    for row in sorted(rows.keys() & TITLES.keys()):
        print(*row_lines(row, rows[row]), sep="\n")
    print("", *notes(rows), sep="\n")


if __name__ == "__main__":
    main()
