"""Benchmarks run; what they measure is no test's business."""

import io
import json
from functools import partial

import pytest

from benchmarks import compare, data_scale, ours, start, synthetic_rows, work, workers
from rlhf.runtime import parallel


def test_the_workers_benchmark_measures_a_setting(root, monkeypatch):
    monkeypatch.chdir(root)
    assert workers.updates_per_second(threads=2, workers=2, num_updates=1) > 0


def test_the_workers_benchmark_prints_a_row_for_every_setting(monkeypatch, capsys):
    def answer(command, **_):
        threads, count = command[command.index("--only") + 1 :][:2]
        return workers.subprocess.CompletedProcess(command, 0, stdout=f"{float(threads) * float(count)}\n")

    monkeypatch.setattr(workers.subprocess, "run", answer)
    workers.main(["--repetitions", "3"])
    rows = capsys.readouterr().out.strip().splitlines()[2:]
    assert rows == [
        "| 1 | 1 | 1.0 (1.0-1.0) | 1.00 |",
        "| 2 | 1 | 2.0 (2.0-2.0) | 2.00 |",
        "| 2 | 2 | 4.0 (4.0-4.0) | 4.00 |",
    ]


@pytest.mark.process
def test_the_start_benchmark_counts_a_processs_own_work_and_names_what_failed(tmp_path):
    busy = "import time\nwhile time.process_time() < 0.5: pass"
    assert start.processor_seconds(start.Case("busy", ("-c", busy), tmp_path)) > 0.4  # the system counts in ticks
    with pytest.raises(ValueError, match="broken failed"):
        start.processor_seconds(start.Case("broken", ("-c", "1 / 0"), tmp_path))


def test_the_start_benchmark_puts_two_checkouts_side_by_side():
    seconds = {"floor": {"here": [1.0, 3.0, 2.0]}, "stage": {"here": [1.0, 1.0, 4.0], "before": [2.0, 2.5, 2.0]}}
    assert start.table(seconds).splitlines() == [
        "| processor seconds | here | before | first over second |",
        "| --- | --- | --- | --- |",
        "| floor | 2.00 (1.00-3.00) |  |  |",
        "| stage | 1.00 (1.00-4.00) | 2.00 (2.00-2.50) | 0.50 |",
    ]
    assert start.table({"stage": {"here": [1.0]}}).splitlines()[0] == "| processor seconds | here |"


@pytest.mark.parametrize("name", ["ppo_with_eos", "ppo_lora_gpt2_small", "reward_k4", "sft"])
@pytest.mark.parametrize("choice", [0, -1], ids=["first settings", "last settings"])
def test_our_side_does_a_repetition_when_asked(name, choice, monkeypatch, capsys, request):
    request.addfinalizer(partial(parallel.set_workers, 1))
    settings = compare.OUR_SETTINGS[work.CASES[name].kind][choice]
    monkeypatch.setattr(work, "THREADS", settings["workers"])  # two threads of a worker spin where cores are taken
    small = work.CASES[name]._replace(layers=1, width=16, heads=2, vocab=64, prompts=4)
    monkeypatch.setattr("sys.stdin", io.StringIO("go\n" * 2))
    monkeypatch.setattr(work, "SFT_EXAMPLES", 32)
    side = {"ppo": ours.run_ppo, "reward": ours.run_reward, "sft": ours.run_sft}[small.kind]
    with pytest.raises(SystemExit):
        side(small, settings)
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(said) == 2
    assert all(one["seconds"] > 0 for one in said)


def test_answers_end_after_sixteen_tokens_on_average_or_never():
    import torch

    for name, low, high in (("ppo_with_eos", 1 / 20, 1 / 14), ("ppo_fixed_length", 0.0, 1e-6)):
        case = work.CASES[name]
        ids = torch.tensor([row[:8] for row in work.prompts(case)])
        with torch.no_grad():
            p = work.policy(case, "eager")(input_ids=ids).logits[:, -1].softmax(-1)
        assert low <= p[:, work.EOS].mean().item() <= high
        assert p[:, work.PAD].max().item() < 1e-6


def test_the_lengths_are_those_that_the_docs_name():
    sizes = [len(row) for row in work.prompts(work.CASES["ppo_fixed_length"])]
    assert (min(sizes) >= 8, max(sizes) <= 32) == (True, True)
    dialogues = work.dialogues(work.CASES["sft"])
    assert 75 <= sum(len(ids) for ids, _ in dialogues) / len(dialogues) <= 90
    groups = work.ranked(work.CASES["reward_k9"])
    assert {len(answers) for _, answers in groups} == {9}


def test_operations_are_counted_as_by_hand():
    case = work.CASES["ppo_fixed_length"]._replace(layers=1, width=2, vocab=10, prompts=1)
    prompt = len(work.prompts(case)[0])
    one_token = 2 * 12 * 4  # all products of the only layer, at the two completion tokens
    body = 2 * one_token + prompt * 2 * 2 * 4  # and keys and values of the prompt
    head = 2 * 2 * 10 * 2
    expected = {"rollout": body + head, "scoring": 4 * body + 2 * head, "update": 3 * 4 * (2 * body + head)}
    assert work.operations(case, 2.0) == expected


def test_operations_of_training_are_counted_as_by_hand(monkeypatch):
    monkeypatch.setattr(work, "dialogues", lambda case: [([5] * 7, 4)])
    monkeypatch.setattr(work, "ranked", lambda case: [([5] * 6, [[5] * 3, [5] * 2])])
    small = {"layers": 2, "width": 2, "vocab": 10}
    whole, keys_and_values = 2 * 12 * 4, 2 * 2 * 4  # a layer's products for a token
    sft = 6 * whole + 3 * whole + 3 * keys_and_values + 3 * 2 * 2 * 10  # 6 tokens are read, 3 predict
    assert work.operations(work.CASES["sft"]._replace(**small)) == {"update": 3 * sft}
    reward = 11 * whole + 2 * whole + 9 * keys_and_values  # the prompt once; scalars at two ends
    assert work.operations(work.CASES["reward_k4"]._replace(**small, prompts=1, answers=2)) == {"update": 3 * reward}


def test_the_table_and_the_plot_show_every_entry():
    spread = {"median": 3.0, "low": 2.5, "high": 3.5}
    entry = {"unit": "pairs/s", "ours": spread, "peer": spread, "ratio": spread, "peer_settings": {"bf16": False}}
    entry["our_settings"] = {"dtype": "bfloat16"}
    entry["matmul"] = {"fraction": {"rollout": {"median": 0.25}, "update": {"median": 0.5}}}
    shown = compare.table({"reward_k4": entry, "sft": entry})
    assert shown.count("| **3.00** (2.50 to 3.50) | 25%, 50% |") == 2
    assert "| dtype bfloat16; bf16 False |" in shown
    assert [label.get_text() for label in compare.plot({"sft": entry}).axes[0].get_yticklabels()] == ["sft"]
    assert compare.page({"sft": entry}).startswith("*Written by `make bench`")


def test_a_side_that_fails_shows_its_last_words():
    side = compare.Side("python", "benchmarks.ours", "no_such_case", {}, {})
    with pytest.raises(RuntimeError, match="no_such_case"):
        side.repeat()


@pytest.mark.process
def test_the_data_benchmark_runs_two_checkouts_on_the_same_rows(tmp_path):
    out = tmp_path / "figures.json"
    data_scale.main(["--rows", "400", "--beside", str(data_scale.ROOT), "--rounds", "2", "--out", str(out)])
    found = json.loads(out.read_text())
    assert (found["rows"], found["former"]["rows"], found["kept_here_less_former"]) == (400, 400, 0)
    assert found["kept"] + sum(found["dropped"].values()) == 400
    assert 0 < found["ratio_to_former"]["low"] <= found["ratio_to_former"]["median"] <= found["ratio_to_former"]["high"]
    assert found["peak_mb"] > 10


def test_the_synthetic_rows_are_the_same_each_time_and_a_longer_file_begins_as_a_shorter_one(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic_rows, "PART", 150)
    for name, rows in (("a", 300), ("b", 300), ("c", 450)):
        synthetic_rows.write(tmp_path / name, rows)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "c").read_bytes().startswith((tmp_path / "a").read_bytes())
    assert 800 < (tmp_path / "a").stat().st_size / 300 < 1300
