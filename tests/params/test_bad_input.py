"""Bad input of three kinds (params, data, models): one clear error before any training; what was there stays."""

import json
import os
import runpy
import shutil
import subprocess
import sys

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlhf.collection import bounded, readers, sources
from rlhf.models import loading
from rlhf.params.base import ParamsError, read_yaml
from stages import collect_prompts, pretrain
from tests import toys
from tests.collect_prompts_section import section, source, typed_source
from tools import check

LONGEST = 1500  # characters of an error: one that nobody reads to its end is not clear


# dotted path, value, what the error must say beside the path
PARAMS = [
    ("seed", "17", "valid integer"),
    ("seed", 1.5, "valid integer"),
    ("seed", None, "valid integer"),
    ("runtime.device", "gpu", "'cpu' or 'cuda'"),
    ("runtime.dtype", "float16", "'float32' or 'bfloat16'"),
    ("runtime.attention", "flash", "'eager' or 'sdpa'"),
    ("runtime.processes", 0, "greater than or equal to 1"),
    ("runtime.threads", -1, "greater than or equal to 1"),
    ("runtime.threads", True, "valid integer"),
    ("runtime.workers", 3, "divisor of runtime.threads"),
    ("runtime", toys.Removed, "missing"),
    ("rounds", {}, "at least one round"),
    ("rounds.r1.policy", "ppo/r7", "expected one of sft"),
    ("rounds.r1.earlier", None, "valid string"),
    ("rounds.r1.polcy", "sft", "unknown key"),
    ("tracking.uri", "mlruns", "a URI that begins with"),
    ("tracking.max_model_mb", -5.0, "greater than or equal to 0"),
    ("tracking.log_every", 0, "greater than or equal to 1"),
    ("tracking.experiment", "", "at least 1 character"),
    ("checkpoints.every_seconds", "often", "valid number"),
    ("checkpoints.every_seconds", -1.0, "greater than or equal to 0"),
    ("collect_prompts.sources", [], "at least 1"),
    ("collect_prompts.sources", "world", "valid"),
    ("collect_prompts.shares.sft", 0.9, "add up to"),
    ("collect_prompts.shares.ppo", -0.2, "greater than or equal to 0"),
    ("collect_prompts.cleaning.languages", ["english"], "'en'"),
    ("collect_prompts.cleaning.prompt_words", {"min": 9, "max": 3}, "above max"),
    ("collect_prompts.cleaning.near_duplicates.threshold", 1.5, "less than or equal to 1"),
    ("collect_prompts.documents.validation_share", "1%", "valid number"),
    ("collect_prompts.comparisons", {"min_responses": 1, "max_responses": 9}, "greater than or equal to 2"),
    ("pretrain.shape", "huge", "expected one of"),
    ("pretrain.vocab_size", 10, "greater than or equal to 280"),
    ("pretrain.tokens", 0, "greater than"),
    ("pretrain.sequence_tokens", 10**6, "context of"),
    ("pretrain.source", "internet", "expected one of 'scratch', 'local', 'hub', 'gguf', 'package' (got 'internet')"),
    ("pretrain.source", toys.Removed, "expected one of 'scratch', 'local', 'hub', 'gguf', 'package' (missing)"),
    ("pretrain", toys.adopting("presets") | {"tokens": 5}, "unknown key for source 'local'"),
    ("pretrain.path", "model", "unknown key for source 'scratch'"),
    ("pretrain.optimisation.learning_rate", "3e-6", "valid number"),
    ("pretrain.optimisation.learning_rate", -0.1, "greater than"),
    ("pretrain.optimisation.adam_beta2", 1.0, "less than 1"),
    ("sft.epochs", 0, "greater than or equal to 1"),
    ("sft.batch_size", 2.5, "valid integer"),
    ("sft.template", "chatml", "'plain'"),
    ("sft.dropout", 1.0, "less than 1"),
    ("sft.select", "best", "'best_validation'"),
    ("sft.epoch", 3, "unknown key"),
    ("sft.optimisation.schedule", "step", "'constant'"),
    ("sft.optimisation", toys.Removed, "missing"),
    ("feedme.round", "r9", "expected one of rounds"),
    ("feedme.max_tokens", 10**6, "context of"),
    ("feedme.learn", "best", "'first', 'all_best' or 'within'"),
    ("feedme.within_rank", 0.5, "null otherwise"),
    ("feedme.within_rank", -1.0, "greater than 0"),
    ("rejection.n", 1, "greater than or equal to 2"),
    ("rejection.validation_share", 1.0, "less than 1"),
    ("rejection.temperature", 0.0, "greater than 0"),
    ("rejection.max_prompts", 1, "greater than or equal to 2"),
    ("rejection.train", 1, "valid boolean"),
    ("rejection", toys.Removed, "missing"),
    ("dpo.beta", 0.0, "greater than 0"),
    ("dpo.micro_batch_rows", 1, "greater than or equal to 2"),
    ("dpo.loss", "rank", "unknown key"),
    ("dpo.too_long", "drop", "'leave_out' or 'cut'"),
    ("dpo", toys.Removed, "missing"),
    ("collect_answers.min_responses", 99, "less than or equal to 9"),
    ("collect_answers.max_completion_tokens", 10**5, "context of"),
    ("collect_answers.batch_size", 0, "greater than or equal to 1"),
    ("reward_model.loss", "hinge", "'rank' or 'direct'"),
    ("reward_model.backbone", "encoder", "encoder_path must be given"),
    ("reward_model.pooling", "max", "'last' or 'mean'"),
    ("reward_model.micro_batch_rows", 0, "greater than"),
    ("judge.backbone", 7, "'sft'"),
    ("ppo.kl_coef", "3e-6", "valid number"),
    ("ppo.kl_coef", float("nan"), "finite number"),
    ("ppo.kl_coef", float("inf"), "finite number"),
    ("ppo.clip_range", 0, "greater than 0"),
    ("ppo.gamma", 1.1, "less than or equal to 1"),
    ("ppo.gamma", -0.1, "greater than or equal to 0"),
    ("ppo.lam", 1.1, "less than or equal to 1"),
    ("ppo.lam", -0.1, "greater than or equal to 0"),
    ("ppo.ema_decay", -0.1, "greater than or equal to 0"),
    ("ppo.ptx_coef", -0.1, "greater than or equal to 0"),
    ("ppo.temperature", 5.1, "less than or equal to 5"),
    ("ppo.minibatch_size", 7, "multiple of minibatch_size"),
    ("ppo.kl_controller", "adaptive", "valid dictionary"),
    ("ppo.kl_controller.kind", "pid", "'fixed' or 'adaptive'"),
    ("ppo.ema_decay", 1.0, "less than 1"),
    ("ppo.temperature", 0.0, "greater than 0"),
    ("ppo.value_init", "random", "'reward_model' or 'policy'"),
    ("moderation.classifier.kind", "trainde", "expected one of 'trained', 'adopted'"),
    ("moderation.classifier.char_ngrams", {"low": 5, "high": 3}, "exceeds high"),
    ("moderation.classifier.path", "models/m", "unknown key for kind 'trained'"),
    ("moderation.categories", ["theft", "theft"], "one stands twice"),
    ("moderation.categories", ["Theft!"], "up to 64 of a-z"),
    ("moderation.shares", {"validation": 0.5, "test": 0.5}, "leave nothing to train on"),
    ("moderation.max_miss_rate", 0.0, "greater than 0"),
    ("moderation.files", ["own/gone.jsonl"], "no such file"),
    ("evaluate.temperatures", [0.0, 0.5], "1.0"),
    ("evaluate.coverage", 95, "less than 1"),
    ("evaluate.test_prompts", "all", "valid integer"),
    ("evaluate.best_of_n.curve", [], "at least 1"),
    ("ppo", toys.Removed, "missing"),
    ("reward", {}, "unknown key"),
]


@pytest.mark.parametrize(("path", "value", "said"), PARAMS, ids=lambda value: str(value)[:40])
def test_a_broken_param_is_named_with_what_is_allowed(path, value, said, tmp_path, capsys):
    content = read_yaml(toys.REPO / "presets/tiny.yaml")
    toys.put(content, path, value)
    toys.write_params(tmp_path, content)
    assert check.main([], tmp_path) == 2
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if said in line]
    parent = path.rpartition(".")[0] or path
    assert lines, error
    assert any(line.startswith("params.yaml: ") and (path in line or parent in line) for line in lines), error
    assert len(error) < LONGEST


GOOD = {"prompt": "Say red.", "response": "red fox."}
RANKED = {"prompt": "Say red.", "responses": ["red fox.", "blue fox.", "no"], "ranking": [0, 1, 2]}


def jsonl(*rows) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def ranked(**changes) -> bytes:
    return jsonl(RANKED | changes)


# file name, content, what the error must say beside the file's name
DATA = [
    ("a.jsonl", b'{"prompt": "hi", }\n', "line 1, column 18: not valid JSON"),
    ("a.jsonl", jsonl(GOOD) + b"prompt: hi\n", "line 2, column 1: not valid JSON"),
    ("a.jsonl", jsonl(GOOD) + b'{"prompt": "cut of', "line 2, column 12: not valid JSON"),
    ("a.jsonl", b"[1, 2]\n", "record 1: expected a JSON object, got int"),
    ("a.jsonl", b"null\n", "line 1: expected a JSON object, got NoneType"),
    ("a.jsonl", b'{"prompt": "\xff"}\n', "line 1, column 13: not UTF-8"),
    ("a.jsonl", "é".encode("latin-1"), "line 1, column 1: not UTF-8"),
    ("a.jsonl", '{"prompt": "hi"}\n'.encode("utf-16")[:-1], "not utf-16-le (truncated data); save it as UTF-8"),
    ("a.jsonl", b"", "holds no rows"),
    ("a.jsonl", b"\n\n\n", "holds no rows"),
    ("a.json", b"[]", "holds no rows"),
    ("a.json", b'[{"prompt": "hi"}', "not valid JSON"),
    ("a.json", b'{"prompt": "hi"} x', "not valid JSON"),
    ("a.json", b'["hi"]', "record 1: expected a JSON object, got str"),
    ("a.csv", b"", "line 1: expected a header line"),
    ("a.csv", b"prompt,response\n", "holds no rows"),
    ("a.csv", b"prompt,response\na,b,c\n", "line 2: expected 2 cells (prompt, response), got 3"),
    ("a.csv", b'prompt,response\n"a,b\n', "not valid CSV"),
    ("a.tsv", b"prompt\tresponse\na\n", "line 2: expected 2 cells"),
    ("a.csv", b"ask,say\na,b\n", "no usual columns among: ask, say; set columns"),
    ("a.parquet", b"PAR1", "not a readable Parquet file"),
    ("a.jsonl.gz", b"not gzip", "line 1, column 1: not valid JSON"),
    ("a.jsonl.gz", b"\x1f\x8b\x08\x00", "broken gzip file"),
    ("a.xlsx", b"PK", "set the source's format"),
    ("a.jsonl", jsonl({"prompt": 3, "response": "x"}), "column 'prompt': expected text, got int"),
    ("a.jsonl", jsonl({"prompt": ["a"], "response": "x"}), "column 'prompt': turn 1: expected an object, got str"),
    ("a.jsonl", jsonl({"messages": []}), "no usual columns among: messages"),
    ("a.jsonl", jsonl({"messages": "[{"}), "column 'messages', character 3: not valid JSON"),
    ("a.jsonl", jsonl({"messages": [{"role": "teacher", "content": "x"}]}), "role 'teacher' is none of"),
    ("a.jsonl", jsonl({"messages": [{"role": "user"}]}), "expected text as content"),
    ("a.jsonl", jsonl({"prompt": "Say red.", "chosen": "red"}), "a comparison without a rejected answer"),
    ("a.jsonl", ranked(ranking=[0, 1]), "expected the indices 0..2 from best to worst"),
    ("a.jsonl", ranked(ranking=[0, 0, 1]), "expected the indices 0..2 from best to worst"),
    ("a.jsonl", ranked(ranking="best first"), "ranking"),
    ("a.jsonl", jsonl({key: RANKED[key] for key in ("prompt", "responses")}), "responses without scores, ranking"),
    ("a.jsonl", ranked(responses="red"), "expected a list of texts"),
    ("a.jsonl", b'{"prompt": "Say red.", "responses": ["a", "b"], "scores": [1, NaN]}\n', "expected finite numbers"),
    ("a.jsonl", b'{"prompt": "Say red.", "responses": ["a", "b"], "scores": [1, Infinity]}\n', "finite numbers"),
    ("a.jsonl", jsonl({"prompt": "p", "responses": ["a", "b"], "scores": [1, 2, 3]}), "expected 2 numbers"),
    ("a.jsonl", jsonl({"prompt": "p", "responses": ["a", "b"], "scores": ["1", "x"]}), "expected"),
    ("a.jsonl", jsonl(GOOD) + b"[" * 100_000, "line 2: lists or objects too deep within one another; flatten them"),
    ("a.json", b'{"prompt": ' * 100_000, "record 1: lists or objects too deep within one another; flatten them"),
    ("a.json", b"[" + b'{"prompt": [' * 100_000, "record 1: lists or objects too deep within one another"),
    ("a.jsonl", jsonl({"messages": "[" * 100_000}), "column 'messages': lists or objects too deep within one another"),
    ("a.jsonl", b'{"prompt": ' + b"7" * 5000 + b"}", "line 1: a number of more than 4300 digits; mend it, or write it"),
    ("a.json", b'[{"prompt": ' + b"7" * 5000 + b"}]", "record 1: a number of more than 4300 digits"),
    ("a.jsonl", ranked(ranking="[" + "7" * 5000 + "]"), "column 'ranking': a number of more than 4300 digits"),
    ("a.jsonl", b'{"prompt": "half \\ud83d of it"}', "line 1: \\ud83d is half of a character; write both halves"),
    ("a.jsonl", b'{"prompt": "Say red.", "user": ["\\uDE00"]}', "line 1: \\ude00 is half of a character"),
    (
        "a.jsonl",
        jsonl({"prompt": "p", "responses": ["a", "b"], "scores": [1, 10**400]}),
        "expected finite numbers, got 1",
    ),
    ("a.jsonl", ranked(ranking={"a": 1}), "expected the indices 0..2 from best to worst, got {'a': 1}"),
    ("a.jsonl", jsonl({"x" * 9000: 1}), "no usual columns among: xxx"),
    ("a.jsonl", jsonl({f"x{number}": 1 for number in range(999)}), "x19 and 979 more; set columns"),
    ("a.jsonl", jsonl({"messages": [{"role": "x" * 9000, "content": "x"}]}), "is none of user"),
    ("a.csv", ",".join(f"x{number}" for number in range(999)).encode() + b"\n1\n", "x19 and 979 more), got 1"),
    ("a.jsonl", jsonl(GOOD | {"response": ""}), "rows is one"),
    ("a.jsonl", jsonl(GOOD | {"prompt": ""}), "rows is one"),
    (
        "a.jsonl",
        jsonl(GOOD, GOOD, GOOD),
        "rows is one",
    ),  # duplicates of one prompt cannot fill six splits
    (
        "a.jsonl",
        jsonl(GOOD | {"prompt": "x" * 10**6}),
        "rows is one",
    ),  # a huge line, longer than any prompt allowed
    (
        "a.jsonl",
        jsonl({"prompt": "p", "responses": ["only one"], "scores": [1.0]}),
        "rows is one",
    ),  # K = 1
]


@pytest.mark.parametrize(("name", "content", "said"), DATA, ids=lambda value: str(value)[:40])
def test_broken_data_is_named_by_file_and_place_and_old_outputs_stay(root, capsys, name, content, said):
    (root / name).write_bytes(content)
    given_source = source("given", name, use=["demonstrations", "comparisons", "prompts"])
    params = toys.read_yaml(root / "params.yaml") | {"collect_prompts": section([given_source])}
    toys.write_params(root, params)
    before = toys.file_bytes(root / "data")
    with pytest.raises((ValueError, OSError)) as caught:
        collect_prompts.main(root)
    error = str(caught.value)
    assert said in error
    assert name in error or "given" in error
    assert len(error) < LONGEST
    assert toys.file_bytes(root / "data") == before


@pytest.fixture
def base(root):
    """A sound base model folder at data/pretrain and beside it another to be broken, which pretrain adopts."""
    tokenizer = toys.tokenizer()
    for folder in (root / "data/pretrain", root / "broken"):
        toys.save(folder, toys.policy(tokenizer, spread=0.1), tokenizer)
    toys.set_param(root, "pretrain", toys.adopting("broken"))
    return root


def rewrite(path, **changes) -> None:
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not toys.Removed}))


def pickled(folder) -> None:
    state = loading.load_causal(folder, toys.runtime()).state_dict()
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")


def cut_short(path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


MODELS = {
    "no folder": (lambda folder: shutil.rmtree(folder), "broken"),
    "empty folder": (lambda folder: [file.unlink() for file in folder.iterdir()], "broken"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "config.json|model_type"),
    "config is no JSON": (lambda folder: (folder / "config.json").write_text("{"), "config.json|JSON"),
    "config of no known type": (lambda folder: rewrite(folder / "config.json", model_type="nosuch"), "nosuch"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "safetensors"),
    "pickled weights": (pickled, "safetensors"),
    "torn weights": (lambda folder: cut_short(folder / "model.safetensors"), "weights|safetensors|header"),
    "empty weights": (lambda folder: (folder / "model.safetensors").write_bytes(b""), "weights|safetensors|header"),
    "no tokenizer": (
        lambda folder: [(folder / name).unlink() for name in ("tokenizer.json", "tokenizer_config.json")],
        "tokenizer",
    ),
    "tokenizer is no JSON": (lambda folder: (folder / "tokenizer.json").write_text("x"), "tokenizer|expected"),
    "tokenizer without EOS": (
        lambda folder: rewrite(folder / "tokenizer_config.json", eos_token=toys.Removed), "no EOS token"
    ),
    "code of its own": (
        lambda folder: rewrite(
            folder / "config.json", model_type="own", auto_map={"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"}
        ),
        "trust_remote_code|own",
    ),
    "weights of another width": (lambda folder: rewrite(folder / "config.json", hidden_size=64), "size|shape|mismatch"),
    "weights of another vocabulary": (
        lambda folder: rewrite(folder / "config.json", vocab_size=400), "size|shape|mismatch|vocab"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", list(MODELS))
def test_a_broken_model_is_refused_and_old_outputs_stay(base, what):
    breaking, said = MODELS[what]
    breaking(base / "broken")
    before = toys.file_bytes(base / "data")
    with pytest.raises((ValueError, OSError), match=rf"(?s)({said})"):
        pretrain.main(base)
    assert toys.file_bytes(base / "data") == before
    assert not (base / "own.py").exists()


def test_there_are_a_hundred_cases_of_three_kinds():
    assert len(PARAMS) + len(DATA) + len(MODELS) >= 100
    assert min(len(DATA), len(PARAMS)) >= 35


def breaks(base, what: str) -> None:
    if what == "params":
        toys.set_param(base, "sft.epochs", -1)
    else:
        (base / "data/pretrain/model.safetensors").unlink()


@pytest.mark.parametrize("broken", ["params", "model"])
def test_a_stage_says_one_thing_and_fails_or_shows_where(base, broken, monkeypatch, capfd):
    """As `python -m stages.sft` does it, in this process: an interpreter with torch costs seconds."""
    breaks(base, broken)
    monkeypatch.chdir(base)
    monkeypatch.delitem(sys.modules, "stages.sft", raising=False)
    monkeypatch.delenv("TRACEBACK", raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("stages.sft", run_name="__main__")
    assert ended.value.code == 1
    said = capfd.readouterr().err
    assert said.startswith("sft: ")
    assert "Traceback" not in said
    monkeypatch.setenv("TRACEBACK", "1")
    with pytest.raises((ValueError, OSError)) as shown:
        runpy.run_module("stages.sft", run_name="__main__")
    assert said.startswith(f"sft: {shown.value}\n({type(shown.value).__name__}; TRACEBACK=1 shows where)")


@pytest.mark.process
def test_the_process_of_a_stage_says_one_thing_and_fails(base):
    toys.set_param(base, "collect_prompts.max_prompts", -1)
    own = {name: value for name, value in os.environ.items() if name != "TRACEBACK"} | {"PYTHONPATH": str(toys.REPO)}
    command = [sys.executable, "-m", "stages.collect_prompts"]  # starts without torch
    answer = subprocess.run(command, cwd=base, env=own, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr
    assert answer.stderr.startswith("collect_prompts: ")


ANY = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS, lambda inner: st.lists(inner, max_size=3)
)


@ANY
@given(
    content=st.binary(max_size=200),
    ending=st.sampled_from(["jsonl", "json", "csv", "tsv", "txt", "jsonl.gz", "parquet"]),
)
def test_any_bytes_are_rows_or_a_named_error(tmp_path, content, ending):
    path = tmp_path / f"a.{ending}"
    path.write_bytes(content)
    try:
        for row in sources.rows(typed_source(paths=[path.name]), tmp_path, "<|endoftext|>"):
            assert isinstance(row.fields, dict)
            assert row.where
    except ValueError as error:
        assert path.name in str(error)


@ANY
@given(rows=st.lists(st.dictionaries(TEXTS.filter(bool), VALUES, min_size=1, max_size=4), min_size=1, max_size=5))
def test_rows_of_jsonl_come_back_as_they_were_written(tmp_path, rows):
    path = tmp_path / "a.jsonl"
    text = [json.dumps(row) for row in rows]
    path.write_text("".join(line + "\n" for line in text), encoding="utf-8")
    found = [json.dumps(row.fields) for row in readers.read_jsonl(path, bounded.Bound(10**6, "given"))]
    assert found == text


@ANY
@given(text=TEXTS | st.builds(lambda key, value: f"{key}: {value}", TEXTS, TEXTS))
def test_any_text_as_params_is_a_mapping_or_a_named_error(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        assert isinstance(read_yaml(path), dict)
    except ParamsError as error:
        assert "params.yaml" in str(error)


@ANY
@given(data=st.data())
def test_any_value_of_any_param_is_taken_or_named(tmp_path, data):
    content = read_yaml(toys.REPO / "presets/tiny.yaml")
    section_name = data.draw(st.sampled_from(sorted(content)))
    place, path = content[section_name], section_name
    while isinstance(place, dict):
        key = data.draw(st.sampled_from(sorted(place)))
        place, path = place[key], f"{path}.{key}"
    toys.put(content, path, data.draw(VALUES))
    for mistake in check.mistakes_in(content, tmp_path):
        assert mistake.startswith("params.yaml: ")
