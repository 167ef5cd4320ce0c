"""Parameters: an error names the full path, the value and the fix; what may be null may be left out."""

import copy
import shutil
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from rlhf.params.base import UNIONS, ParamsError, load, parse, read_yaml
from rlhf.params.collect_answers import CollectAnswersInputs
from rlhf.params.collect_comparisons import CollectComparisonsInputs
from rlhf.params.collect_prompts import FileSource
from rlhf.params.feedme import FeedmeInputs
from rlhf.params.moderation.section import ModerationInputs
from rlhf.params.ppo import PpoInputs
from rlhf.params.pretrain import PretrainInputs
from rlhf.params.reward_model import JudgeInputs, RewardModelInputs
from rlhf.params.sft import SftInputs
from rlhf.params.training.dpo import DpoInputs
from rlhf.params.training.rejection import RejectionInputs
from tests import toys
from tests.collect_prompts_section import source
from tools import check, presets
from tools.overlays import laying

SCHEMAS = (
    PretrainInputs, SftInputs, CollectAnswersInputs, CollectComparisonsInputs, RewardModelInputs, PpoInputs,
    FeedmeInputs, RejectionInputs, DpoInputs, JudgeInputs, ModerationInputs,
)  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS)
def test_no_parameter_has_a_default_in_code(schema):
    waiting = [schema]
    while waiting:
        for name, field in waiting.pop().model_fields.items():
            assert field.is_required(), f"{schema.__name__}: {name} has a default"
            waiting += [
                kind for kind in (field.annotation, *get_args(field.annotation)) if hasattr(kind, "model_fields")
            ]


WRONG = [
    (PretrainInputs, "pretrain.vocab_size", 100, r"pretrain\.vocab_size: .*280.* \(got 100\)"),
    (PretrainInputs, "pretrain.source", "local", r"pretrain\.shape: unknown key for source 'local'"),
    (PretrainInputs, "pretrain.source", "local", r"pretrain\.path: missing; examples/own_project\.yaml shows a value"),
    (SftInputs, "sft.epochs", 1.5, r"sft\.epochs: .*integer.* \(got 1\.5\)"),
    (SftInputs, "sft.packing", "yes", r"sft\.packing: .*boolean.* \(got 'yes'\)"),
    (SftInputs, "sft.optimisation.schedule", "cosin", r"sft\.optimisation\.schedule: .*'cosine'.* \(got 'cosin'\)"),
    (SftInputs, "runtime.device", "gpu", r"runtime\.device: .*'cuda'.* \(got 'gpu'\)"),
    (RewardModelInputs, "reward_model.backbone", "encoder", r"reward_model: encoder_path must be given"),
    (RewardModelInputs, "reward_model.pooling", "max", "pooling"),
    (RewardModelInputs, "reward_model.encoder_path", "bert", r"reward_model: encoder_path must be .* null otherwise"),
    (PpoInputs, "ppo.minibatch_size", 3, r"ppo: batch_size 8 must be a multiple of minibatch_size 3"),
    (PpoInputs, "ppo.kl_controller.target", 0, r"ppo\.kl_controller\.target: .*greater than 0 \(got 0\)"),
    (CollectAnswersInputs, "collect_answers.min_responses", 5, r"min_responses 5 exceeds max_responses 4"),
    (CollectAnswersInputs, "collect_answers.prompts_with", "gold", r"prompts_with: .*'task'.* \(got 'gold'\)"),
]


@pytest.mark.parametrize(("schema", "name", "value", "message"), WRONG)
def test_a_wrong_value_is_named_by_its_path(root, schema, name, value, message):
    toys.set_param(root, name, value)
    with pytest.raises(ParamsError, match=message):
        load(root, schema)


def test_unknown_and_missing_keys_are_named_together(root):
    content = read_yaml(root / "params.yaml")
    content["ppo"]["kl_coeff"] = content["ppo"].pop("kl_coef")
    toys.write_params(root, content)
    with pytest.raises(ParamsError) as caught:
        load(root, PpoInputs)
    assert "params.yaml: ppo.kl_coeff: unknown key" in str(caught.value)
    assert "params.yaml: ppo.kl_coef: missing" in str(caught.value)


ODD = (
    1e-6,
    1.0,
    True,
    None,
    "3e-6",
    "no",
    "017",
    "~",
    "",
    "2024-01-01",
    "1:30",
    "é",
    'a "b"\n',
    float("nan"),
    (1, 2),
    [[]],
)


def test_what_the_toys_write_is_what_a_parser_reads(tmp_path):
    """The tests' reader does not parse what the toys wrote."""
    for value in (*ODD, 1, True, 1.0):  # equal values of other types, one after another
        content = toys.shrunken_params() | {"seed": value, "rounds": {"r1": {"policy": value}}}
        toys.write_params(tmp_path, content)
        parsed = toys.YAML(typ="safe", pure=True).load((tmp_path / "params.yaml").read_text(encoding="utf-8"))
        assert repr(read_yaml(tmp_path / "params.yaml")) == repr(parsed)
        said = parsed["seed"], parsed["rounds"]["r1"]["policy"]
        assert repr(said) == repr((value, value)).replace("(1, 2)", "[1, 2]")


def kinds() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield for each kind of `pretrain` and of a source: the key that says it, params, and the mapping within them."""
    examples = []
    for name in ("own_project", "gguf", "package", "feedback"):
        preset, changes = presets.read_overlay(toys.REPO / f"examples/{name}.yaml")
        examples.append(laying.laid_over(read_yaml(toys.REPO / f"presets/{preset}.yaml"), changes))
    for content in (
        *examples,
        *(read_yaml(toys.REPO / f"presets/{name}.yaml") for name in ("laptop", "instructgpt", "real_en", "pretrained")),
    ):
        yield "source", content, content["pretrain"]
        for place in content["collect_prompts"]["sources"]:
            yield "kind", content, place.setdefault("kind", "file") and place
    for name in ("presets/laptop", "examples/labelers", "examples/labelers_function", "examples/people"):
        content = read_yaml(toys.REPO / f"{name}.yaml")
        if "preset" in content:
            preset = read_yaml(toys.REPO / f"presets/{content.pop('preset')}.yaml")
            content = laying.laid_over(preset, content)
        for key in ("labelers", "judge_labelers"):
            if place := content["collect_comparisons"].get(key):
                yield "kind", content, place.setdefault("kind", "simulated") and place
    content = read_yaml(toys.REPO / "presets/laptop.yaml")
    yield "kind", content, content["moderation"]["classifier"]
    preset, changes = presets.read_overlay(toys.REPO / "examples/moderation.yaml")
    content = laying.laid_over(read_yaml(toys.REPO / f"presets/{preset}.yaml"), changes)
    yield "kind", content, content["moderation"]["classifier"]


def mappings(value: Any) -> Iterator[dict[str, Any]]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    yield from [value] if isinstance(value, dict) else []
    for one in inner:
        yield from mappings(one)


def test_a_missing_keys_hint_names_a_file_that_shows_it():
    seen = set()
    for key, content, place in kinds():
        for name in place.keys() - {key, "splits"}:  # these have a default
            value = place.pop(name)
            try:
                parse(check.schema(), content, "")
            except ParamsError as error:
                (mistake,) = [line for line in str(error).splitlines() if line.endswith(" shows a value")]
                file = mistake.split(": missing; ")[1].removesuffix(" shows a value")
                written = mappings(read_yaml(toys.REPO / file))
                told = {"paths": "file", "noise": "simulated"}  # kinds that are told by a key that they have
                shown = [
                    one
                    for one in written
                    if place[key] in [one.get(key), *(kind for key_of_it, kind in told.items() if key_of_it in one)]
                ]
                assert any(name in found for found in shown), mistake
                seen.add((key, place[key]))
            place[name] = value
    assert seen == {(union.key, kind) for union in UNIONS.values() for kind in union.shown}


def test_what_may_be_null_may_be_left_out(root):
    content = read_yaml(root / "params.yaml")
    content["pretrain"]["muon_momentum"] = None
    content["reward_model"].pop("encoder_path")
    spared = copy.deepcopy(content)
    del spared["pretrain"]["muon_momentum"], spared["tracking"]["uri"], spared["collect_prompts"]["max_prompts"]["sft"]
    schema = check.schema()
    assert parse(schema, spared, "") == parse(schema, content, "")
    whole = source("given", "some.jsonl") | dict.fromkeys(("columns", "language", "category", "limit", "licence"))
    assert parse(FileSource, source("given", "some.jsonl"), "") == parse(FileSource, whole, "")


def test_a_round_may_be_called_like_a_kind_of_source(root):
    content = read_yaml(root / "params.yaml") | {"rounds": {"world": {"policy": "sft"}}}
    toys.write_params(root, content)
    with pytest.raises(ParamsError, match=r"^params\.yaml: rounds\.world\.earlier: missing"):
        load(root, CollectComparisonsInputs)


def test_a_missing_section_is_named(root):
    content = read_yaml(root / "params.yaml")
    del content["sft"]
    toys.write_params(root, content)
    with pytest.raises(ParamsError, match="section 'sft' is missing"):
        load(root, SftInputs)


def test_a_stage_does_not_read_other_stages_sections(root):
    content = read_yaml(root / "params.yaml")
    content["ppo"] = {"broken": True}
    toys.write_params(root, content)
    assert load(root, SftInputs).sft.epochs == 2


def test_numbers_in_scientific_notation_are_numbers(tmp_path):
    (tmp_path / "params.yaml").write_text("rate: 3e-6\nlarge: 1E5\nplain: 1.0e-3\n")
    assert read_yaml(tmp_path / "params.yaml") == {"rate": 3e-6, "large": 1e5, "plain": 1e-3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2\nb: 3\n", r"line 2, column \d+: not valid YAML"),
        ("- 1\n", "expected a mapping of sections, got list"),
        ("a: " + "[" * 1000, "not valid YAML: lists or mappings too deep within one another"),
        ("a: " + "7" * 5000 + "\n", "not valid YAML: .*4300 digits"),
        ("a: 2001-99-99\n", "not valid YAML: month must be in 1..12"),
    ],
)
def test_a_broken_file_is_named_by_line(tmp_path, text, message):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match=message):
        load(tmp_path, SftInputs)


def test_an_error_is_short_however_much_a_value_holds():
    """A mapping in which each list holds the one before several times: small in the file, endless when written out."""
    value = ["x"]
    for _ in range(60):
        value = [value, value, value]
    with pytest.raises(ParamsError) as error:
        parse(
            FileSource,
            source("given", "a.jsonl") | {"limit": value, "other": value, "category": "x" * 9000 + "\ud800"},
            "",
        )
    assert all(len(line) < 300 for line in str(error.value).splitlines())


def test_an_absent_file_says_how_to_make_one(tmp_path):
    with pytest.raises(ParamsError, match=r"cp presets/laptop\.yaml"):
        load(tmp_path, SftInputs)


def test_parameters_cannot_be_changed_in_flight(root):
    params = load(root, SftInputs)
    with pytest.raises(ValueError, match="frozen"):
        params.sft.epochs = 3


OLD = {
    "max_prompts": 2500, "max_judge_prompts": 400, "prompts": "reward_model", "min_responses": 4, "max_responses": 9,
    "temperatures": [0.7, 1.0], "max_completion_tokens": 64, "max_prompt_tokens": 120, "batch_size": 256,
}  # fmt: skip


def test_a_key_that_moved_is_told_its_new_place_and_nothing_else_is_said_of_it():
    content = toys.shrunken_params()
    content["collect_comparisons"] |= OLD
    del content["collect_answers"]
    with pytest.raises(ParamsError) as caught:
        parse(check.schema(), content, "")
    assert sorted(str(caught.value).splitlines()) == sorted(
        f"params.yaml: collect_comparisons.{key}: it is collect_answers.{key} now; move it there (value {value!r})"
        for key, value in OLD.items()
    )


def test_an_overlay_with_a_key_that_moved_is_told_so_by_its_own_name(tmp_path):
    shutil.copytree(toys.REPO / "presets", tmp_path / "presets")
    file = tmp_path / "mine.yaml"
    file.write_text("preset: tiny\ncollect_comparisons.max_prompts: 7\n")
    with pytest.raises(ParamsError) as caught:
        presets.own(tmp_path, file)
    (line,) = str(caught.value).splitlines()
    assert line.removeprefix(f"{file}: ") == (
        "collect_comparisons.max_prompts: it is collect_answers.max_prompts now; move it there (value 7)"
    )


def test_params_of_people_name_their_mistakes(root):
    people = read_yaml(toys.REPO / "examples/people.yaml")["collect_comparisons"]["labelers"]
    wrong = {
        "scale": ({"low": 7, "high": 1}, "must be below high"),
        "flags": (["sexual", "violent", "sexual"], r"each name once; remove the second sexual \("),
        "wait_for": (0, "greater than 0"),
        "overlap_labelers": (1, "greater than or equal to 2"),
        "written": ("best", "'first' or 'leave'"),
    }
    for key, (value, said) in wrong.items():
        toys.set_param(root, "collect_comparisons.labelers", people | {key: value})
        with pytest.raises(ParamsError, match=said) as caught:
            load(root, CollectComparisonsInputs)
        assert str(caught.value).count("(got ") == 1, "what came is said once"
