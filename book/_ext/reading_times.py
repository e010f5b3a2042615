"""How long a page takes to read: counted at each build, so that it grows with the page.

`{reading-time} NAME` is the sentence at the head of a page, `{minutes} NAME PART; NAME PART` a number. A part is
`core`, `further` or `exercises`, `to HEADING` or `from HEADING` (to the end of the core), or the heading of a section.
It is an estimate by counting: no reader was timed. The page for teachers argues for the rates.
"""

import json
import math
import re
from collections import Counter
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

BOOK = Path(__file__).resolve().parent.parent
MINUTES = {"words": 1 / 175, "inline": 1 / 20, "formulas": 2, "code lines": 1 / 6, "figures": 1}
MINUTES |= {"checkpoints": 3, "exercises": 15}
FORMULA = re.compile(r"\$\$.*?\$\$( \(eq-[\w-]+\))?", re.DOTALL)
INLINE = re.compile(r"\$[^$`]+\$")  # in a line of text; it counts as a word, however it is spaced
NO_WORDS = re.compile(rf"{FORMULA.pattern}|^```\{{(pipeline|checkpoint)\}}.*?^```", re.DOTALL | re.MULTILINE)
BEYOND = ("Further: ", "Exercises", "References")  # where the core has ended


def counted(text: str) -> Counter:
    """What a piece of prose holds."""
    line = NO_WORDS.sub(" ", text)
    holds = {"words": len(INLINE.sub("x", line).split()), "inline": len(INLINE.findall(line))}
    holds |= {"formulas": len(FORMULA.findall(text)), "checkpoints": text.count("```{checkpoint}")}
    return Counter(holds, exercises=text.count("```{exercise}"))


def sections(name: str) -> dict[str, Counter]:
    """What each section of a page holds, by its heading; what comes before the first has none."""
    found, now = {"": Counter()}, ""
    for cell in json.loads((BOOK / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]:
        text, about = "".join(cell["source"]), cell["metadata"]
        if cell["cell_type"] == "code":
            lines = [line.strip() for line in text.splitlines() if "hide-input" not in about.get("tags", [])]
            found[now]["code lines"] += sum(line != "" and not line.startswith(("#", '"""')) for line in lines)
            found[now]["figures"] += "figure" in about.get("mystnb", {})
            continue
        for piece in re.split(r"^(?=## )", text, flags=re.MULTILINE):
            if piece.startswith("## "):
                now = piece.splitlines()[0].removeprefix("## ")
            found[now] = found.get(now, Counter()) + counted(piece)
    return found


def part(name: str, which: str) -> Counter:
    """What a part of a page holds."""
    found = sections(name)
    names, (how, _, heading) = list(found), which.partition(" ")
    core = names[: next((i for i, one in enumerate(names) if one.startswith(BEYOND)), None)]
    chosen = {"core": core, "exercises": ["Exercises"]}.get(which, [which])
    if which == "further":
        chosen = [one for one in names if one.startswith("Further: ")]
    elif how in ("to", "from"):
        at = core.index(heading)
        chosen = core[:at] if how == "to" else core[at:]
    return sum((found[one] for one in chosen), Counter())


def minutes(parts: str) -> int:
    """For parts of pages together, rounded up to five minutes."""
    holds = sum((part(*one.strip().split(" ", 1)) for one in parts.split(";")), Counter())
    return 5 * math.ceil(sum(MINUTES[kind] * count for kind, count in holds.items()) / 5)


class Minutes(SphinxRole):
    """A number of minutes."""

    def run(self) -> tuple[list[nodes.Node], list]:
        for one in self.text.split(";"):
            self.env.note_dependency(str(BOOK / f"{one.split()[0]}.ipynb"))
        return [nodes.Text(str(minutes(self.text)))], []


class ReadingTime(SphinxRole):
    """The sentence at the head of a page, which leads to how it is counted."""

    def run(self) -> tuple[list[nodes.Node], list]:
        core, further, tries = (minutes(f"{self.text} {which}") for which in ("core", "further", "exercises"))
        text = f"This page takes about {core} minutes to read, trying the exercises {tries}: "
        if further:
            text = f"The core, up to the summary, takes about {core} minutes to read. What is marked further can wait, "
            text += f"and takes {further}; trying the exercises takes {tries}: "
        where = {"refdomain": "std", "reftype": "ref", "reftarget": "reading-times", "refexplicit": True}
        link = pending_xref("", nodes.inline("", "counted"), refdoc=self.env.docname, **where)
        return [nodes.Text(text), link, nodes.Text(", not measured with readers.")], []


def setup(app: Sphinx) -> None:
    app.add_role("minutes", Minutes())
    app.add_role("reading-time", ReadingTime())
