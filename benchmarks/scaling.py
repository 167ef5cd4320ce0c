"""How our cost grows: rollouts with answer length and batch, memory with vocabulary, PPO updates with inner epochs.

python -m benchmarks.scaling      (or make bench-full, which runs the comparison too)

Every point is a process of its own, all points in turn, several times: median, lowest and highest. Writes
metrics/plots/scaling.csv and metrics/plots/scaling.svg.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import pandas
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure

from benchmarks import ours, work
from rlhf.engine import logprobs
from rlhf.evaluation import plots
from rlhf.models import placement
from rlhf.sampling import rollouts
from rlhf.tokens import batching

FOLDER = Path("metrics/plots")
CASE = work.CASES["ppo_fixed_length"]
SETTINGS = {"dtype": "float32", "workers": 1, "micro_batch_size": 16}
CURVES = {  # what is turned, its values, and what is measured
    "answer_tokens": ([16, 32, 64, 128], "seconds of a rollout of 64 prompts"),
    "batch": ([16, 32, 64, 128], "seconds of a rollout of 48 tokens"),
    "vocabulary": ([2048, 8192, 32768, 131072], "peak MiB of a training step above weights and their gradients"),
    "inner_epochs": ([1, 2, 4, 8], "seconds of a PPO iteration of 64 episodes"),
}


def rollout(answer_tokens: int, batch: int) -> float:
    """Return the seconds of one rollout after a first one that warms up."""
    made = ours.runtime(SETTINGS)
    model = placement.placed(work.policy(CASE, "eager"), made).eval()
    prompts = batching.pad(work.prompts(CASE._replace(prompts=batch)), work.PAD, "left")
    draws = rollouts.uniforms(0, [str(row) for row in range(batch)], answer_tokens)
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        rollouts.complete(model, prompts, draws, 1.0, rollouts.Ends((work.EOS,), work.PAD))
        seconds.append(time.perf_counter() - began)
    return seconds[-1]


def step_memory(vocabulary: int) -> float:
    """Return the MiB that 1,024 tokens' log-probabilities and their gradient take beyond the head's own."""
    ours.runtime(SETTINGS)
    head, hidden = torch.nn.Linear(64, vocabulary, bias=False), torch.randn(1024, 64, requires_grad=True)
    head.weight.grad = torch.zeros_like(head.weight)  # what stays, so that it is not counted
    before = ours.peak_bytes() + head.weight.nbytes  # and the gradient of one step beside the sum
    logprobs.of_hidden(hidden, head, torch.randint(vocabulary, (1024,))).sum().backward()
    return max(0, ours.peak_bytes() - before) / 2**20


def iteration(inner_epochs: int) -> float:
    """Return the seconds of the second PPO iteration."""
    seconds = []
    for _ in ours.ppo_iterations(CASE, SETTINGS, inner_epochs):
        seconds.append(time.perf_counter())
        if len(seconds) == 3:
            return seconds[2] - seconds[1]
    raise AssertionError("PPO goes on for ever")


MEASURES = {
    "answer_tokens": lambda value: rollout(value, CASE.prompts),
    "batch": lambda value: rollout(work.NEW_TOKENS, value),
    "vocabulary": step_memory,
    "inner_epochs": iteration,
}


def measured(name: str, value: int) -> float:
    """Return one point, from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.scaling", "--only", name, str(value)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def plot(points: pandas.DataFrame) -> Figure:
    """Return a panel for each curve, median with lowest and highest."""
    figure = Figure(figsize=(9, 5.6), layout="constrained")
    for axes, (name, (_, label)) in zip(figure.subplots(2, 2).flat, CURVES.items(), strict=True):
        curve = points[points["curve"] == name]
        errors = [curve["median"] - curve["low"], curve["high"] - curve["median"]]
        axes.errorbar(curve["value"], curve["median"], yerr=errors, marker="o", capsize=3, color=plots.COLOURS[0])
        axes.set_xscale("log", base=2)
        axes.set_xticks(curve["value"], [f"{value:,}" for value in curve["value"]])
        axes.set_ylim(bottom=0)
        axes.set_xlabel(name.replace("_", " "))
        axes.set_title(label, fontsize="small")
        axes.minorticks_off()
        axes.grid(color=plots.GRID)
    return figure


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--curves", nargs="+", choices=list(CURVES), default=list(CURVES), help="the others stay")
    parser.add_argument("--only", nargs=2, metavar=("CURVE", "VALUE"), help="measure this point here")
    chosen = parser.parse_args(arguments)
    if chosen.only:
        print(json.dumps(MEASURES[chosen.only[0]](int(chosen.only[1]))))
        return
    wanted = [(name, value) for name in chosen.curves for value in CURVES[name][0]]
    found: dict[tuple[str, int], list[float]] = {point: [] for point in wanted}
    for _ in range(chosen.repetitions):
        for name, value in wanted:
            found[name, value].append(measured(name, value))
            print(f"{name} {value}: {found[name, value][-1]:.3g}", flush=True)
    rows = [
        {"curve": name, "value": value, "median": median(values), "low": min(values), "high": max(values)}
        for (name, value), values in found.items()
    ]
    points, file = pandas.DataFrame(rows), FOLDER / "scaling.csv"
    if file.exists():
        known = pandas.read_csv(file)
        points = pandas.concat([points, known[~known["curve"].isin(chosen.curves)]])
    points["order"] = points["curve"].map(list(CURVES).index)
    points = points.sort_values(["order", "value"]).drop(columns="order")
    FOLDER.mkdir(parents=True, exist_ok=True)
    points.to_csv(file, index=False, float_format="%.6g")
    with rc_context({**plots.STYLE, "svg.hashsalt": "scaling"}):
        plot(points).savefig(FOLDER / "scaling.svg", metadata={"Date": None})


if __name__ == "__main__":
    main(sys.argv[1:])
