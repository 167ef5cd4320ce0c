"""Ours beside TRL: the same work, alternating, in one run. `make bench` runs it; --help says how.

Each side is a process that waits for its turn. Both sides' settings are searched first: every candidate does the work
twice, and the fastest one is compared. Then ours and TRL take turns; a ratio is taken within each round. Results go to
metrics/benchmarks.json, metrics/plots/benchmarks.svg and docs/generated/benchmarks.md.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from matplotlib import rc_context
from matplotlib.figure import Figure

from benchmarks import work
from benchmarks.spreads import spread
from rlhf.evaluation import plots
from rlhf.runtime.files import write_text
from rlhf.runtime.markdown import Marked, markdown_table
from study import pages

OUT = Path("metrics/benchmarks.json")
PLOT = Path("metrics/plots/benchmarks.svg")
PAGE = pages.FOLDER / "benchmarks.md"
AT_MOST = {"ppo_gpt2_small": 3, "ppo_lora_gpt2_small": 3, "reward_gpt2_small": 3}  # repetitions: each takes a minute

PEER_SETTINGS: dict[str, list[dict[str, Any]]] = {  # of a case, or of all cases of a kind
    "ppo": [
        {"attn_implementation": name, "bf16": low}
        for name, low in (("eager", False), ("sdpa", False), ("eager", True), ("sdpa", True))
    ],
    "reward": [
        {"attn_implementation": name, "bf16": low, "per_device_train_batch_size": size}
        for name, low, size in (
            ("eager", False, 8), ("sdpa", False, 8), ("eager", True, 4), ("eager", True, 8), ("eager", True, 16)
        )
    ],
    "sft": [
        {"attn_implementation": name, "bf16": low, "per_device_train_batch_size": rows, "packing_strategy": strategy}
        for name, low, rows, strategy in (
            ("eager", False, 2, "wrapped"), ("eager", False, 4, "wrapped"), ("sdpa", False, 4, "wrapped"),
            ("sdpa", False, 1, "bfd"), ("eager", True, 2, "wrapped"), ("eager", True, 4, "wrapped"),
            ("sdpa", True, 4, "wrapped"),
        )
    ],
    "ppo_gpt2_small": [
        {"attn_implementation": "sdpa", "bf16": False}, {"attn_implementation": "eager", "bf16": True}
    ],
    "ppo_lora_gpt2_small": [{"attn_implementation": name, "bf16": True} for name in ("sdpa", "eager")],
    "reward_gpt2_small": [
        {"attn_implementation": name, "bf16": True, "per_device_train_batch_size": 8} for name in ("sdpa", "eager")
    ],
}  # fmt: skip
OUR_SETTINGS: dict[str, list[dict[str, Any]]] = {
    kind: [
        {"dtype": dtype, "workers": workers, size: rows}
        for dtype in ("float32", "bfloat16")
        for workers, rows in choices
    ]
    for kind, size, choices in (
        ("ppo", "micro_batch_size", ((1, 16), (2, 8), (2, 16))),
        ("reward", "micro_batch_rows", ((1, 128), (2, 128))),
        ("sft", "micro_batch_rows", ((1, 4), (1, 32), (2, 4))),
    )
} | {
    "ppo_gpt2_small": [{"dtype": "bfloat16", "workers": 1, "micro_batch_size": 16}],
    "ppo_lora_gpt2_small": [{"dtype": "bfloat16", "workers": 1, "micro_batch_size": 16}],
    "reward_gpt2_small": [{"dtype": "bfloat16", "workers": 1, "micro_batch_rows": 16}],
}


class Side:
    """A process that does one repetition whenever it is asked."""

    def __init__(self, python: str, module: str, case: str, settings: dict, environment: dict[str, str]):
        command = [python, "-m", module, case, json.dumps(settings)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, text=True, env=os.environ | environment, **pipes)
        self.name = f"{module} {case} {settings}"

    def repeat(self) -> dict[str, float]:
        """Return what the side says of one repetition; raises RuntimeError with its last words where it fails."""
        assert self.process.stdin and self.process.stdout and self.process.stderr
        try:
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        for line in self.process.stdout:
            if line.startswith('{"seconds"'):
                return json.loads(line)
        raise RuntimeError(f"{self.name} stopped:\n" + self.process.stderr.read()[-2000:])

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def peer(peers: Path, name: str, settings: dict) -> Side:
    """Return TRL's side; PPO by the older release, which lies in a folder of its own."""
    environment = {"PYTHONPATH": str(peers / "ppo")} if work.CASES[name].kind == "ppo" else {}
    return Side(str(peers / "bin/python"), "benchmarks.peers", name, settings, environment)


def ours_of(name: str, settings: dict) -> Side:
    """Return our side."""
    return Side(sys.executable, "benchmarks.ours", name, settings, {})


def search(start: Callable[[str, dict], Side], name: str, settings: dict[str, list[dict]]) -> tuple[dict, list[dict]]:
    """Return a side's fastest settings, and all tried ones with the seconds of their second repetition."""
    tried = []
    for candidate in settings.get(name, settings[work.CASES[name].kind]):
        side = start(name, candidate)
        side.repeat()
        tried.append(candidate | {"seconds": round(side.repeat()["seconds"], 3)})
        side.end()
        print(f"{name}: {side.name.split()[0]} with {tried[-1]}", flush=True)
    best = min(tried, key=lambda one: one["seconds"])
    return {key: value for key, value in best.items() if key != "seconds"}, tried


def matmul_rate(name: str) -> float:
    """Return floating-point operations a second of products of a training step's size, in this dtype, two threads."""
    torch.set_num_threads(work.THREADS)
    dtype = getattr(torch, name)
    x, weight = torch.randn(1088, 256, dtype=dtype), torch.randn(256, 1024, dtype=dtype)
    best = min(_seconds(lambda: x @ weight) for _ in range(30))
    return 2 * 1088 * 256 * 1024 / best


def _seconds(function) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def compare(peers: Path, name: str, repetitions: int) -> dict[str, Any]:
    """Return one case's entry of metrics/benchmarks.json."""
    case = work.CASES[name]
    our_settings, our_tried = search(ours_of, name, OUR_SETTINGS)
    peer_settings, peer_tried = search(partial(peer, peers), name, PEER_SETTINGS)
    ours, theirs = ours_of(name, our_settings), peer(peers, name, peer_settings)
    rounds = []
    for number in range(min(repetitions, AT_MOST.get(name, repetitions)) + 1):
        found = [side.repeat() for side in (ours, theirs)]
        if number:  # the first round warms up
            rounds.append((*found, matmul_rate(our_settings["dtype"])))
            print(f"{name}: ours {found[0]['seconds']:.2f} s, TRL {found[1]['seconds']:.2f} s", flush=True)
    ours.end()
    theirs.end()
    rates = [
        [found[place].get("amount", case.amount) / found[place]["seconds"] for found in rounds] for place in (0, 1)
    ]
    entry = {
        "unit": case.unit,
        "ours": spread(rates[0]),
        "peer": spread(rates[1]),
        "ratio": spread([one / other for one, other in zip(*rates, strict=True)]),
        "repetitions": len(rounds),
        "our_settings": our_settings,
        "our_tried": our_tried,
        "peer_settings": peer_settings,
        "peer_tried": peer_tried,
    }
    tokens = 0.0
    if case.kind == "ppo":
        mine, other, _ = rounds[-1]
        tokens = entry["completion_tokens"] = round(median(one["tokens"] for one, _, _ in rounds), 1)
        entry["peak_memory_ratio"] = round(mine["peak_bytes"] / other["peak_bytes"], 3)
        above = [side["peak_bytes"] - mine["state_bytes"] for side in (mine, other)]
        entry["peak_bytes"] = {
            "ours": mine["peak_bytes"],
            "peer": other["peak_bytes"],
            "weights_and_optimiser": mine["state_bytes"],
        }
        entry["peak_memory_above_state_ratio"] = round(above[0] / above[1], 3)
    elif all("peak_bytes" in side for side in rounds[-1][:2]):
        mine, other, _ = rounds[-1]
        entry["peak_bytes"] = {"ours": mine["peak_bytes"], "peer": other["peak_bytes"]}
        entry["peak_memory_ratio"] = round(mine["peak_bytes"] / other["peak_bytes"], 3)
    operations = work.operations(case, tokens)
    entry["matmul"] = {"operations": operations, "rate": median(rate for _, _, rate in rounds), "fraction": {}}
    for phase in ("rollout", "update"):
        seconds = [one.get("phases", {"update": one["seconds"]}).get(phase) for one, _, _ in rounds]
        if all(seconds):
            shares = [operations[phase] / one / rate for one, (*_, rate) in zip(seconds, rounds, strict=True)]
            entry["matmul"]["fraction"][phase] = spread(shares)
    return entry


def page(entries: dict[str, dict]) -> str:
    """Return docs/generated/benchmarks.md."""
    return pages.page("Ours beside TRL", "make bench", OUT, table(entries))


def table(entries: dict[str, dict]) -> str:
    """Return the ratios as Markdown, one line a case."""
    titles = ("work", "ours", "TRL at its best", "ratio", "of the product rate: rollout, update", "our settings; TRL's")
    rows = []
    for name, entry in entries.items():
        chosen = "; ".join(
            ", ".join(f"{key} {value}" for key, value in entry[side].items())
            for side in ("our_settings", "peer_settings")
        )
        cells = ["{} ({} to {})".format(*map(_short, entry[side].values())) for side in ("ours", "peer")]
        ratio = Marked("**{median:.2f}** ({low:.2f} to {high:.2f})".format(**entry["ratio"]))
        shares = ", ".join(f"{share['median']:.0%}" for share in entry["matmul"]["fraction"].values())
        rows.append([Marked(f"`{name}`, {entry['unit']}"), *cells, ratio, shares, chosen])
    return markdown_table(titles, rows) + "\n"


def _short(number: float) -> str:
    """Return three digits, or whole numbers."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def plot(entries: dict[str, dict]) -> Figure:
    """Return the ratios as bars with their spread; 1 is TRL."""
    figure = Figure(figsize=(7, 0.6 * len(entries) + 1), layout="constrained")
    axes = figure.add_subplot()
    ratios = [entry["ratio"] for entry in entries.values()]
    errors = [[one["median"] - one["low"] for one in ratios], [one["high"] - one["median"] for one in ratios]]
    axes.barh(list(entries), [one["median"] for one in ratios], xerr=errors, color=plots.COLOURS[0], capsize=3)
    axes.axvline(1, color=plots.INK, linewidth=1)
    axes.invert_yaxis()
    axes.set_xlabel("work a second, ours / TRL at its best (median, lowest and highest round)")
    return figure


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, required=True, help="folder of TRL's virtual environment")
    parser.add_argument("--cases", nargs="+", choices=list(work.CASES), default=list(work.CASES))
    parser.add_argument("--repetitions", type=int, default=5)
    chosen = parser.parse_args(arguments)
    entries = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() else {}
    for name in chosen.cases:
        entries[name] = compare(chosen.peers.absolute(), name, chosen.repetitions)
        entries = {known: entries[known] for known in work.CASES if known in entries}
        write_text(OUT, json.dumps(entries, indent=1) + "\n")  # what was measured stays if a later case fails
    PLOT.parent.mkdir(parents=True, exist_ok=True)
    with rc_context({**plots.STYLE, "svg.hashsalt": "benchmarks"}):
        plot(entries).savefig(PLOT, metadata={"Date": None})
    write_text(PAGE, page(entries))
    print(table(entries))


if __name__ == "__main__":
    main(sys.argv[1:])
