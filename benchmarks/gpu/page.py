"""docs/generated/gpu.md, of what metrics/gpu.json holds; a row that was not measured says so."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlhf.runtime.markdown import Marked, markdown_table
from study import pages

OUT = Path("metrics/gpu.json")
PAGE = pages.FOLDER / "gpu.md"
NOT_RUN = "not run"
ROLLOUTS = ("own", "static", "transformers", "vllm_colocated", "generate")
SHAPES = (("135m", "bfloat16"), ("1b", "bfloat16"), ("135m", "float32"))
PRESETS = {"laptop": "the default, on the GPU in bfloat16", "cuda": "`presets/cuda.yaml`"}


def page(found: Mapping[str, Any]) -> str:
    """Return the page; found: what the driver wrote, {} where it has not run."""
    rows: dict[str, Any] = {}
    for part in found.get("parts", {}).values():
        rows |= part["rows"]
    device = found.get("device") or "nowhere yet: no GPU was there"
    body = (
        f"Measured on: {device}. How each part ended: {_ends(found)}\n\n"
        "Rollouts of 64 prompts of 32 to 128 tokens, 128 new tokens each; the gap is between the engine's "
        "log-probabilities and the training forward pass's, nats a token. Matrix products of a training step's size "
        f"reach {_rates(rows)}.\n\n## Rollouts\n\n{_rollouts(rows)}\n## PPO\n\n"
        "An iteration: rollouts, scoring, four epochs of four minibatches.\n\n"
        f"{_ppo(rows)}\n## End to end\n\n{_pipelines(rows)}"
    )
    return pages.page("On a GPU", "make gpu", OUT, body)


def _ends(found: Mapping[str, Any]) -> str:
    told = (f"{name} {part['ended']}".replace("\n", " ") for name, part in found.get("parts", {}).items())
    return "; ".join(told) or NOT_RUN


def _rates(rows: Mapping[str, Any]) -> str:
    told = [(dtype, rows.get(f"rate/{dtype}")) for dtype in ("bfloat16", "float32")]
    return " and ".join(
        f"{one['tflops']:.3g} TFLOP/s in {dtype}" if one else f"{dtype}: {NOT_RUN}" for dtype, one in told
    )


def _cell(row: Mapping[str, Any] | None, key: str, form: str = ".3g") -> str:
    if row is None:
        return NOT_RUN
    return format(row[key], form) if key in row else str(row.get("note", ""))


def _rollouts(rows: Mapping[str, Any]) -> str:
    titles = ("model, dtype", "engine", "tokens a second", "over generate", "gap, mean", "largest", "peak GB")
    keys = (
        ("tokens_a_second", ",.0f"),
        ("over_generate", ".2f"),
        ("gap", ".2g"),
        ("gap_max", ".2g"),
        ("peak_gb", ".3g"),
    )
    table = []
    for shape, dtype in _shapes(rows, "rollouts"):
        for engine in ROLLOUTS:
            row = rows.get(f"rollouts/{shape}/{dtype}/{engine}")
            table.append([f"{shape}, {dtype}", Marked(f"`{engine}`"), *(_cell(row, key, form) for key, form in keys)])
    return markdown_table(titles, table) + "\n"


def _ppo(rows: Mapping[str, Any]) -> str:
    titles = (
        "model, dtype",
        "side",
        "tokens a second",
        "over TRL",
        "of the product rate: rollout, update",
        "gap, mean",
        "largest",
        "peak GB",
    )
    table = []
    for shape, dtype in _shapes(rows, "ppo"):
        theirs, rate = rows.get(f"ppo/{shape}/{dtype}/trl"), rows.get(f"rate/{dtype}")
        for side in ("static", "own", "trl"):
            row = rows.get(f"ppo/{shape}/{dtype}/{side}")
            over = f"{row['tokens_a_second'] / theirs['tokens_a_second']:.2f}" if row and theirs else NOT_RUN
            share = _shares(row, rate)
            told = [_cell(row, "tokens_a_second", ",.0f"), over, share, _cell(row, "gap", ".2g")]
            name = "TRL 1.12.0" if side == "trl" else Marked(f"ours, `{side}`")
            table.append([f"{shape}, {dtype}", name, *told, _cell(row, "gap_max", ".2g"), _cell(row, "peak_gb")])
    return markdown_table(titles, table) + "\n"


def _shares(row: Mapping[str, Any] | None, rate: Mapping[str, Any] | None) -> str:
    """Return how much of the rate a phase's products alone account for; TRL's phases are not told apart."""
    if row is None or rate is None:
        return NOT_RUN
    told = [row.get(f"{phase}_tflops") for phase in ("rollout", "update")]
    return ", ".join(f"{one / rate['tflops']:.1%}" for one in told if one is not None)


def _shapes(rows: Mapping[str, Any], kind: str) -> list[tuple[str, str]]:
    """Return the models and dtypes of a table: those of a GPU, and any others that were tried."""
    tried = [(name.split("/")[1], name.split("/")[2]) for name in rows if name.startswith(f"{kind}/")]
    return list(dict.fromkeys([*SHAPES, *tried]))


def _pipelines(rows: Mapping[str, Any]) -> str:
    titles = ("preset", "stages that ended in the time", "the last of them", "seconds until then")
    table = []
    for preset, title in PRESETS.items():
        row = rows.get(f"pipeline/{preset}")
        ended = f"{row['stages']} of {row['of']}" if row else NOT_RUN
        table.append([Marked(title), ended, _cell(row, "last", ""), _cell(row, "seconds", ".0f")])
    return markdown_table(titles, table) + "\n"
