"""Parameters of the stages that train: an error names the full path, the value and the fix."""

import pytest

from rlhf.params.base import ParamsError, load, read_yaml
from rlhf.params.collect_comparisons import CollectComparisonsInputs
from rlhf.params.feedme import FeedmeInputs
from rlhf.params.ppo import PpoInputs
from rlhf.params.pretrain import PretrainInputs
from rlhf.params.reward_model import JudgeInputs, RewardModelInputs
from rlhf.params.sft import SftInputs
from tests import toys

SCHEMAS = (
    PretrainInputs, SftInputs, CollectComparisonsInputs, RewardModelInputs, PpoInputs, FeedmeInputs, JudgeInputs,
)  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS)
def test_no_parameter_has_a_default_in_code(schema):
    waiting = [schema]
    while waiting:
        for name, field in waiting.pop().model_fields.items():
            assert field.is_required(), f"{schema.__name__}: {name} has a default"
            if hasattr(field.annotation, "model_fields"):
                waiting.append(field.annotation)


WRONG = [
    (PretrainInputs, "pretrain.vocab_size", 100, r"pretrain\.vocab_size: .*280.* \(got 100\)"),
    (PretrainInputs, "pretrain.path", "models/x", r"pretrain: path must be null for source 'scratch'"),
    (PretrainInputs, "pretrain.source", "local", r"pretrain: path must be .* given otherwise; source is 'local'"),
    (SftInputs, "sft.epochs", 1.5, r"sft\.epochs: .*integer.* \(got 1\.5\)"),
    (SftInputs, "sft.packing", "yes", r"sft\.packing: .*boolean.* \(got 'yes'\)"),
    (SftInputs, "sft.optimisation.schedule", "cosin", r"sft\.optimisation\.schedule: .*'cosine'.* \(got 'cosin'\)"),
    (SftInputs, "runtime.device", "gpu", r"runtime\.device: .*'cuda'.* \(got 'gpu'\)"),
    (RewardModelInputs, "reward_model.backbone", "encoder", r"reward_model: encoder_path must be given"),
    (RewardModelInputs, "reward_model.pooling", "max", "pooling"),
    (RewardModelInputs, "reward_model.encoder_path", "bert", r"reward_model: encoder_path must be .* null otherwise"),
    (PpoInputs, "ppo.minibatch_size", 3, r"ppo: batch_size 8 must be a multiple of minibatch_size 3"),
    (PpoInputs, "ppo.kl_controller.target", 0, r"ppo\.kl_controller\.target: .*greater than 0 \(got 0\)"),
    (CollectComparisonsInputs, "collect_comparisons.min_responses", 5, r"min_responses 5 exceeds max_responses 4"),
    (CollectComparisonsInputs, "collect_comparisons.labelers", None, r"set max_prompts and max_judge_prompts to 0"),
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
    ],
)
def test_a_broken_file_is_named_by_line(tmp_path, text, message):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match=message):
        load(tmp_path, SftInputs)


def test_an_absent_file_says_how_to_make_one(tmp_path):
    with pytest.raises(ParamsError, match=r"cp presets/laptop\.yaml"):
        load(tmp_path, SftInputs)


def test_parameters_cannot_be_changed_in_flight(root):
    params = load(root, SftInputs)
    with pytest.raises(ValueError, match="frozen"):
        params.sft.epochs = 3
