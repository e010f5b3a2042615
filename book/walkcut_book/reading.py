"""Pick numbers out of results that are already written, for the tables and figures of the book."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from walkcut.bench.datasets import Item
from walkcut.bench.ladder import climb, told_affinity
from walkcut.bench.look import Look
from walkcut.bench.metrics import contingency, covering
from walkcut.bench.ours import AUTO, OURS, thresholds_for
from walkcut.bench.scores import TREES
from walkcut.bench.summary import COMPLEXITY, read_summary
from walkcut.bench.table import NOT_RUN, Table, beside_published, gap
from walkcut.errors import InputError
from walkcut.registry import CRITERIA

EIGENVALUES = (2, 3, 4, 8)  # places of those that are followed through training
Line = tuple[Sequence[float], Sequence[float]]  # x and y
Interval = tuple[float, float, float]  # value, low, high
COVERING = {"measure": "covering", "choice": "ods"}  # of the differences that most figures show
RIVALS = (
    *("paper-v1", "paper-v1, parts", "paper-v2", "DiffSeg", "DiffCut", "DiffCut, PAMR", "AutoSC, gap with the next"),
    *("MaskCut", "k-means, features, true K", "spectral clustering, scikit-learn, true K", "SLIC + NCut"),
    *("mean shift", "Felzenszwalb", "k-means, colour"),
)


def rows_where(rows: Sequence[dict], **wanted: object) -> list[dict]:
    """Rows of a summary's "table" or "differences" with all these values."""
    return [row for row in rows if wanted.items() <= row.items()]


def row_where(rows: Sequence[dict], **wanted: object) -> dict:
    """The first such row; InputError if there is none."""
    found = rows_where(rows, **wanted)
    if not found:
        raise InputError(f"The result has no row with {wanted}: measure it anew with walkcut bench.")
    return found[0]


def difference(row: dict) -> Interval:
    """The difference in a row, and the ends of its interval."""
    return row["difference"], row["low"], row["high"]


def made_by(record: dict) -> str:
    """How a result was made, one line in Markdown: command, date, commit, processor or GPU."""
    commit = (record["commit"] or "no commit")[:7]
    return f"`{record['command']}`, {record['date']}, commit {commit}, {record.get('gpu') or record['processor']}."


def read_change(folder: Path, what: str, name: str) -> dict | None:
    """The result of an ablation, a "ladder" or "models" on a data set; where there is none, its command is told.

    Parameters
    ----------
    folder : path
        Where results lie.
    what : str
        One of `walkcut.bench.ablate.ABLATIONS`, or "ladder", or "models".
    name : str
        Of the data set.
    """
    words = (what, name) if what in ("ladder", "models") else ("ablate", what, name)
    path = folder / f"{'-'.join(words)}.json"
    if path.is_file():
        return read_summary(path)
    data = "" if name.startswith("scenes") else " --data DIR"
    models = " --models LIST" if what == "models" else ""
    print(f"{NOT_RUN}: walkcut bench {' '.join(words)}{data}{models}")
    return None


def log_table(entries: Sequence[dict], stage: str) -> Table:
    """What was tried at one stage of the embedded model, as its log has it: predicted, found, kept.

    Parameters
    ----------
    entries : sequence of dict
        Of `book/results/model-log.json`.
    stage : str
    """
    rows = []
    for entry in (entry for entry in entries if entry["stage"] == stage):
        found = "" if entry["found"] is None else f"{entry['found']:+.3f}"
        if entry["interval"]:
            low, high = entry["interval"]
            found += f" [{low:+.3f}, {high:+.3f}]"
        told = "; ".join(part for part in (found, entry["note"]) if part)
        rows.append([entry["tried"], entry["predicted"], entry["on"], told, entry["kept"]])
    return Table(["tried", "predicted", "measured on", "found", "kept"], rows)


def by_step(summary: dict, truth: str) -> dict[str, Line]:
    """Of models by the name step-N: eigenvalues of their walks, and covering at the best constant, against N."""
    steps = sorted(int(name.removeprefix("step-")) for name in summary["spectra"] if name.startswith("step-"))
    names = [f"step-{step}" for step in steps]
    found = {
        f"eigenvalue {place}": (steps, [summary["spectra"][name][place - 1] for name in names]) for place in EIGENVALUES
    }
    rows = [row_where(summary["table"], method=name, truth=truth, measure="covering") for name in names]
    return found | {f"covering, {truth}": (steps, [row["ods"] for row in rows])}


def constants(summary: dict, method: str, truth: str) -> Line:
    """A method's constant thresholds, and covering at each."""
    described = summary["methods"][method]
    settings = [float(s) for s in described["settings"] if s not in described["alone"]]
    return settings, row_where(summary["table"], method=method, truth=truth, measure="covering")["curve"]


def with_automatic(summary: dict, method: str, truth: str) -> dict[str, Line]:
    """`constants`, and beside them the default criterion as a level line."""
    settings, values = constants(summary, method, truth)
    row = row_where(summary["table"], method=f"{method}, {AUTO}", truth=truth, measure="covering")
    return {"constant": (settings, values), "automatic": ([settings[0], settings[-1]], 2 * [row["ods"]])}


def gains(summary: dict, truth: str, ending: str = "") -> dict[str, Interval]:
    """Of an ablation or a ladder: each change's difference in covering from the first method, with its interval.

    Long names of layers are shortened.

    Parameters
    ----------
    truth : str
    ending : str
        ", stability" for the automatic threshold; none for the best constant, or where there is one value.
    """
    names = {f"{name}{ending}": name for name in summary["methods"]}
    rows = rows_where(summary["differences"], truth=truth, **COVERING)
    found = {names[row["method"]]: difference(row) for row in rows if row["method"] in names}
    return {name.replace("_blocks.", " ").replace(".attentions.", "."): value for name, value in found.items()}


def gains_by_set(
    folder: Path, what: str, columns: Sequence[tuple[str, str]], ending: str = ""
) -> dict[str, dict[str, Interval]]:
    """`gains` of one ablation or ladder for pairs of a data set and its truth; a ladder also says where it starts."""
    groups = {}
    for name, truth in columns:
        if summary := read_change(folder, what, name):
            start = rows_where(summary["table"], method="as it is", truth=truth, measure="covering")
            label = f"{name}, {truth}, {summary['pictures']} pictures"
            label += "".join(f", from {row['ods']:.3f}" for row in start)
            groups[label] = gains(summary, truth, ending)
    return groups


def gains_both_ways(
    folder: Path, changes: Sequence[str], name: str, truth: str
) -> dict[str, dict[str, dict[str, Interval]]]:
    """A panel for each ablation on one data set: `gains` with the automatic threshold and at the best constant."""
    panels = {}
    for what in changes:
        if summary := read_change(folder, what, name):
            panels[f"{what}, {summary['pictures']} pictures"] = {
                "automatic": gains(summary, truth, f", {AUTO}"),
                "best constant": gains(summary, truth),
            }
    return panels


def threshold_panels(folder: Path, results: Mapping[str, dict]) -> dict[str, dict[str, Line]]:
    """Covering against a constant threshold: scenes and photographs, and for other graphs and more steps on scenes."""
    scenes = "scenes-seeds"
    panels = {f"threshold, {scenes}": with_automatic(results[scenes], "walkcut", "materials")}
    panels["threshold, bsds500-val"] = with_automatic(results["bsds500-val"], "walkcut, parts", "human")
    others = {"graph": ("direct", "rows-dot", "rows-cosine", "features"), "steps": ("k=2", "k=4", "k=8")}
    for what, shown in others.items():
        if summary := read_change(folder, what, scenes):
            lines = {name: constants(summary, name, "materials") for name in ("as usual", *shown)}
            panels[f"threshold, {what}"] = lines
    return panels


def constant_lines(summaries: Sequence[dict]) -> list[str]:
    """For each data set and truth: the best constant threshold, its covering, and that of the best for each picture."""
    lines = []
    for summary in summaries:
        for row in rows_where(summary["table"], method="walkcut", measure="covering"):
            lines.append(f"{summary['title']}, {row['truth']}: best constant {row['setting']}")
            lines.append(f"    covering {row['ods']:.3f}; with the best threshold for each picture {row['ois']:.3f}")
    return lines


def against_constant(summaries: Sequence[dict]) -> dict[str, dict[str, Interval]]:
    """Covering of each criterion minus that of the best constant threshold: a group for each data set and truth."""
    groups = {}
    for summary in summaries:
        rows = rows_where(summary["differences"], baseline="walkcut", **COVERING)
        for truth in dict.fromkeys(row["truth"] for row in rows):
            own = {name: row_where(rows, truth=truth, method=f"walkcut, {name}") for name in CRITERIA}
            groups[f"{summary['title']}: {truth}"] = {name: difference(row) for name, row in own.items()}
    return groups


def criteria_table(choosing: Sequence[dict], reported: Sequence[dict], blank: dict) -> Table:
    """Criteria against the best constant, where they were chosen and where they are reported, and on blank pictures.

    Parameters
    ----------
    choosing, reported : sequences of summaries
    blank : dict
        The summary of white noise and constant pictures.
    """
    rows = []
    for summary in (*choosing, *reported):
        for group, others in against_constant([summary]).items():
            truth = group.removeprefix(f"{summary['title']}: ")
            constant = row_where(summary["table"], method="walkcut", truth=truth, measure="covering")["ods"]
            rows.append([group, f"{constant:.3f}", *(f"{difference:+.3f}" for difference, *_ in others.values())])
    alone = [blank["segments"][f"walkcut, {name}"]["pictures_in_one"] for name in CRITERIA]
    rows.append([f"in one segment, of {blank['pictures']} blank pictures", "", *map(str, alone)])
    for summary in choosing:
        medians = [f"{summary['segments'][f'walkcut, {name}']['median']:g}" for name in CRITERIA]
        rows.append([f"median segments: {summary['title']}", "", *medians])
    return Table(["", "best constant", *CRITERIA], rows)


def graph_lines(name: str, part: dict) -> list[str]:
    """A line for each graph of a set in `graphs.json`: covering at both best settings; a star where zero is out."""
    lines = [f"{name}, {part['pictures']}: covering at the best threshold, and at the best number of segments"]
    for row in part["graphs"]:
        by, at = ([row[choice][key] for choice in ("threshold", "segments")] for key in ("covering", "setting"))
        star = "*" if row["threshold"]["low"] > 0 or row["threshold"]["high"] < 0 else " "
        lines.append(f"  {row['graph']:26} {by[0]:.3f}{star} (at {at[0]:.2f})   {by[1]:.3f} (at {at[1]:.0f})")
    return lines


def graph_gains(part: dict) -> dict[str, Interval]:
    """Covering of each graph minus that of the reversible walk, at the best threshold, with its interval."""
    return {row["graph"]: difference(row["threshold"]) for row in part["graphs"]}


def stream_lines(cost: dict) -> list[str]:
    """A line for each measurement of `stream.json`: processor time and memory, with the matrix and without."""
    lines = []
    for row in sorted(cost["measurements"], key=lambda row: (row["kind"], row["patches"])):
        seconds, peak, before = row["total"]["cpu_s"], row["peak_gib"], row["before_gib"]
        lines.append(
            f"{row['kind']:9}{row['patches']:6} patches: {seconds:6.1f} s, peak {peak:.2f} GiB, {before:.2f} before it"
        )
    return lines


def time_and_memory(cost: dict) -> dict[str, list[tuple[float, float, str]]]:
    """Of `stream.json`, for `plots.tradeoff`: MiB above the start, processor seconds, patches; dense and streamed."""
    ways: dict[str, list] = {"dense": [], "streamed": []}
    for row in sorted(cost["measurements"], key=lambda row: row["patches"]):
        memory = 1024 * (row["peak_gib"] - row["before_gib"])
        ways[row["kind"]].append((memory, row["total"]["cpu_s"], f"{row['patches']:,}"))
    return ways


def by_complexity(summary: dict, truth: str, labels: Sequence[str]) -> dict[str, Line]:
    """Mean covering of some lines of a table, at the middle of each bin of true regions that holds pictures."""
    ends = np.array([*COMPLEXITY, 2 * COMPLEXITY[-1]])
    middles = (ends[:-1] + ends[1:] - 1) / 2
    found = {}
    for label in labels:
        bins = [
            (x, value) for x, (count, value) in zip(middles, summary["complexity"][truth][label], strict=True) if count
        ]
        found[label] = [x for x, _ in bins], [value for _, value in bins]
    return found


def rivals_table(
    results: Mapping[str, dict], columns: Sequence[tuple[str, str]], rivals: Sequence[str] = RIVALS
) -> Table:
    """Paired differences in covering of our default criterion from other lines: segments where the truth is materials,
    parts elsewhere.

    Parameters
    ----------
    results : mapping of name to summary
    columns : sequence of (name of the result, truth)
    rivals : sequence of labels
    """
    lines = {rival: [rival] for rival in rivals}
    for name, truth in columns:
        own = f"{OURS}, {AUTO}" if truth == "materials" else f"{OURS}, parts, {AUTO}"
        rows = rows_where(results[name]["differences"], method=own, truth=truth, **COVERING)
        cells = {row["baseline"]: gap(row) for row in rows}
        for rival in rivals:
            lines[rival].append(cells.get(rival, ""))
    return Table(["ours minus", *(f"{name}, {truth}" for name, truth in columns)], list(lines.values()))


def standings(summary: dict, truth: str, measure: str = "covering") -> dict[str, dict[str, Interval]]:
    """Where every method stands: at the setting that its authors, or we, publish, and at the best of its sweep (ODS).

    A method without a sweep has the first value only, one without such a setting the second.
    """
    found: dict[str, dict[str, Interval]] = {"one setting, not chosen by the truth": {}, "best setting (ODS)": {}}
    rows = {row["method"]: row for row in rows_where(summary["table"], truth=truth, measure=measure)}
    for name, described in summary["methods"].items():
        blind = [setting for setting in described["alone"] if not setting.startswith("true")]  # "true K" is told K
        labels = [f"{name}, {setting}" for setting in blind[:1]] or [""]
        for group, label in zip(found.values(), (*labels, name), strict=True):
            if row := rows.get(label):
                group[name] = row["ods"], *row["interval"]["ods"]
    return found


def published_by_matching(name: str) -> dict[str, Table]:
    """Published rows of a data set with classes, apart by how clusters got their names; without commands."""
    head, rows = beside_published(name, [])
    kinds: dict[str, list[list[str]]] = {"one matching for each picture": [], "one matching for the data set": []}
    for label, *cells in rows:
        whole = label.endswith(" (one matching for the data set)")
        cells = [cell.partition(": `")[0] for cell in cells]
        kinds[list(kinds)[whole]].append([label.partition(" (one matching")[0], *cells])
    return {kind: Table(head, lines) for kind, lines in kinds.items()}


def published_commands(name: str) -> list[str]:
    """The commands that run what stands beside the published rows of a data set, each once."""
    _, rows = beside_published(name, [])
    found = (cell.partition(": `")[2].rstrip("`") for row in rows for cell in row if cell.startswith(NOT_RUN))
    return list(dict.fromkeys(found))


def half_widths(summary: dict, own: str, rival: str, truth: str) -> tuple[float, float, float]:
    """Half the width of two lines' intervals of covering, and of that of their paired difference."""
    what = {"truth": truth, "measure": "covering"}
    lines = (row_where(summary["table"], method=method, **what)["interval"]["ods"] for method in (own, rival))
    paired = row_where(summary["differences"], method=own, baseline=rival, choice="ods", **what)
    mine, theirs, both = ((high - low) / 2 for low, high in (*lines, (paired["low"], paired["high"])))
    return mine, theirs, both


def trees_table(results: Mapping[str, dict]) -> Table:
    """Measures of whole trees with their intervals: a row for each, a column for each method that has any."""
    lines: dict[str, dict[str, str]] = {}
    for name, summary in results.items():
        for row in summary["table"]:
            if row["measure"] in TREES:
                low, high = row["interval"]["ods"]
                cells = lines.setdefault(f"{name}, {row['truth']}: {row['measure']}", {})
                cells[row["method"].split(",")[0]] = f"{row['ods']:.3f} [{low:.3f}, {high:.3f}]"
    methods = list(dict.fromkeys(method for cells in lines.values() for method in cells))
    return Table(["tree", *methods], [[title, *(cells.get(m, "") for m in methods)] for title, cells in lines.items()])


def rungs(look: Look, truth: np.ndarray) -> dict[str, tuple[np.ndarray, float]]:
    """One picture on the ladder, one stage at a time: its labels (H, W), and how well they cover the truth.

    Parameters
    ----------
    look : Look
    truth : int (H, W)
    """
    mine, knowing = look.segment(), told_affinity(look, truth)
    told = {"as it is": (mine, ()), "pixels": (mine, ("pixels",)), "threshold": (mine, ("threshold",))}
    told["affinity"] = knowing, ()
    thresholds = thresholds_for(look.looker)
    found = {rung: climb(tree, truth, stages, False, thresholds) for rung, (tree, stages) in told.items()}
    return {rung: (labels, covering(contingency(truth, labels))) for rung, labels in found.items()}


def failure(look: Look, item: Item, truth: str) -> tuple[str, dict[str, tuple[np.ndarray, np.ndarray | None]]]:
    """One picture with each stage told the truth in turn, as a line and as panels for `plots.segmentations`."""
    (true,), found = item.truths[truth], rungs(look, item.truths[truth][0])
    line = f"{item.name}, {truth}: " + ", ".join(f"{rung} {value:.2f}" for rung, (_, value) in found.items())
    panels = {f"scene {item.name}": (item.image, None), f"{truth} of {item.name}": (item.image, true)}
    for rung in ("as it is", "affinity"):
        labels, value = found[rung]
        panels[f"{item.name}, {rung}: {value:.2f}"] = item.image, labels
    return line, panels
