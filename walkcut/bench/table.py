"""Results as tables, in Markdown and LaTeX, alone and beside what others have published."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

from walkcut.bench.config import RunConfig
from walkcut.bench.ours import OURS
from walkcut.bench.scores import CHOICES, CLASSES, COLUMNS, SIGNS, TITLES

PUBLISHED = Path(__file__).with_name("published.json")
SPLITS = {"bsds500-train": "bsds500-test", "bsds500-val": "bsds500-test"}  # whose published numbers stand nearest
LATEX = str.maketrans({"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "±": r"$\pm$", "−": "$-$", "α": r"$\alpha$"})
NOT_RUN = "not run yet"
# How the clusters of a published row got their classes: kinds that must not stand in one ranking
KINDS = {
    "picture": "one matching for each picture",
    "data set": "one matching for the data set",
    "text": "classes by text, no matching",
    "rows": "not comparable: perhaps one matching for each row of pixels",
}


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


def pivot(corner: Sequence[str], rows: Iterable[tuple[Sequence[str], str, str]], columns: Iterable[str] = ()) -> Table:
    """A table from (beginning of a line, column, cell), all in the order in which they first come.

    Parameters
    ----------
    corner : sequence of str
        Heads of what begins a line.
    rows : iterable of tuples
    columns : iterable of str
        That come first, whether they have cells or not.
    """
    lines: dict[tuple[str, ...], dict[str, str]] = {}
    for begin, column, text in rows:
        lines.setdefault(tuple(begin), {})[column] = text
    head = list(dict.fromkeys([*columns, *(column for cells in lines.values() for column in cells)]))
    body = [[*begin, *(cells.get(name, "") for name in head)] for begin, cells in lines.items()]
    return Table([*corner, *head], body)


def columns(summary: dict) -> dict[tuple[str, str], str]:
    """Headings of the columns that a summary has numbers for, by (truth, measure)."""
    there = {(row["truth"], row["measure"]) for row in summary["table"]}
    truths = list(dict.fromkeys(row["truth"] for row in summary["table"]))
    return {
        (kind, measure): TITLES[measure] + f" ({kind})" * (len(truths) > 1) + (" ↓" if SIGNS[measure] < 0 else " ↑")
        for kind in truths
        for measure in COLUMNS[kind]
        if (kind, measure) in there
    }


def cell(row: dict) -> str:
    """ODS / OIS; one number where nothing was chosen, or where there is no best per picture."""
    if len(row["curve"]) == 1 or "ois" not in row:
        return f"{row['ods']:.3f}"
    return f"{row['ods']:.3f} / {row['ois']:.3f}"


def gap(row: dict) -> str:
    """A difference and its interval."""
    return f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"


def main_table(summary: dict) -> Table:
    """Every line of a summary."""
    heads = columns(summary)
    keyed = [((row["truth"], row["measure"]), row) for row in summary["table"]]
    cells = [([mark(summary, row["method"])], heads[key], cell(row)) for key, row in keyed if key in heads]
    return pivot(["method"], cells, heads.values())


def mark(summary: dict, label: str) -> str:
    """A line's label, with a dagger where the method was trained on pictures of the kind that it is tested on."""
    names = [name for name in summary["methods"] if label == name or label.startswith(f"{name}, ")]
    trained = any(summary["methods"][name].get("trained_on") for name in names)
    return f"{label} †" if trained else label


def difference_table(summary: dict, own: str) -> Table:
    """Paired differences in covering (mIoU for classes) of one of our methods from others, with 95% intervals.

    The column "at" says which of ours: the default criterion, or our best constant threshold.
    """
    first = {key: title for key, title in columns(summary).items() if key[1] == COLUMNS[key[0]][0]}
    made = {row["choice"] for row in summary["differences"]}  # classes have no best setting for each picture
    choices = {choice: title for choice, title in CHOICES.items() if choice in made}
    heads = {(*key, choice): f"{title}, {choices[choice]}" for key, title in first.items() for choice in choices}
    alone = summary["methods"].get(own, {}).get("alone", [])
    ours = {own: "best constant"} | {f"{own}, {name}": name for name in alone}
    cells = [
        ([row["baseline"], ours[row["method"]]], heads[row["truth"], row["measure"], row["choice"]], gap(row))
        for row in summary["differences"]
        if row["method"] in ours and not row["baseline"].startswith(OURS) and (row["truth"], row["measure"]) in first
    ]
    return pivot(["minus", "at"], cells, heads.values())


def criteria_table(summary: dict, own: str) -> Table:
    """Each criterion's difference in covering from the best constant threshold."""
    rows = [row for row in summary["differences"] if row["baseline"] == own and row["measure"] == "covering"]
    cells = [([row["method"]], f"{row['truth']}, {CHOICES[row['choice']]}", gap(row)) for row in rows]
    return pivot(["criterion"], cells)


def changes(summary: dict) -> Table:
    """Of an ablation or a ladder: each change, and its difference from the first method, in the first measure.

    For each kind of truth: the value at the automatic setting (or the only one), and the difference with its interval;
    then the same at the best constant threshold, where there are several.
    """
    values = {(row["method"], row["truth"], row["measure"]): row for row in summary["table"]}
    gaps = {(r["method"], r["truth"], r["measure"]): r for r in summary["differences"] if r["choice"] == "ods"}
    alone = next(iter(summary["methods"].values()))["alone"]
    endings = {f", {name}": name for name in alone} | {"": "best constant" if alone else "value"}
    cells = []
    for name in summary["methods"]:
        for kind in dict.fromkeys(row["truth"] for row in summary["table"]):
            for ending, title in endings.items():
                key = name + ending, kind, COLUMNS[kind][0]
                cells.append(([name], f"{kind}, {title}", f"{values[key]['ods']:.3f}"))
                cells.append(([name], f"{kind}, {title}: difference", gap(gaps[key]) if key in gaps else ""))
    return pivot(["change"], cells)


def written(summary: dict, form: str = "markdown") -> str:
    """The tables of a summary in "markdown" or "latex": every line, then differences from ours, then criteria."""
    whole, bold = main_table(summary), "" if form == "latex" else "**"
    title = f"{bold}{summary['title']}{bold}, {summary['pictures']} pictures"
    parts = [(f"{title}; best setting for the data set / per picture.", whole)]
    both = (OURS, f"{OURS}, parts")
    words = "minus others, with 95% paired bootstrap intervals over pictures:"
    parts += [(f"{own}, {words}", difference_table(summary, own)) for own in both]
    words = "Covering minus that of the best constant threshold"
    parts += [(f"{words} ({own}):", criteria_table(summary, own)) for own in both]
    text = [line for about, table in parts if table.rows for line in (about, "", getattr(table, form)())]
    if any(" †" in row[0] for row in whole.rows):
        text += ["† The denoiser was trained on pictures of this kind, not on these.", ""]
    return "\n".join(text)


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
    measures = COLUMNS["human"] if where.startswith("bsds") else ("miou", "accuracy")
    rows = []
    for row in [row for row in published()["rows"] if where in row["values"]]:
        label = row["method"] + (f" ({KINDS[row['matching']]})" if "matching" in row else "")
        ours = _repeated(row, name, summaries)
        status = repeating(row, name) if ours else f"{NOT_RUN}: `{command(name, row['run'])}`" if "run" in row else ""
        cells = [_beside(row["values"][where], ours, measure) for measure in measures]
        rows.append([label, *cells, status, row["source"]])
    return Table(["published", *(TITLES[measure] for measure in measures), "ours", "source"], rows)


def _repeated(row: dict, name: str, summaries: Sequence[dict]) -> dict[str, dict]:
    """Our rows by measure, of the line that repeats a published one; none if it was not run."""
    wanted = row.get("run", {})
    for summary in summaries if wanted else ():
        models = {config.get("model", {}).get("name", "") for config in summary["methods"].values()}
        alike = not wanted.get("protocol") or f"--protocol {wanted['protocol']}" in summary["command"]
        if alike and (not wanted["model"] or wanted["model"] in models):
            line = repeating(row, name)
            if found := {r["measure"]: r for r in summary["table"] if r["method"] == line}:
                return found
    return {}


def repeating(row: dict, name: str) -> str:
    """The line of ours that repeats a published row on a data set: a paper may take another setting for one."""
    return row["run"].get("lines", {}).get(name, row["run"]["line"])


def _beside(told: dict | str, ours: dict[str, dict], measure: str) -> str:
    """A cell: published, then ours with its interval and whether the published value lies inside."""
    # classes: percent; else shares, best for the data set / per picture
    scale, digits = (100, 1) if measure in CLASSES else (1, 2)
    values = [] if isinstance(told, str) else told.get(measure, [])
    values = values if isinstance(values, list) else [values]
    text = told if isinstance(told, str) else " / ".join(f"{x:g}" if scale == 100 else f"{x:.2f}" for x in values)
    if measure not in ours:
        return text
    row = ours[measure]
    low, high = (scale * x for x in row["interval"]["ods"])
    inside = ("; inside" if low <= values[0] <= high else "; outside") if values else ""
    return f"{text} (ours {scale * row['ods']:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]{inside})".strip()


def command(name: str, wanted: dict) -> str:
    """The command that fills a cell."""
    data = None if name.startswith("scenes") else Path("DIR")
    config = RunConfig(dataset=name, data=data, protocol=wanted.get("protocol"), methods=(wanted["methods"],))
    return replace(config, model=wanted["model"] or config.model).command


def sources(name: str = "") -> str:
    """The key to the last column, one line each; then what is to be said of single rows, of one data set or of all."""
    where, told = SPLITS.get(name, name), published()
    lines = [f"- {key}: {text}." for key, text in told["sources"].items()]
    rows = [row for row in told["rows"] if "note" in row and (not name or where in row["values"])]
    return "\n".join(lines + [f"- {row['method']}: {row['note']}." for row in rows])
