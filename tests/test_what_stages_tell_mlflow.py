"""What a stage tells MLflow is what its files say: the same steps, the same numbers, the folder that it made."""

import json

import pytest

from rlhf.records import records
from rlhf.runtime.flat import flat_numbers
from stages import dpo, feedme, judge, ppo, pretrain, rejection, reward_model, sft
from tests import notebook, toys

ROUNDS = {"reward_model": "r1", "ppo": "r1"}
STAGES = {
    "pretrain": pretrain, "sft": sft, "feedme": feedme, "rejection": rejection, "dpo": dpo,
    "reward_model": reward_model, "judge": judge, "ppo": ppo,
}  # fmt: skip


@pytest.fixture
def ready(root, tokenizer, stage):
    """A root with what the stage reads, and tracking on."""
    toys.save(root / "data/pretrain", toys.policy(tokenizer, spread=0.1), tokenizer)
    policy = toys.ending_policy(tokenizer) if stage == "rejection" else toys.policy(tokenizer, seed=1, spread=0.1)
    toys.save(root / "data/sft", policy, tokenizer)
    toys.save(root / "data/reward_model/r1", toys.reward_model(tokenizer, spread=0.1), tokenizer)
    for name, count in {"train": 8, "validation": 4, "judge": 12}.items():
        records.write(root / f"data/collect_comparisons/r1/comparisons.{name}.jsonl", toys.comparisons(count))
    toys.set_param(root, "tracking.enabled", True)
    return root


@pytest.mark.parametrize("stage", STAGES)
def test_mlflow_hears_the_curve_the_metrics_and_the_model_of_the_files(ready, recorder, stage):
    round = ROUNDS.get(stage)
    place = stage if round is None else f"{stage}/{round}"
    STAGES[stage].main(ready, *([] if round is None else [round]))
    written = notebook.curve_of(ready / f"metrics/plots/{place}.csv")
    metrics = json.loads((ready / f"metrics/{place}.json").read_text())
    assert len(written) > 1
    assert recorder.curve.keys() == written.keys()
    for step, point in written.items():
        told = {name: value for name, value in recorder.curve[step].items() if name != "step"}
        assert told == pytest.approx(point, abs=1e-6), step
    assert recorder.final == pytest.approx(flat_numbers(metrics), abs=1e-6)
    assert recorder.models == [ready / "data" / place]
    assert recorder.inputs_read
    assert all(path.exists() for path in recorder.inputs_read)


@pytest.mark.parametrize("stage", STAGES)
def test_whatever_a_stage_reads_of_the_data_is_an_input_of_its_run(ready, recorder, files_read, stage):
    """What only other params read may be missing, so the files that were opened are the truth."""
    STAGES[stage].main(ready, *(["r1"] if stage in ROUNDS else []))
    notebook.check_inputs(ready, stage, recorder, files_read)
