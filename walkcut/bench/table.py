"""Results as tables, in Markdown and LaTeX, alone and beside what others have published."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

from walkcut.bench.config import RunConfig
from walkcut.bench.ours import OURS
from walkcut.bench.scores import COLUMNS, SIGNS, TITLES

PUBLISHED = Path(__file__).with_name("published.json")
SPLITS = {"bsds500-train": "bsds500-test", "bsds500-val": "bsds500-test"}  # whose published numbers stand nearest
LATEX = str.maketrans({"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "±": r"$\pm$", "−": "$-$", "α": r"$\alpha$"})
NOT_RUN = "not run yet"


class Table(NamedTuple):
    """Cells as text; the first row of `rows` follows the head."""

    head: list[str]
    rows: list[list[str]]

    def markdown(self) -> str:
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"

    def latex(self) -> str:
        def line(cells: Sequence[str]) -> str:
            return " & ".join(_tex(cell) for cell in cells) + r" \\"

        body = [line(self.head), r"\midrule", *map(line, self.rows)]
        begin = rf"\begin{{tabular}}{{l{'r' * (len(self.head) - 1)}}}"
        return "\n".join([begin, r"\toprule", *body, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _tex(cell: str) -> str:
    parts = cell.replace("↑", r"$\uparrow$").replace("↓", r"$\downarrow$").split("`")
    odd = [rf"\texttt{{{part.translate(LATEX)}}}" if i % 2 else part.translate(LATEX) for i, part in enumerate(parts)]
    return "".join(odd)


def columns(summary: dict) -> list[tuple[str, str, str]]:
    """(truth, measure, heading) of the columns that a summary has numbers for."""
    there = {(row["truth"], row["measure"]) for row in summary["table"]}
    kinds = list(dict.fromkeys(row["truth"] for row in summary["table"]))
    found = []
    for kind in kinds:
        for measure in COLUMNS[kind]:
            if (kind, measure) in there:
                title = TITLES[measure] + (f" ({kind})" if len(kinds) > 1 else "")
                found.append((kind, measure, f"{title} {'↓' if SIGNS[measure] < 0 else '↑'}"))
    return found


def cell(row: dict) -> str:
    """ODS / OIS; one number where nothing was chosen, or where there is no best per picture."""
    if len(row["curve"]) == 1 or "ois" not in row:
        return f"{row['ods']:.3f}"
    return f"{row['ods']:.3f} / {row['ois']:.3f}"


def main_table(summary: dict) -> Table:
    """Every line of a summary."""
    shown = columns(summary)
    cells = {(row["method"], row["truth"], row["measure"]): row for row in summary["table"]}
    methods = list(dict.fromkeys(row["method"] for row in summary["table"]))
    rows = [[mark(summary, m), *(cell(cells[m, kind, measure]) for kind, measure, _ in shown)] for m in methods]
    return Table(["method", *(title for *_, title in shown)], rows)


def mark(summary: dict, label: str) -> str:
    """A line's label, with a dagger where the method was trained on pictures of the kind that it is tested on."""
    names = [name for name in summary["methods"] if label == name or label.startswith(f"{name}, ")]
    trained = any(summary["methods"][name].get("trained_on") for name in names)
    return f"{label} †" if trained else label


def difference_table(summary: dict, own: str) -> Table:
    """Paired differences in covering (mIoU for classes) of one of our methods from others, with 95% intervals.

    The column "at" says which of ours: the default criterion, or our best constant threshold.
    """
    first = {(kind, name): title for kind, name, title in columns(summary) if name == COLUMNS[kind][0]}
    ends = [(key, choice) for key in first for choice in ("ods", "ois")]
    head = ["minus", "at", *(f"{first[key]}, {'data set' if choice == 'ods' else 'picture'}" for key, choice in ends)]
    found: dict[tuple[str, str], dict] = {}
    alone = summary["methods"].get(own, {}).get("alone", [])
    for row in summary["differences"]:
        if row["method"] in (own, *(f"{own}, {name}" for name in alone)) and not row["baseline"].startswith(OURS):
            pair = found.setdefault((row["baseline"], row["method"]), {})
            pair[(row["truth"], row["measure"]), row["choice"]] = row
    rows = [
        [baseline, method.removeprefix(own).removeprefix(", ") or "best constant"]
        + [gap(cells[end]) if end in cells else "" for end in ends]
        for (baseline, method), cells in found.items()
    ]
    return Table(head, rows)


def gap(row: dict) -> str:
    """A difference and its interval."""
    return f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"


def criteria_table(summary: dict, own: str) -> Table:
    """Each criterion's difference in covering from the best constant threshold."""
    rows = [r for r in summary["differences"] if r["baseline"] == own and r["measure"] == "covering"]
    kinds = list(dict.fromkeys(row["truth"] for row in rows))
    head = ["criterion", *(f"{kind}, {what}" for kind in kinds for what in ("data set", "picture"))]
    lines: dict[str, list[str]] = {}
    for row in rows:
        lines.setdefault(row["method"], [row["method"]]).append(gap(row))
    return Table(head, list(lines.values()))


def changes(summary: dict) -> Table:
    """Of an ablation or a ladder: each change, and its difference from the first method, in the first measure.

    For each kind of truth: the value at the automatic setting (or the only one), and the difference with its interval;
    then the same at the best constant threshold, where there are several.
    """
    usual = next(iter(summary["methods"]))
    kinds = list(dict.fromkeys((row["truth"], COLUMNS[row["truth"]][0]) for row in summary["table"]))
    cells = {(row["method"], row["truth"], row["measure"]): row for row in summary["table"]}
    gaps = {(r["method"], r["truth"], r["measure"]): r for r in summary["differences"] if r["choice"] == "ods"}
    alone = summary["methods"][usual]["alone"]
    endings = [*(f", {name}" for name in alone), ""]
    titles = {"": "best constant" if alone else "value"} | {f", {name}": name for name in alone}
    head = [
        "change",
        *(f"{kind}, {titles[end]}{what}" for kind, _ in kinds for end in endings for what in ("", ": difference")),
    ]
    rows = []
    for name in summary["methods"]:
        row = [name]
        for kind, measure in kinds:
            for end in endings:
                key = (name + end, kind, measure)
                row += [f"{cells[key]['ods']:.3f}", gap(gaps[key]) if key in gaps else ""]
        rows.append(row)
    return Table(head, rows)


def written(summary: dict, form: str = "markdown") -> str:
    """The tables of a summary in "markdown" or "latex": every line, then differences from ours, then criteria."""
    title = f"**{summary['title']}**, {summary['pictures']} pictures"
    text = [f"{title}; best setting for the data set / per picture.", "", getattr(main_table(summary), form)()]
    for own in (OURS, f"{OURS}, parts"):
        table = difference_table(summary, own)
        if table.rows:
            text += [
                f"{own}, minus others, with 95% paired bootstrap intervals over pictures:",
                "",
                getattr(table, form)(),
            ]
    for own in (OURS, f"{OURS}, parts"):
        table = criteria_table(summary, own)
        if table.rows:
            text += [f"Covering minus that of the best constant threshold ({own}):", "", getattr(table, form)()]
    if any(" †" in row[0] for row in main_table(summary).rows):
        text += ["† The denoiser was trained on pictures of this kind, not on these.", ""]
    whole = "\n".join(text)
    return whole.replace("**", "") if form == "latex" else whole


# ---------------------------------------------------------------------------------------------------------------------
# Beside published numbers


@cache
def published() -> dict:
    """Published rows, each with its source, and with the line of ours that would repeat it."""
    return json.loads(PUBLISHED.read_text())


def beside_published(name: str, summaries: Sequence[dict]) -> Table:
    """Published rows of a data set, with our own line where it was run, and the command where it was not.

    `summaries` are results on this data set, one per model.
    """
    where = SPLITS.get(name, name)
    measures = ("covering", "pri", "vi", "boundary") if where.startswith("bsds") else ("miou", "accuracy")
    rows = []
    for row in published()["rows"]:
        if where in row["values"]:
            told = row["values"][where]
            ours = _repeated(row, name, summaries)
            label = row["method"] + (" (one matching for the data set)" if row.get("matching") else "")
            cells = [_beside(told, ours, measure) for measure in measures]
            rows.append([label, *cells, _status(row, name, ours), row["source"]])
    return Table(["published", *(TITLES[measure] for measure in measures), "ours", "source"], rows)


def _repeated(row: dict, name: str, summaries: Sequence[dict]) -> dict[str, dict] | None:
    """Our rows by measure, of the line that repeats a published one; None if it was not run."""
    wanted = row.get("run", {})
    for summary in summaries if wanted else ():
        models = {config.get("model", {}).get("name", "") for config in summary["methods"].values()}
        alike = not wanted.get("protocol") or f"--protocol {wanted['protocol']}" in summary["command"]
        if alike and (not wanted["model"] or wanted["model"] in models):
            line = repeating(row, name)
            found = {r["measure"]: r for r in summary["table"] if r["method"] == line}
            if found:
                return found
    return None


def repeating(row: dict, name: str) -> str:
    """The line of ours that repeats a published row on a data set: a paper may take another setting for one."""
    return row["run"].get("lines", {}).get(name, row["run"]["line"])


def _beside(told: dict | str, ours: dict[str, dict] | None, measure: str) -> str:
    """A cell: published, then ours with its interval and whether the published value lies inside."""
    values = None if isinstance(told, str) else told.get(measure)
    pairs = not isinstance(told, str) and any(isinstance(value, list) for value in told.values())
    scale, digits = (1, 2) if pairs else (100, 1)  # shares, best for the data set / per picture; or percent
    text = told if isinstance(told, str) else ""
    if values is not None:
        text = " / ".join(f"{value:.2f}" for value in values) if pairs else f"{values:g}"
    if ours is None or measure not in ours:
        return text
    row = ours[measure]
    low, high = (scale * x for x in row["interval"]["ods"])
    one = values[0] if pairs and values else values
    inside = "" if one is None else ("; inside" if low <= one <= high else "; outside")
    return f"{text} (ours {scale * row['ods']:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]{inside})".strip()


def _status(row: dict, name: str, ours: dict | None) -> str:
    if ours is not None:
        return repeating(row, name)
    if "run" not in row:
        return ""
    return f"{NOT_RUN}: `{command(name, row['run'])}`"


def command(name: str, wanted: dict) -> str:
    """The command that fills a cell."""
    data = None if name.startswith("scenes") else Path("DIR")
    config = RunConfig(dataset=name, data=data, protocol=wanted.get("protocol"), methods=(wanted["methods"],))
    return replace(config, model=wanted["model"] or config.model).command


def sources() -> str:
    """The key to the last column, one line each."""
    return "\n".join(f"- {key}: {text}." for key, text in published()["sources"].items())
