"""Tuning: what may be tried, on which prompts, what a row holds, and which trial is chosen. Models are random."""

import random
import shutil
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, LlamaConfig

from rlhf.evaluation import policy_measures
from rlhf.evaluation.controls import manners
from rlhf.grading import gold
from rlhf.models.reward_head import RewardMeaning
from rlhf.params.base import ParamsError, read_yaml
from rlhf.records import records
from rlhf.sampling import rollouts
from rlhf.tokens import chat, tokenizer
from rlhf.world import grammar
from rlhf.world.answering import demonstrations
from rlhf.world.asking import tasks
from study import workspace
from study.tuning import __main__ as tuning
from study.tuning import answers, freeze, rows, runs, training, trials
from study.tuning.training import Run
from tests import toys
from tests.study.tuning.tuned import DPO, FEEDME, PPO, write_trials

SEED = 5
ARTIFACTS = ("pretrain", "sft", "feedme", "reward_model/r1")


def save(folder: Path, made, seed: int, scores: bool) -> None:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(made), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=256, pad_token_id=made.pad_token_id, eos_token_id=made.eos_token_id, num_labels=1,
        initializer_range=0.3,
    )  # fmt: skip
    if scores:
        RewardMeaning(pooling="last", likelihood_coef=0.0).write_into(config)
    kind = AutoModelForSequenceClassification if scores else AutoModelForCausalLM
    toys.save(folder, kind.from_config(config), made)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A finished run with all that trials read, and without test prompts."""
    folder, rng = tmp_path_factory.mktemp("run"), random.Random(0)
    prompts = []
    for number in range(12):
        task, messages, category = tasks.draw(rng, "seen")
        asked = {"messages": messages, "category": category, "task": task, "language": task["language"]}
        prompts.append(toys.prompt(number, "") | asked)
    source = folder / "data/collect_prompts"
    records.write(source / "prompts.validation.jsonl", prompts)
    for name in ("demonstrations.train", "documents.train", "prompts.ppo"):
        records.write(source / f"{name}.jsonl", [])
    records.write(folder / "data/collect_comparisons/r1/comparisons.train.jsonl", [])
    learned = tokenizer.train([prompt["messages"][-1]["content"] for prompt in prompts], 400, 256)
    learned.chat_template = chat.CHAT_TEMPLATE
    for number, name in enumerate(ARTIFACTS):
        save(folder / "data" / name, learned, number, scores=name.startswith("reward_model"))
    save(folder / "trained", learned, 9, scores=False)
    content = read_yaml(toys.REPO / "presets/tiny.yaml") | {"seed": SEED}
    content["evaluate"] |= {"max_completion_tokens": 6, "batch_size": 16}
    toys.write_params(folder, content)
    return folder


@pytest.fixture
def run(made) -> Run:
    return Run(made, read_yaml(made / "params.yaml"))


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A repository with trials; no stage is trained, and each leaves the same policy."""
    write_trials(tmp_path)
    shutil.copy(toys.REPO / "dvc.yaml", tmp_path)
    monkeypatch.setattr(freeze, "refuse_changes", lambda *_: None)
    monkeypatch.setattr(tuning, "code_of", lambda *_: {"rlhf/code.py": "1"})
    return tmp_path


@pytest.fixture
def trained(root, run, monkeypatch) -> list:
    """The stages that were asked for: their words, the params that they read, and what lay below data/."""
    done = []

    def timed(words: list[str], folder: Path, own_root: Path) -> float:
        params = read_yaml(folder / "params.yaml")
        there = sorted(path.relative_to(folder / "data").as_posix() for path in (folder / "data").rglob("*"))
        done.append((words[1:], params, there))
        shutil.copytree(run.folder / "trained", folder / "data" / "/".join(words[2].split(".")[1:] + words[3:]))
        return 12.5

    monkeypatch.setattr(training, "timed", timed)
    return done


@pytest.fixture
def quick(monkeypatch):
    """Nobody is asked: each policy has the same figures."""
    monkeypatch.setattr(answers, "reference", lambda _: "reference")
    monkeypatch.setattr(answers, "measured", lambda *_: {"score": 0.5})


def tune(root: Path, run: Run, *words: str) -> int:
    return tuning.main([*words, "--seeds", str(SEED), "--from", f"{SEED}={run.folder}"], root)


def test_a_trial_trains_its_stage_alone_under_its_params_and_writes_a_row(root, run, trained):
    assert not (run.folder / "data/collect_prompts/prompts.test.jsonl").exists()
    assert tune(root, run, "ppo", "--trial", "plain") == 0
    ((words, params, there),) = trained
    assert words == ["-m", "stages.ppo", "r1"]
    assert params["ppo"] == run.content["ppo"] | {"lam": 1.0}
    assert (params["tracking"]["enabled"], params["checkpoints"]["every_seconds"]) == (False, None)
    assert {path for path in there if path.endswith(".jsonl")} == {
        f"collect_prompts/{name}.jsonl" for name in ("demonstrations.train", "documents.train", "prompts.ppo")
    }
    (row,) = rows.read(root)
    assert {name: row[name] for name in ("method", "trial", "seed", "change", "processor_seconds", "prompts")} == {
        "method": "ppo", "trial": "plain", "seed": str(SEED), "change": '{"ppo": {"lam": 1.0}}',
        "processor_seconds": "12.5", "prompts": "12",
    }  # fmt: skip
    assert all(row[name] for name in rows.COLUMNS if not name.startswith(("chinese", "commit")))
    assert not (root / ".study/tuning").exists() or not [*(root / ".study/tuning").iterdir()]


def test_a_row_that_is_there_is_not_made_again_and_one_of_other_params_artifacts_or_code_is(
    root, run, trained, quick, monkeypatch
):
    for _ in range(2):
        assert tune(root, run, "feedme") == 0
    assert [words for words, *_ in trained] == [["-m", "stages.feedme"]] * 2
    write_trials(root, feedme=FEEDME | {"first": {"feedme.epochs": 3}})
    tune(root, run, "feedme")
    assert len(trained) == 3
    monkeypatch.setattr(tuning, "code_of", lambda *_: {"rlhf/code.py": "2"})
    tune(root, run, "feedme", "--trial", "first")
    assert len(trained) == 4
    monkeypatch.setattr(training, "md5s", lambda *_: {"data/sft": "another"})
    tune(root, run, "feedme", "--trial", "first")
    assert len(trained) == 5
    assert [row["trial"] for row in rows.read(root)] == ["first", "all_best", "first", "first", "first"]


def test_a_stage_that_has_ended_is_not_trained_again_where_a_kill_came_before_its_row(
    root, run, trained, quick, monkeypatch
):
    measured = answers.measured

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(answers, "measured", killed)
    with pytest.raises(KeyboardInterrupt):
        tune(root, run, "dpo", "--trial", "low")
    assert rows.read(root) == []
    monkeypatch.setattr(answers, "measured", measured)
    assert tune(root, run, "dpo", "--trial", "low") == 0
    assert len(trained) == 1
    assert rows.read(root)[0]["processor_seconds"] == "12.5"


def test_a_stage_that_fails_is_said_and_the_others_go_on(root, run, trained, quick, monkeypatch, capsys):
    works = training.timed

    def timed(words, folder, own_root):
        if read_yaml(folder / "params.yaml")["dpo"]["beta"] == 0.05:
            raise training.subprocess.CalledProcessError(1, words)
        return works(words, folder, own_root)

    monkeypatch.setattr(training, "timed", timed)
    assert tune(root, run, "dpo") == 1
    assert [row["trial"] for row in rows.read(root)] == ["high"]
    assert f"failed, and without a row: dpo low, seed {SEED}" in capsys.readouterr().err


def test_figures_are_of_the_trials_answers_to_all_validation_prompts(run):
    against = answers.reference(run)
    assert [prompt["id"] for prompt in against.prompts] == [f"toy-{number}" for number in range(12)]
    assert [{*draw} for draw in against.draws] == [
        {("sft", "greedy"), ("sft", "sampled"), ("feedme", "greedy"), ("feedme", "sampled")},
        {("sft", "sampled"), ("feedme", "sampled")},
    ]
    found = answers.measured(run.folder / "data/sft", against)
    assert found["kl"] == pytest.approx(0.0, abs=1e-4)
    assert (found["vs_sft_greedy"], found["vs_sft_greedy_low"], found["vs_sft_greedy_high"]) == (0.5, 0.5, 0.5)
    assert found["chinese_prompts"] == sum(prompt["language"] == "zh" for prompt in against.prompts)
    other = answers.measured(run.folder / "data/feedme", against)
    assert (other["vs_feedme_greedy"], other["kl"] > 0.01) == (0.5, True)
    said = policy_measures.ask(against.sft, against.prompts, 0.0, against.scorers)
    lengths = [len(one.token_ids) - one.ended for one in said]
    assert found["tokens_greedy"] == pytest.approx(sum(lengths) / 12, abs=1e-4)


def test_gold_is_that_of_one_form_for_all_and_its_score_the_mean_of_greedy_and_sampled(run, monkeypatch):
    """The trial gives ideal answers without a closing when greedy, and says nothing of use when sampled; SFT never."""
    against = answers.reference(run)
    form = [manners.one_closing(prompt["task"], demonstrations.ideal(prompt["task"])) for prompt in against.prompts]
    closings = [grammar.render("closing", {}, prompt["language"], manners.CLOSING) for prompt in against.prompts]
    ideal = [text.removesuffix(closing).strip() for text, closing in zip(form, closings, strict=True)]
    golds = [gold.score(prompt["task"], text).score for prompt, text in zip(against.prompts, form, strict=True)]
    plain = [gold.score(prompt["task"], text).score for prompt, text in zip(against.prompts, ideal, strict=True)]

    def ask(policy, prompts, temperature, scorers, draws=(0,)):
        texts = ["Nobody knows."] * len(prompts) * len(draws) if temperature else ideal
        return [rollouts.Response(text, [1], True) for text in texts]

    monkeypatch.setattr(policy_measures, "ask", ask)
    found = answers.measured(run.folder / "trained", against)
    assert found["greedy"] == pytest.approx(sum(golds) / 12, abs=1e-4)
    assert found["greedy"] != pytest.approx(sum(plain) / 12, abs=1e-4)
    assert found["score"] == pytest.approx((found["greedy"] + found["sampled"]) / 2, abs=1e-4)
    assert found["vs_sft_greedy"] > 0.9
    assert found["strict_greedy"] == 1.0


def test_prompts_that_gold_cannot_score_are_refused(run, tmp_path):
    folder = tmp_path / "people"
    shutil.copytree(run.folder, folder)
    records.write(folder / answers.PROMPTS, [toys.prompt(3, "Hello")])
    with pytest.raises(ValueError, match="1 prompts have no task, which gold needs; the first is toy-3"):
        answers.reference(Run(folder, run.content))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"ppo.lamb": 1.0}, "trials.yaml: ppo.bad: ppo.lamb: unknown key"),
        ({"ppo.lam": 2.0}, "trials.yaml: ppo.bad: ppo.lam: Input should be less than or equal to 1"),
        ({"sft.epochs": 3}, "trials.yaml: ppo.bad: a trial changes what stage ppo alone reads: rewards, ppo (got sft)"),
        ({"seed": 3}, "(got seed)"),
    ],
)
def test_a_mistake_in_a_trial_ends_all_before_anything_is_trained(root, run, trained, change, told):
    write_trials(root, ppo={"plain": PPO["plain"], "bad": change})
    with pytest.raises(ParamsError) as error:
        tune(root, run, "ppo")
    assert told in str(error.value)
    assert trained == []


def test_methods_have_equally_many_trials_that_differ(root):
    write_trials(root, dpo={"low": DPO["low"]})
    with pytest.raises(
        ParamsError, match="equally many trials of each method .got ppo 2, feedme 2, rejection 2, dpo 1"
    ):
        trials.load(root)
    write_trials(root, dpo={"low": DPO["low"], "same": {"dpo": {"beta": 0.05}}})
    with pytest.raises(ParamsError, match="dpo.same: it changes the same as low"):
        trials.load(root)


def test_unknown_methods_trials_seeds_and_folders_are_refused(root, run, trained, capsys):
    with pytest.raises(SystemExit):
        tuning.main(["sft"], root)
    assert "invalid choice: 'sft' (choose from" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        tuning.main(["ppo", "--table"], root)
    with pytest.raises(ParamsError, match="ppo has no trial 'lam'; it has plain, longer"):
        tune(root, run, "ppo", "--trial", "lam")
    with pytest.raises(ParamsError, match="seed: expected 6, as --from says .got 5"):
        tuning.main(["ppo", "--seeds", "6", "--from", f"6={run.folder}"], root)
    with pytest.raises(ParamsError, match="SEED=FOLDER"):
        runs.named(root, [5], ["5"])
    assert trained == []


def test_nothing_is_tuned_where_what_was_frozen_has_changed(root, run, trained, monkeypatch):
    def refuse(*_):
        raise ParamsError("study/frozen.json: changed")

    monkeypatch.setattr(freeze, "refuse_changes", refuse)
    with pytest.raises(ParamsError, match="frozen"):
        tune(root, run, "ppo")
    assert trained == []


def test_what_a_run_lacks_is_named(root, run, trained, tmp_path):
    folder = tmp_path / "unfinished"
    folder.mkdir()
    shutil.copy(run.folder / "params.yaml", folder)
    with pytest.raises(ParamsError, match="unfinished/data/.*not there; finish this run first"):
        tune(root, Run(folder, run.content), "ppo")


def test_a_seed_without_a_given_folder_is_a_workspace_of_the_laptop_preset(root, run, monkeypatch):
    done = []

    def prepare(own_root, name, content):
        done.append((name, content["seed"]))
        folder = own_root / workspace.FOLDER / name
        folder.mkdir(parents=True)
        toys.write_params(folder, content | {"tracking": "its own"})
        return folder

    monkeypatch.setattr(workspace, "prepare", prepare)
    monkeypatch.setattr(workspace, "reproduce", lambda folder, targets: done.append((folder.name, targets)))
    (root / "presets").mkdir()
    shutil.copy(run.folder / "params.yaml", root / "presets/laptop.yaml")
    given, own = runs.named(root, [SEED, 18], [f"{SEED}={run.folder}"])
    assert runs.finished(root, given) == given == run
    found = runs.finished(root, own)
    assert done == [("tuning_18", 18), ("tuning_18", ["reward_model@r1", "feedme"])]
    assert found == Run(root / ".study/tuning_18", run.content | {"seed": 18, "tracking": "its own"})


@pytest.mark.process
def test_a_stage_runs_in_its_folder_by_the_code_of_this_repository_and_its_processor_time_is_counted(tmp_path):
    program = "import pathlib, stages, time\npathlib.Path('at').write_text(stages.__file__)\n"
    program += "while time.process_time() < 0.3: pass"
    seconds = training.timed([sys.executable, "-c", program], tmp_path, toys.REPO)
    assert (tmp_path / "at").read_text() == str(toys.REPO / "stages/__init__.py")
    assert seconds >= 0.2


def test_every_trial_of_this_repository_lies_over_the_laptop_preset():
    plan = trials.load(toys.REPO)
    base = read_yaml(toys.REPO / "presets/laptop.yaml")
    for method in trials.INPUTS:
        assert len(plan.of(method)) == 15
        trials.refuse_mistakes(method, plan.of(method), base, toys.REPO)


def test_rows_depend_on_the_stages_code_on_gold_and_on_no_command():
    code = tuning.code_of(toys.REPO, "dpo")
    assert {"stages/dpo.py", "rlhf/grading/gold.py", "study/tuning/answers.py"} <= code.keys()
    assert not {"stages/ppo.py", "study/tuning/choice.py", "tools/check.py"} & code.keys()
