"""Pick numbers out of results that are already written, for the tables and figures of the book."""

import json
import re
from collections.abc import Mapping, Sequence

import numpy as np

from walkcut.bench import RESULTS, table
from walkcut.bench.criteria import SHARES
from walkcut.bench.ours import AUTO, OURS
from walkcut.bench.scores import TITLES, TREES
from walkcut.bench.summary import COMPLEXITY, read_summary
from walkcut.bench.table import KINDS, Table, beside_published, command, gap, pivot, published
from walkcut.criteria import SHARE
from walkcut.registry import CRITERIA

EIGENVALUES = (2, 3, 4, 8)  # places of those that are followed through training
Line = tuple[Sequence[float], Sequence[float]]  # x and y
Interval = tuple[float, float, float]  # value, low, high
RIVALS = (
    *("paper-v1", "paper-v1, parts", "paper-v2", "DiffSeg", "DiffCut", "DiffCut, PAMR", "AutoSC, gap with the next"),
    *("MaskCut", "k-means, features, true K", "spectral clustering, scikit-learn, true K", "SLIC + NCut"),
    *("mean shift", "Felzenszwalb", "k-means, colour"),
)
# As `walkcut --graph` knows them, and as the book calls them.
GRAPHS = {"average": "plain average", "direct": "P itself", "renormalised": "held walk", "rows-cosine": "rows, cosine"}
GRAPHS |= {"rows-dot": "rows, dot product", "divergence": "rows, Jensen-Shannon", "features": "features, cosine^10"}


def plain(name: str) -> str:
    """A layer, a head or a graph in the book's words: "down 0.0, 1" for layer 1 of "down_blocks.0.attentions.0"."""
    short = re.sub(r"\.transformer_blocks\.(\d+)\.attn1", r", \1", name)
    return GRAPHS.get(name, short.replace("_blocks.", " ").replace(".attentions.", "."))


def result(name: str) -> dict:
    """A committed summary by the name of its file, such as "ladder-scenes-seeds"."""
    return read_summary(RESULTS / f"{name}.json")


def rows_where(rows: Sequence[dict], **wanted: object) -> list[dict]:
    """Rows of a summary's "table" or "differences" with all these values."""
    return [row for row in rows if wanted.items() <= row.items()]


def coverings(summary: dict, truth: str) -> dict[str, dict]:
    """Rows of a summary's table, by the method."""
    return {row["method"]: row for row in rows_where(summary["table"], truth=truth, measure="covering")}


def leads(summary: dict, **wanted: object) -> list[dict]:
    """Rows of a summary's differences at the best setting for the data set: in covering unless told, with all these."""
    return rows_where(summary["differences"], **{"measure": "covering", "choice": "ods"} | wanted)


def difference(row: dict) -> Interval:
    """The difference in a row, and the ends of its interval."""
    return row["difference"], row["low"], row["high"]


def made_by(record: dict) -> str:
    """How a result was made, one line in Markdown: command, date, commit, processor or GPU."""
    commit = (record["commit"] or "no commit")[:7]
    return f"`{record['command']}`, {record['date']}, commit {commit}, {record.get('gpu') or record['processor']}."


def log_table(entries: Sequence[dict], stage: str) -> Table:
    """What was tried at one stage of the embedded model, as its log has it: predicted, found, kept.

    Parameters
    ----------
    entries : sequence of dict
        Of `book/results/model-log.json`.
    stage : str
    """
    rows = []
    for entry in rows_where(entries, stage=stage):
        told = [] if entry["found"] is None else [f"{entry['found']:+.3f}"]
        if entry["interval"]:
            told = [gap({"difference": entry["found"]} | dict(zip(("low", "high"), entry["interval"], strict=True)))]
        told += [entry["note"]] if entry["note"] else []
        rows.append([entry["tried"], entry["predicted"], entry["on"], "; ".join(told), entry["kept"]])
    return Table(["tried", "predicted", "measured on", "found", "kept"], rows)


def by_step(summary: dict, truth: str) -> dict[str, Line]:
    """Of models by the name step-N: eigenvalues of their walks, and covering at the best constant, against N."""
    spectra, rows = summary["spectra"], coverings(summary, truth)
    steps = sorted(int(name.removeprefix("step-")) for name in spectra if name.startswith("step-"))
    names = [f"step-{step}" for step in steps]
    found = {f"eigenvalue {place}": (steps, [spectra[name][place - 1] for name in names]) for place in EIGENVALUES}
    return found | {f"covering, {truth}": (steps, [rows[name]["ods"] for name in names])}


def automatic(summary: dict, method: str = OURS) -> str:
    """The line of a method where it stopped by itself, by the criterion that it was measured with."""
    return f"{method}, {summary['methods'][method]['automatic']}"


def constants(summary: dict, method: str, truth: str) -> Line:
    """A method's constant thresholds, and covering at each."""
    described = summary["methods"][method]
    settings = [float(s) for s in described["settings"] if s not in described["alone"]]
    return settings, coverings(summary, truth)[method]["curve"]


def with_automatic(summary: dict, method: str, truth: str) -> dict[str, Line]:
    """`constants`, and beside them the default criterion as a level line."""
    settings, values = constants(summary, method, truth)
    level = coverings(summary, truth)[automatic(summary, method)]["ods"]
    return {"constant": (settings, values), "automatic": ([settings[0], settings[-1]], [level, level])}


def gains(summary: dict, truth: str, alone: bool = False) -> dict[str, Interval]:
    """Of an ablation or a ladder: each change's difference in covering from the first method, with its interval.

    Parameters
    ----------
    truth : str
    alone : bool
        Where each stops by itself; else at the best constant, or where there is one value.
    """
    names = {automatic(summary, name) if alone else name: name for name in summary["methods"]}
    found = {names[row["method"]]: difference(row) for row in leads(summary, truth=truth) if row["method"] in names}
    return {plain(name): value for name, value in found.items()}


def changes_table(summary: dict) -> Table:
    """`walkcut.bench.table.changes`, in the book's words."""
    head, rows = table.changes(summary)
    return Table(head, [[plain(name), *cells] for name, *cells in rows])


def gains_by_set(what: str, columns: Sequence[tuple[str, str]], alone: bool = False) -> dict[str, dict[str, Interval]]:
    """`gains` of one ablation or ladder for pairs of a data set and its truth; a ladder also says where it starts.

    `what` is how the names of its results begin, such as "ladder" or "ablate-pixels".
    """
    groups = {}
    for name, truth in columns:
        summary = result(f"{what}-{name}")
        start = coverings(summary, truth).get("as it is")
        label = f"{name}, {truth}, {summary['pictures']} pictures"
        groups[label + (f", from {start['ods']:.3f}" if start else "")] = gains(summary, truth, alone)
    return groups


def gains_both_ways(changes: Sequence[str], name: str, truth: str) -> dict[str, dict[str, dict[str, Interval]]]:
    """A panel for each ablation on one data set: `gains` with the automatic threshold and at the best constant."""
    panels = {}
    for what in changes:
        summary = result(f"ablate-{what}-{name}")
        ways = {"automatic": gains(summary, truth, alone=True), "best constant": gains(summary, truth)}
        panels[f"{what}, {summary['pictures']} pictures"] = ways
    return panels


def threshold_panels() -> dict[str, dict[str, Line]]:
    """Covering against a constant threshold: scenes and photographs, and for other graphs and more steps on scenes."""
    panels = {"threshold, scenes-seeds": with_automatic(result("scenes-seeds"), "walkcut", "materials")}
    panels["threshold, bsds500-val"] = with_automatic(result("bsds500-val"), "walkcut, parts", "human")
    others = {"graph": ("direct", "rows-dot", "rows-cosine", "features"), "steps": ("k=2", "k=4", "k=8")}
    for what, shown in others.items():
        summary = result(f"ablate-{what}-scenes-seeds")
        lines = {plain(name): constants(summary, name, "materials") for name in ("as usual", *shown)}
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


def criteria_table(summaries: Mapping[str, dict]) -> Table:
    """The score of the best constant, and what each criterion has more or less; and the median number of segments."""
    rows = []
    for title, summary in summaries.items():
        for truth in dict.fromkeys(row["truth"] for row in summary["table"]):
            own, measure = scored(truth)
            best = rows_where(summary["table"], method=own, truth=truth, measure=measure)[0]["ods"]
            gaps = {row["method"]: row for row in leads(summary, baseline=own, truth=truth, measure=measure)}
            cells = [f"{gaps[f'{own}, {name}']['difference']:+.3f}" for name in CRITERIA]
            rows.append([f"{title}: {truth}", f"{best:.3f}", *cells])
        medians = [f"{summary['segments'][f'{OURS}, {name}']['median']:g}" for name in CRITERIA]
        rows.append([f"{title}: median segments", "", *medians])
    return Table(["", "best constant", *CRITERIA], rows)


JUDGED = {"photographs": "human", "scenes": "materials"}  # what is set aside for choosing, and by which truth


def set_aside() -> dict[str, dict]:
    """What `walkcut bench criteria` found on pictures set aside for choosing, through both eyes."""
    names = {"photographs": "criteria-bsds500-train", "scenes": "criteria-scenes"}
    eyes = {"leaves": "", "knowing": "-vit-s14-grid37"}
    return {f"{kind}, {eye}": result(name + end) for eye, end in eyes.items() for kind, name in names.items()}


EYES = {"dead-leaves": "dead leaves", "vit-s14": "knowing", "first-model": "earlier", "third": "third"}  # by the model


def blank() -> dict[str, dict]:
    """Shares of blank pictures left whole, and of pages of words, by eye and line; each a share with its interval."""
    found: dict[str, dict] = {}
    for path in (*sorted(RESULTS.glob("criteria-blank*.json")), *sorted(RESULTS.glob("criteria-documents*.json"))):
        summary = read_summary(path)
        lines = found.setdefault(summary["methods"][OURS]["recipe"]["model"], {})
        for line, shares in summary["left_whole"].items():
            lines.setdefault(line, {}).update(shares)
    return {eye: {"left_whole": found[model]} for model, eye in EYES.items() if model in found}


def scored(truth: str) -> tuple[str, str]:
    """Which line of ours is judged by a truth, and in which measure: connected parts where humans drew."""
    if truth == "classes":
        return OURS, "miou"
    return (f"{OURS}, parts" if truth == "human" else OURS), "covering"


def share_lines(summaries: Mapping[str, dict]) -> dict[str, Line]:
    """Against the share of the null that a split may cost, the score less that of the best constant: a line for each.

    The summaries are named as those of `set_aside`.
    """
    lines: dict[str, Line] = {}
    for name, summary in summaries.items():
        own, measure = scored(truth := JUDGED[name.partition(",")[0]])
        rows = leads(summary, baseline=own, truth=truth, measure=measure)
        gaps = {row["method"].removeprefix(f"{own}, "): row["difference"] for row in rows}
        found = {SHARE: gaps["spatial-null"]} | {share: gaps[f"null at {share}"] for share in SHARES}
        lines[name] = sorted(found), [found[share] for share in sorted(found)]
    return lines


# Constants by where they were fitted, on pictures set aside: `walkcut bench criteria` tells which is best.
FITTED = {"0.17": "leaves, photographs and scenes", "0.55": "knowing, scenes", "0.6": "knowing, photographs"}


def transfers() -> dict[str, dict]:
    """The summaries in which the rule stands beside constants from elsewhere, by pictures and eye."""
    found = [read_summary(path) for path in sorted(RESULTS.glob(f"*-constant{'+'.join(FITTED)}*.json"))]
    return {f"{one['title']}, {EYES[one['methods'][OURS]['recipe']['model']]}": one for one in found}


def transfer_table(summaries: Mapping[str, dict]) -> Table:
    """What constants do away from where they were fitted: the rule's score less theirs, with intervals.

    Materials are the truth of scenes, classes are scored by mIoU, all else by covering of connected parts.
    """
    rows = []
    for name, summary in summaries.items():
        truth = min({row["truth"] for row in summary["table"]} - {"instances"})
        own, measure = scored(truth)
        rule = rows_where(summary["table"], method=f"{own}, {AUTO}", truth=truth, measure=measure)[0]["ods"]
        mine = leads(summary, method=f"{own}, {AUTO}", truth=truth, measure=measure)
        against = {row["baseline"].removeprefix(f"{own}, "): gap(row) for row in mine}
        rows.append([name, TITLES[measure], f"{rule:.3f}", *(against[constant] for constant in (*FITTED, own))])
    heads = [f"minus {constant} ({origin})" for constant, origin in FITTED.items()]
    return Table(["used on", "measure", AUTO, *heads, "minus the best constant there"], rows)


def whole_table(blanks: Mapping[str, dict], criteria: Sequence[str]) -> Table:
    """Share of blank pictures left in one segment, with its interval: a line for each eye and criterion.

    Both are in the first column, which stays where a phone scrolls the others.
    """
    rows = []
    for eye, summary in blanks.items():
        for criterion in criteria:
            whole = summary["left_whole"][f"{OURS}, {criterion}"]
            rows.append([f"{eye}, {criterion}", *("{:.2f} [{:.2f}, {:.2f}]".format(*one) for one in whole.values())])
    return Table(["eye, criterion", *whole], rows)


def constants_like(summaries: Mapping[str, dict]) -> Table:
    """Of each criterion, for which share of pictures it gives what one and the same constant gives, and which."""
    rows = []
    for name, summary in summaries.items():
        own, _ = scored(JUDGED[name.partition(",")[0]])
        like = {criterion: summary["like_constants"][f"{own}, {criterion}"] for criterion in CRITERIA}
        rows.append([name, *(f"{share:.2f} ({constant})" for constant, share in like.values())])
    return Table(["same as one constant", *CRITERIA], rows)


def graph_lines(name: str, part: dict) -> list[str]:
    """A line for each graph of a set in `graphs.json`: covering at both best settings; a star where zero is out."""
    lines = [f"{name}, {part['pictures']}: covering at the best threshold, at the best number"]
    for row in part["graphs"]:
        best, count = row["threshold"], row["segments"]
        star = "*" if best["low"] > 0 or best["high"] < 0 else " "
        first = f"{row['graph']:26} {best['covering']:.3f}{star} (at {best['setting']:.2f})"
        lines.append(f"  {first}   {count['covering']:.3f} (at {count['setting']:.0f})")
    return lines


def graph_gains(part: dict) -> dict[str, Interval]:
    """Covering of each graph minus that of the reversible walk, at the best threshold, with its interval."""
    return {row["graph"]: difference(row["threshold"]) for row in part["graphs"]}


def orientation_table(record: dict) -> Table:
    """How much of the segments stays where a picture is turned, or has other colours: mean and interval per set."""
    shown = [("{:.2f} ({:.2f} to {:.2f})".format(row["mean"], *row["interval"]), row) for row in record["summary"]]
    return pivot(["change"], [([row["change"]], row["set"], text) for text, row in shown])


def stream_lines(cost: dict) -> list[str]:
    """A line for each measurement of `stream.json`: processor time and memory, with the matrix and without."""
    line = "{kind:9}{patches:6} patches: {total[cpu_s]:6.1f} s, peak {peak_gib:.2f} GiB, {before_gib:.2f} before it"
    return [line.format(**row) for row in sorted(cost["measurements"], key=lambda row: (row["kind"], row["patches"]))]


def time_and_memory(cost: dict) -> dict[str, list[tuple[float, float, str]]]:
    """Of `stream.json`, for `plots.tradeoff`: MiB above the start, processor seconds, patches; dense and streamed."""
    ways: dict[str, list] = {"dense": [], "streamed": []}
    for row in sorted(cost["measurements"], key=lambda row: row["patches"]):
        memory = 1024 * (row["peak_gib"] - row["before_gib"])
        ways[row["kind"]].append((memory, row["total"]["cpu_s"], f"{row['patches']:,}"))
    return ways


def rates() -> dict[str, float]:
    """Pictures a second, as measured or reported elsewhere: looks of denoisers, whole chains, whole methods."""
    found = {}
    for path in sorted(RESULTS.glob("speed-*.json")):  # of `walkcut bench speed`; one on a GPU holds several
        record = json.loads(path.read_text())
        one, where = record.get("measurements", [record])[0], record["gpu"] or record["processor"]
        seconds = one["seconds"]
        listened = seconds.get("capture") or seconds["denoiser"] + seconds["listening"]
        found[f"look of {one['model']}, {where}"] = 1 / (seconds["VAE"] + listened + seconds["walk"])
        if chain := record.get("chain"):
            found[f"chain of {one['model']}, {chain['cutters']} cutters, {where}"] = chain["pictures_per_second"]
    return found | {f"{row['method']}, as reported": row["pictures_per_second"] for row in published()["speeds"]}


def by_complexity(summary: dict, truth: str, labels: Sequence[str]) -> dict[str, Line]:
    """Mean covering of some lines of a table, at the middle of each bin of true regions that holds pictures."""
    ends = np.array([*COMPLEXITY, 2 * COMPLEXITY[-1]])
    middles, found = (ends[:-1] + ends[1:] - 1) / 2, {}
    for label in labels:
        counts, values = zip(*summary["complexity"][truth][label], strict=True)
        some = np.array(counts) > 0
        found[label] = middles[some].tolist(), [value for value in values if value is not None]
    return found


def rivals_table(results: Mapping[str, dict], columns: Sequence[tuple[str, str]]) -> Table:
    """Paired differences in covering of what stops by itself from `RIVALS`: segments where the truth is materials,
    parts elsewhere.

    Parameters
    ----------
    results : mapping of name to summary
    columns : sequence of (name of the result, truth)
    """
    cells = []
    for name, truth in columns:
        own = automatic(results[name], OURS if truth == "materials" else f"{OURS}, parts")
        gaps = {row["baseline"]: gap(row) for row in leads(results[name], truth=truth, method=own)}
        cells += [([rival], f"{name}, {truth}", gaps.get(rival, "")) for rival in RIVALS]
    return pivot(["ours minus"], cells)


def standings(summary: dict, truth: str) -> dict[str, dict[str, Interval]]:
    """Covering of every method at the setting that its authors, or we, publish, and at the best of its sweep (ODS).

    A method without a sweep has the first value only, one without such a setting the second.
    """
    found: dict[str, dict[str, Interval]] = {"one setting, not chosen by the truth": {}, "best setting (ODS)": {}}
    rows = coverings(summary, truth)
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
    found = {words: Table(head, []) for words in KINDS.values()}
    for label, *cells in rows:
        words = next((words for words in found if label.endswith(f" ({words})")), KINDS["picture"])
        found[words].rows.append([label.removesuffix(f" ({words})"), *(cell.partition(": `")[0] for cell in cells)])
    return {words: part for words, part in found.items() if part.rows}


def published_commands(name: str) -> list[str]:
    """The commands that run what stands beside the published rows of a data set, each once."""
    rows = [row for row in published()["rows"] if name in row["values"] and "run" in row]
    return list(dict.fromkeys(command(name, row["run"]) for row in rows))


def trees_table(results: Mapping[str, dict]) -> Table:
    """Measures of whole trees with their intervals: a row for each, a column for each method that has any."""
    cells = []
    for name, summary in results.items():
        for row in [row for row in summary["table"] if row["measure"] in TREES]:
            low, high = row["interval"]["ods"]
            method, measure = row["method"].split(",")[0], f"{name}, {row['truth']}: {row['measure']}"
            cells.append(([measure], method, f"{row['ods']:.3f} [{low:.3f}, {high:.3f}]"))
    return pivot(["tree"], cells)


def peers_table(summary: dict) -> Table:
    """Of `speed.json`: seconds, segments, mean escape, agreement with what was planted; or why a peer did not run."""
    rows = []
    for row in summary["peers"]:
        told = [row.get("not_run", ""), "", "", ""]
        if "seconds" in row:
            ari = f"{row['ari']:.3f}" if "ari" in row else ""
            told = [f"{row['seconds']:.3f}", str(row["segments"]), f"{row['escape']:.3f}", ari]
        rows.append([f"{row['affinity']}, {row['n']:,}", row["peer"], "yes" if row["given_k"] else "no", *told])
    return Table(["affinity", "peer", "K given", "seconds", "segments", "mean escape", "adjusted Rand"], rows)
