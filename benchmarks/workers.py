"""Updates a second of pretraining at the size of params.yaml, by threads and workers.

python -m benchmarks.workers [--repetitions 5] [--updates 30]

Every setting runs in a process of its own, all of them in turn, several times: median, spread and ratio in one run.
"""

import argparse
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from statistics import median

SETTINGS = ((1, 1), (2, 1), (2, 2))  # (runtime.threads, runtime.workers)
WARM_UP = 5  # updates before the clock starts


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--updates", type=int, default=30)
    parser.add_argument("--only", type=int, nargs=2, metavar=("THREADS", "WORKERS"), help="measure this setting here")
    chosen = parser.parse_args(arguments)
    if chosen.only:
        print(updates_per_second(*chosen.only, chosen.updates))
        return
    rates: dict[tuple[int, int], list[float]] = {setting: [] for setting in SETTINGS}
    for _ in range(chosen.repetitions):
        for threads, workers in SETTINGS:
            only = ["--only", str(threads), str(workers), "--updates", str(chosen.updates)]
            command = [sys.executable, "-m", "benchmarks.workers", *only]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            rates[threads, workers].append(float(done.stdout.split()[-1]))
    print("| threads | workers | updates a second, median (lowest to highest) | ratio |\n| --- | --- | --- | --- |")
    first = median(rates[SETTINGS[0]])
    for (threads, workers), found in rates.items():
        row = f"{median(found):.1f} ({min(found):.1f}-{max(found):.1f}) | {median(found) / first:.2f}"
        print(f"| {threads} | {workers} | {row} |")


def updates_per_second(threads: int, workers: int, num_updates: int) -> float:
    """Return the rate of pretraining updates on random tokens in this process, with params.yaml's model and batch."""
    import torch
    from transformers import AutoModelForCausalLM

    from rlhf.models import placement, shapes
    from rlhf.params.base import load
    from rlhf.params.pretrain import PretrainInputs
    from stages import pretrain

    params = load(Path("."), PretrainInputs)
    runtime = params.runtime.model_copy(update={"threads": threads, "workers": workers})
    settings = params.pretrain.model_copy(update={"copying_steps": 0})
    placement.prepare(runtime, seed=0)
    config = shapes.config(settings.shape, settings.vocab_size, pad_id=0, eos_id=1)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=runtime.attention)
    rows = torch.randint(2, settings.vocab_size, (256, settings.sequence_tokens))
    updates = pretrain.train(model, rows, settings, runtime, seed=0)
    list(islice(updates, WARM_UP))
    started = time.perf_counter()
    list(islice(updates, num_updates))
    return num_updates / (time.perf_counter() - started)


if __name__ == "__main__":
    main(sys.argv[1:])
