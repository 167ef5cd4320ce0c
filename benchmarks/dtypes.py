"""Is what PPO learns in bfloat16 worse than in float32? Gold after PPO, three seeds, same start, prompts and draws.

python -m benchmarks.dtypes [--seeds 17 18 19]      after `make run` on an embedded preset

PPO runs from data/sft and data/reward_model/r1 with params.yaml's settings, once in each dtype a seed; both policies
answer the validation prompts in float32, sampled at temperature 1 and greedy. Writes metrics/dtypes.json.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy

from rlhf.evaluation import statistics
from rlhf.models import placement
from rlhf.params.base import load
from rlhf.params.ppo import PpoInputs
from rlhf.records import records
from rlhf.records.types import Prompt
from rlhf.rl.loop_state import Data
from rlhf.runtime import seeds
from rlhf.runtime.files import write_text
from rlhf.sampling import rollouts
from rlhf.world.grading import gold
from stages import ppo

OUT = Path("metrics/dtypes.json")
DTYPES = ("float32", "bfloat16")
TEMPERATURES = {"sampled": 1.0, "greedy": 0.0}


def gold_after_ppo(dtype: str, seed: int) -> dict[str, list[float]]:
    """Return gold of each validation prompt's answer, {decoding: [B]}."""
    params = load(Path("."), PpoInputs)
    low = params.model_copy(update={"runtime": params.runtime.model_copy(update={"dtype": dtype})})
    placement.prepare(low.runtime, seed)
    source = Path("data/collect_prompts")
    models = ppo.assemble(Path("data/sft"), Path("data/reward_model/r1"), low, seed)
    prompts = ppo.tokenised(models.tokenizer, records.read(source / "prompts.ppo.jsonl", Prompt), low.ppo)
    for _ in ppo.train(models, Data(prompts, None), low.ppo, low.runtime, seed):
        pass
    asked = list(records.read(source / "prompts.validation.jsonl", Prompt))
    found = {}
    for name, temperature in TEMPERATURES.items():
        dialogues, row_ids = [record["messages"] for record in asked], [record["id"] for record in asked]
        sampling = rollouts.Sampling(temperature, low.ppo.max_completion_tokens, seeds.derive(seed, "answers"), 256)
        answers = rollouts.respond(models.policy, models.tokenizer, dialogues, row_ids, sampling)
        found[name] = [gold.score(record["task"], one.text).score for record, one in zip(asked, answers, strict=True)]
    return found


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[17, 18, 19])
    result: dict[str, Any] = {}
    for seed in parser.parse_args(arguments).seeds:
        exact, low = (gold_after_ppo(dtype, seed) for dtype in DTYPES)
        entry = {}
        for name in TEMPERATURES:
            difference = numpy.array(low[name]) - numpy.array(exact[name])
            interval = statistics.mean_interval(difference, statistics.Bootstrap(2000, 0.95, seed))
            means = {dtype: float(numpy.mean(one[name])) for dtype, one in zip(DTYPES, (exact, low), strict=True)}
            entry[name] = means | {"difference": list(map(float, interval))}
        result[str(seed)] = entry
        print(seed, json.dumps(entry), flush=True)
    write_text(OUT, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
