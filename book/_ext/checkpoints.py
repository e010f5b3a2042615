"""Questions that check themselves: `{checkpoint} NAME` shows those of a page, from `checkpoints.yml`.

Whoever chooses an answer reads at once why it is right or wrong. A page needs no script for it: the styles show what
belongs to the answer that is chosen.
"""

import html
import re
from pathlib import Path

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FILE = Path(__file__).resolve().parent.parent / "checkpoints.yml"


def written(text: str) -> str:
    """Text as HTML, with `$...$` for MathJax, `*...*` for emphasis, and the apostrophes of the pages' prose."""
    parts = re.split(r"\$(.+?)\$", text)
    words = [re.sub(r"\*(.+?)\*", r"<em>\1</em>", html.escape(part, quote=False)) for part in parts[::2]]
    formulas = [html.escape(part, quote=False) for part in parts[1::2]]
    spans = [f'<span class="math notranslate nohighlight">\\({formula}\\)</span>' for formula in formulas]
    return "".join(word.replace("'", "\u2019") + span for word, span in zip(words, [*spans, ""], strict=True))


def question(name: str, number: int, ask: str, answers: list[dict]) -> str:
    """One question as HTML. Answers are turned round by its number, so that the right one has no usual place."""
    turn = number % len(answers)
    options, told = [], []
    for i, answer in enumerate(answers[turn:] + answers[:turn]):
        mark, verdict = ("right", "Right.") if answer.get("right") else ("wrong", "Not quite.")
        says, why = written(answer["says"]), written(answer["why"])
        key = f"checkpoint-{name}-{number}"
        options.append(f'<label><input type="radio" name="{key}" value="{i}"><span>{says}</span></label>')
        told.append(f'<p class="{mark} why-{i}"><b>{verdict}</b> {why}</p>')
    shown = "".join(options) + f'<div aria-live="polite">{"".join(told)}</div>'
    return f'<fieldset class="checkpoint"><legend>{written(ask)}</legend>{shown}</fieldset>'


def shown(name: str) -> str:
    """All questions of a page."""
    asked = yaml.safe_load(FILE.read_text(encoding="utf-8"))[name]
    found = [question(name, number, one["ask"], one["answers"]) for number, one in enumerate(asked)]
    return f'<section class="checkpoints" aria-label="Check yourself">{"".join(found)}</section>'


class Checkpoint(SphinxDirective):
    """The questions of the page that its argument names."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(FILE))
        return [nodes.raw("", shown(self.arguments[0]), format="html")]


def setup(app: Sphinx) -> None:
    app.add_directive("checkpoint", Checkpoint)
