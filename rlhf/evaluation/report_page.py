"""One self-contained HTML page: sections of text, tables and SVG plots, and a searchable table of samples.

The page opens offline: no script, font or image comes from elsewhere. All text is escaped; samples travel as JSON and
are put on the page as text, never as markup.
"""

import json
from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple


class Table(NamedTuple):
    """Rows of cells under columns; the first cell of a row is its name. `strong` rows are set apart.

    The first `text_columns` columns hold words, the others numbers.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    strong: Sequence[int] = ()
    text_columns: int = 1


class Plots(NamedTuple):
    """SVG elements side by side where there is room; each is markup of our own."""

    svgs: Sequence[str]


class Section(NamedTuple):
    title: str
    text: str
    blocks: Sequence[Table | Plots]


def page(
    title: str, headline: str, lead: Sequence[str], sections: Sequence[Section], samples: dict[str, Any] | None = None
) -> str:
    """Return the whole page. `samples` is what the script at its end expects, see `rlhf.evaluation.report`; or there is none."""
    links = "".join(f'<a href="#{_anchor(section.title)}">{escape(section.title)}</a>' for section in sections)
    links += '<a href="#samples">Samples</a>' if samples else ""
    return "".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><main>\n",
            f'<header><p class="kicker">{escape(title)}</p><h1>{escape(headline)}</h1>',
            *(f"<p>{escape(paragraph)}</p>" for paragraph in lead),
            f"<nav>{links}</nav></header>\n",
            *(_section(section) for section in sections),
            SAMPLES if samples else "",
            "</main>\n",
            _script(samples) if samples else "",
            "</body></html>\n",
        ]
    )


def _script(samples: dict[str, Any]) -> str:
    """Return the samples and the script that shows them."""
    data = json.dumps(samples, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    data = data.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")  # no text can end the script
    return f'<script type="application/json" id="data">{data}</script>\n<script>{SCRIPT}</script>'


def _section(section: Section) -> str:
    blocks = "".join(_table(block) if isinstance(block, Table) else _plots(block) for block in section.blocks)
    text = f"<p>{escape(section.text)}</p>" if section.text else ""
    return f'<section id="{_anchor(section.title)}"><h2>{escape(section.title)}</h2>{text}{blocks}</section>\n'


def _table(table: Table) -> str:
    head = "".join(_cell("th", 'scope="col"', cell, index, table) for index, cell in enumerate(table.columns))
    rows = []
    for number, (name, *cells) in enumerate(table.rows):
        row = _cell("th", 'scope="row"', name, 0, table)
        row += "".join(_cell("td", "", cell, index, table) for index, cell in enumerate(cells, start=1))
        rows.append(f'<tr class="strong">{row}</tr>' if number in table.strong else f"<tr>{row}</tr>")
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
    body = "\n".join(rows)
    return f'<div class="wide"><table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(tag: str, scope: str, text: str, column: int, table: Table) -> str:
    words = ' class="text"' if column < table.text_columns else ""
    return f"<{tag}{f' {scope}' if scope else ''}{words}>{escape(text)}</{tag}>"


def _plots(plots: Plots) -> str:
    return f'<div class="plots">{"".join(f"<figure>{svg}</figure>" for svg in plots.svgs)}</div>'


def _anchor(title: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in title.lower())


STYLE = """
:root{--ink:#1f2933;--muted:#5c6874;--line:#e3e8ee;--paper:#fff;--ground:#f5f7f9;--accent:#0f766e;--bad:#b4442c}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);
  font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Noto Sans CJK SC",sans-serif}
main{max-width:1120px;margin:0 auto;padding:24px 20px 80px}
header{padding:16px 4px 4px}
.kicker{margin:0;color:var(--accent);font-weight:600;letter-spacing:.02em}
h1{font-size:clamp(1.5rem,3.4vw,2.2rem);line-height:1.2;margin:.3em 0 .5em;max-width:30em}
h2{font-size:1.25rem;margin:0 0 .4em}
header p,section>p{max-width:52em;margin:.4em 0 .8em}
nav{display:flex;flex-wrap:wrap;gap:6px 8px;margin:18px 0 6px}
nav a{color:var(--ink);text-decoration:none;border:1px solid var(--line);
  background:var(--paper);border-radius:999px;padding:3px 12px;font-size:.9rem}
nav a:hover{border-color:var(--accent);color:var(--accent)}
section{background:var(--paper);border:1px solid var(--line);border-radius:12px;padding:20px 22px;margin:18px 0}
.wide{overflow-x:auto;margin:12px 0}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding:6px 0}
th,td{padding:6px 11px 6px 0;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap;vertical-align:top}
th[scope=row]{font-weight:400}

thead th{color:var(--muted);font-weight:600;border-bottom:2px solid var(--line);
  white-space:normal;vertical-align:bottom}
th.text,td.text{text-align:left;padding-right:22px}
tr.strong th,tr.strong td{font-weight:650}
.plots{display:flex;flex-wrap:wrap;gap:18px}
figure{margin:6px 0;flex:1 1 420px;min-width:0;max-width:840px}
figure svg{width:100%;height:auto;display:block}
.controls{display:flex;flex-wrap:wrap;gap:8px;margin:10px 0}
input,select,button{font:inherit;font-size:.9rem;padding:6px 10px;border:1px solid #c9d1da;
  border-radius:8px;background:var(--paper);color:var(--ink)}
input[type=search]{flex:1 1 240px}
button{cursor:pointer}button:disabled{opacity:.4;cursor:default}
details.which{font-size:.9rem;margin:6px 0}details.which label{display:inline-block;margin:2px 14px 2px 0}
.card{border-top:1px solid var(--line);padding:14px 0}
.tags{color:var(--muted);font-size:.8rem;margin-bottom:4px}
.turn{margin:2px 0;white-space:pre-wrap;overflow-wrap:anywhere}
.turn b{color:var(--muted);font-weight:600;font-size:.85rem}
.answers{display:grid;grid-template-columns:repeat(auto-fill,minmax(195px,1fr));gap:10px;margin-top:10px}
.answer{background:var(--ground);border-radius:8px;padding:8px 10px;border-left:3px solid var(--line)}
.answer.best{border-left-color:var(--accent)}
.answer h3{display:flex;justify-content:space-between;gap:8px;margin:0 0 4px;
  font-size:.8rem;color:var(--muted);font-weight:600}
.answer p{margin:0;white-space:pre-wrap;overflow-wrap:anywhere;font-size:.92rem}
.answer small{color:var(--muted)}.answer em{color:var(--bad)}
.pager{display:flex;gap:10px;align-items:center;margin-top:12px}
@media print{nav,.controls,.pager{display:none}body{background:#fff}section{break-inside:avoid}}
"""

SAMPLES = """<section id="samples"><h2>Samples</h2><p id="order"></p>
<div class="controls"><input type="search" id="search" placeholder="Search prompts and answers" aria-label="Search">
<select id="part" aria-label="Category, language, kind"></select>
<select id="result" aria-label="Who wins"></select></div>
<details class="which"><summary>Policies shown</summary><div id="which"></div></details>
<div id="cards"><noscript>Searching needs JavaScript; samples.md holds a random draw as text.</noscript></div>
<div class="pager"><button id="back">Previous</button>
<span id="count" role="status"></span><button id="next">Next</button></div>
</section>
"""

SCRIPT = """
"use strict";
const data = JSON.parse(document.getElementById("data").textContent), find = id => document.getElementById(id);
const PAGE = 15, shown = new Set(data.shown);
let start = 0;
function make(tag, name, text) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text !== undefined) node.textContent = text;
  return node;
}
function option(select, value, text) { const node = make("option", "", text); node.value = value; select.append(node); }
option(find("part"), "", "All prompts");
for (const part of data.parts) option(find("part"), part, part);
option(find("result"), "", "Any result");
for (const [value, text] of [["1", "PPO beats SFT (greedy)"], ["0", "SFT beats PPO (greedy)"], ["0.5", "tie (greedy)"]])
  option(find("result"), value, text);
find("order").textContent = data.order;
data.policies.forEach((name, index) => {
  const label = make("label"), box = make("input");
  box.type = "checkbox"; box.checked = shown.has(index);
  box.addEventListener("change", () => { box.checked ? shown.add(index) : shown.delete(index); show(); });
  label.append(box, " " + name); find("which").append(label);
});
for (const row of data.rows)
  row.text = [row.id, ...row.turns.map(t => t[1]), ...row.answers.map(a => a.text)].join("\\n").toLowerCase();
function matching() {
  const words = find("search").value.toLowerCase().split(/\\s+/).filter(Boolean);
  const part = find("part").value, result = find("result").value;
  return data.rows.filter(row => words.every(word => row.text.includes(word)) &&
    (!part || row.parts.includes(part)) && (!result || String(row.result) === result));
}
function card(row) {
  const node = make("article", "card");
  node.append(make("div", "tags", row.id + "  ·  " + row.parts.map(part => part.split(": ")[1]).join("  ·  ")));
  for (const [role, text] of row.turns) {
    const turn = make("div", "turn"); turn.append(make("b", "", role + "  "), text); node.append(turn);
  }
  const answers = make("div", "answers"), visible = [...shown].sort((a, b) => a - b);
  const best = Math.max(...visible.map(index => row.answers[index].score));
  for (const index of visible) {
    const answer = row.answers[index], box = make("div", answer.score === best ? "answer best" : "answer");
    const head = make("h3");
    head.append(make("span", "", data.policies[index]), make("span", "", answer.scores)); box.append(head);
    box.append(answer.text ? make("p", "", answer.text) : make("em", "", "(empty)"));
    if (!answer.finished) box.append(make("small", "", "cut off at the token limit"));
    answers.append(box);
  }
  node.append(answers);
  return node;
}
function show() {
  const rows = matching(), last = Math.min(start + PAGE, rows.length);
  find("cards").replaceChildren(...rows.slice(start, last).map(card));
  find("count").textContent = rows.length ? `${start + 1}–${last} of ${rows.length} prompts` : "no prompt matches";
  find("back").disabled = start === 0; find("next").disabled = last >= rows.length;
}
for (const id of ["search", "part", "result"]) find(id).addEventListener("input", () => { start = 0; show(); });
find("back").addEventListener("click", () => { start -= PAGE; show(); find("samples").scrollIntoView(); });
find("next").addEventListener("click", () => { start += PAGE; show(); find("samples").scrollIntoView(); });
show();
"""
