"""Folders that strangers bring: no code of theirs runs, weights are what they are named, switches turn nothing."""

import ast
import builtins
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification, BertModel

from rlhf.models import loading, reward_head
from rlhf.preferences import rewards
from stages import pretrain, reward_model
from tests import toys
from tests.models.test_adoption import chatml_tokenizer, with_comparisons

OWN = {
    "AutoConfig": "own.Config",
    "AutoModelForCausalLM": "own.Model",
    "AutoModelForSequenceClassification": "own.Score",
}


@pytest.fixture
def asked(monkeypatch):
    """Whoever is asked says yes; what was asked is kept."""
    questions: list[str] = []
    monkeypatch.setattr(builtins, "input", lambda question="": questions.append(question) or "y")
    return questions


@pytest.fixture
def brought(root):
    """A model folder that pretrain adopts."""
    tokenizer = chatml_tokenizer()
    toys.save(root / "brought", toys.policy(tokenizer, spread=0.1), tokenizer)
    toys.set_param(root, "pretrain", toys.adopting("brought"))
    return root / "brought"


@pytest.fixture
def encoder(root):
    """The folder of a small BERT without a head, on which a reward model may be trained."""
    toys.save(root / "bert", BertModel(bert()), chatml_tokenizer())
    return root / "bert"


def bert(**more) -> BertConfig:
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    return BertConfig(vocab_size=len(chatml_tokenizer()), max_position_embeddings=48, **shape, **more)


def rewrite(file: Path, **changes) -> None:
    content = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(content | changes))


def with_code(folder: Path, **changes) -> Path:
    """Let a folder ask for code that would leave a file behind; return that file."""
    left = folder / "ran"
    (folder / "own.py").write_text(f"open({str(left)!r}, 'w').close()\n")
    rewrite(folder / "config.json", auto_map=OWN, **changes)
    rewrite(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["own.Words", None]})
    return left


def on_the_encoder(root: Path) -> None:
    """Ask for a reward model on the encoder, of comparisons that are there."""
    with_comparisons(root)
    asked_for = {"backbone": "encoder", "pooling": "last", "likelihood_coef": 0.0, "encoder_path": "bert"}
    for key, value in asked_for.items():
        toys.set_param(root, f"reward_model.{key}", value)


def new_reward_model(folder: Path):
    return reward_head.new_reward_model(folder, toys.runtime(), torch.Generator().manual_seed(1))


def test_code_for_which_there_is_no_other_class_is_refused_by_name_and_nobody_is_asked(root, brought, encoder, asked):
    left = with_code(brought, model_type="own")
    rewrite(brought / "config.json", auto_map={"AutoModelForCausalLM": "own.Model"})
    with pytest.raises(ValueError, match=r"brought: .*AutoModelForCausalLM: own\.Model.*never run") as said:
        pretrain.main(root)
    assert "trust_remote_code" not in str(said.value)
    also_left = with_code(encoder, model_type="own")
    with pytest.raises(ValueError, match=r"bert: .*own\.Score.*never run"):
        new_reward_model(encoder)
    rewrite(encoder / "tokenizer_config.json", tokenizer_class="Words")
    with pytest.raises(ValueError, match=r"bert: .*AutoTokenizer: own\.Words.*never run"):
        loading.read_tokenizer(encoder)
    assert not asked
    assert not left.exists()
    assert not also_left.exists()
    assert not (root / "data/pretrain").exists()


def test_where_transformers_has_the_class_code_is_ignored_said_and_not_passed_on(root, brought, asked, capsys):
    left = with_code(brought)
    pretrain.main(root)
    said = capsys.readouterr().out
    assert "brought: its own code" in said
    assert "own.Model" in said
    assert "own.Words" in said
    made = toys.file_bytes(root / "data/pretrain")
    assert not any(b"own." in content or b"auto_map" in content for content in made.values())
    assert not any(name.endswith(".py") for name in made)
    assert not asked
    assert not left.exists()
    loading.load_policy(root / "data/pretrain", toys.runtime())


def test_an_encoders_code_is_not_passed_on_either(root, encoder, asked, capsys):
    left = with_code(encoder)
    (encoder / "chat_template.jinja").unlink()
    on_the_encoder(root)
    reward_model.main(root, "r1")
    assert "bert: its own code" in capsys.readouterr().out
    assert not any(b"own." in content for content in toys.file_bytes(root / "data/reward_model/r1").values())
    assert not asked
    assert not left.exists()


def test_whoever_reads_a_model_says_that_code_is_not_run():
    calls = [
        (path, node)
        for package in ("rlhf", "stages", "tools", "study", "benchmarks")
        for path in sorted((toys.REPO / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "from_pretrained"
    ]
    assert calls
    for path, call in calls:
        said = {keyword.arg: keyword.value for keyword in call.keywords}.get("trust_remote_code")
        assert isinstance(said, ast.Constant), f"{path}:{call.lineno}"
        assert said.value is False


def change(folder: Path, edit) -> None:
    file = folder / "model.safetensors"
    found = load_file(file)
    edit(found)
    save_file(found, file, metadata={"format": "pt"})


def removed(part: str):
    return lambda weights: [weights.pop(name) for name in list(weights) if part in name]


def copied(part: str, to: str):
    return lambda weights: weights.update(
        {name.replace(part, to): weight.clone() for name, weight in list(weights.items()) if part in name}
    )


def filled(name: str, value: float):
    def fill(weights):
        weights[name].view(-1)[-1] = value

    return fill


LAYER = "layers.1."


def one_less(name: str):
    return lambda weights: weights.update({name: weights[name][:-1].clone()})


NAN, INFINITY = float("nan"), float("-inf")
WRONG = {
    "a layer is missing": (removed(LAYER), r"missing.*model\.layers\.1\.input_layernorm\.weight.*and 3 more"),
    "one weight is missing": (removed("layers.0.mlp.up"), r"missing.*: model\.layers\.0\.mlp\.up_proj\.weight\."),
    "the embeddings are missing": (removed("embed_tokens"), r"missing.*model\.embed_tokens\.weight"),
    "a layer is left over": (copied(LAYER, "layers.2."), r"does not name.*layers\.2\.input_layernorm\.weight"),
    "a bias is left over": (copied("q_proj.weight", "q_proj.bias"), r"does not name.*layers\.0.*q_proj\.bias"),
    "a part of the backbone is left over": (copied("model.norm", "model.other"), r"does not name.*model\.other"),
    "the output layer has a bias": (copied("model.norm.weight", "lm_head.bias"), r"does not name.*lm_head\.bias"),
    "a weight is NaN": (filled("model.norm.weight", NAN), r"not finite.*model\.norm\.weight"),
    "a weight is infinite": (filled("model.norm.weight", INFINITY), r"not finite.*model\.norm\.weight"),
    "the embeddings are too few": (
        one_less("model.embed_tokens.weight"), r"another size.*model\.embed_tokens\.weight \[329, 32\] for \[330, 32\]"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", list(WRONG))
def test_weights_that_are_not_the_named_model_are_refused_by_name(root, brought, what):
    edit, said = WRONG[what]
    change(brought, edit)
    with pytest.raises(ValueError, match=rf"(?s)brought: .*{said}"):
        pretrain.main(root)
    assert not (root / "data/pretrain").exists()


def test_untied_embeddings_without_an_output_layer_are_refused(root, brought):
    tokenizer = chatml_tokenizer()
    toys.save(brought, toys.policy(tokenizer, tie_word_embeddings=False), tokenizer)
    change(brought, removed("lm_head"))
    with pytest.raises(ValueError, match=r"missing.*lm_head\.weight"):
        pretrain.main(root)


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(root, brought):
    tokenizer = chatml_tokenizer()
    tokenizer.add_tokens(["<one>", "<more>"])
    tokenizer.save_pretrained(brought)
    with pytest.raises(ValueError, match=r"brought: .*tokens beyond the model's 330 embeddings.*: <more>, <one>"):
        pretrain.main(root)


def test_what_another_head_left_is_left_out_and_said_and_old_constants_are_let_be(root, brought, capsys):
    def edit(weights):
        weights["v_head.summary.weight"] = torch.ones(1, 32)
        weights["model.layers.0.self_attn.masked_bias"] = torch.tensor(-1e4)

    change(brought, edit)
    pretrain.main(root)
    assert "1 weights of other heads are left out: v_head.summary.weight" in capsys.readouterr().out
    assert not any("v_head" in name for name in load_file(root / "data/pretrain/model.safetensors"))


ENCODERS = {
    "bare": BertModel,
    "of masked words, without a pooler": BertForMaskedLM,
    "a classifier of two kinds": BertForSequenceClassification,
}


@pytest.mark.parametrize("kind", list(ENCODERS))
def test_a_reward_model_on_an_encoder_lacks_its_head_alone(root, encoder, kind):
    toys.save(encoder, ENCODERS[kind](bert()), chatml_tokenizer())
    assert reward_head.scalar_head(new_reward_model(encoder)).out_features == 1


@pytest.mark.parametrize("kind", list(ENCODERS))
@pytest.mark.parametrize("what", ["missing", "left over", "not finite"])
def test_an_encoder_of_other_weights_than_named_is_refused(root, encoder, kind, what):
    toys.save(encoder, ENCODERS[kind](bert()), chatml_tokenizer())
    last = "encoder.layer.1.output.dense.bias"
    edits = {
        "missing": removed(last),
        "left over": copied("encoder.layer.1.", "encoder.layer.2."),
        "not finite": lambda weights: [filled(name, float("nan"))(weights) for name in weights if last in name],
    }
    change(encoder, edits[what])
    said = {"missing": "missing", "left over": "does not name", "not finite": "not finite"}[what]
    with pytest.raises(ValueError, match=rf"bert: .*{said}.*encoder\.layer\.[12]"):
        new_reward_model(encoder)


def test_a_reward_model_without_its_head_scores_nothing(tmp_path, tokenizer):
    toys.save(tmp_path, toys.reward_model(tokenizer), tokenizer)
    change(tmp_path, removed("score"))
    with pytest.raises(ValueError, match=r"missing.*score\.weight"):
        rewards.RewardScorer(tmp_path, toys.runtime())


def test_an_encoders_tokenizer_fits_it(root, encoder):
    tokenizer = chatml_tokenizer(chat_template=None)
    tokenizer.add_tokens(["<more>"])
    tokenizer.save_pretrained(encoder)
    on_the_encoder(root)
    with pytest.raises(ValueError, match=r"bert: .*tokens beyond the model's 330 embeddings.*<more>"):
        reward_model.main(root, "r1")


EIGHT_BITS, UNKNOWN = ({"quantization_config": {"quant_method": method}} for method in ("fp8", "nobody knows"))
REFUSED = {
    "quantised": ("config.json", EIGHT_BITS, "quantization_config"),
    "quantised by who knows what": ("config.json", UNKNOWN, "quantization_config"),
    "a part is quantised": (
        "config.json",
        {"text_config": {"model_type": "llama"} | EIGHT_BITS},
        "quantization_config",
    ),
    "weights of another name": ("config.json", {"transformers_weights": "others.bin"}, "transformers_weights"),
    "an adapter": ("adapter_config.json", {"base_model_name_or_path": "some/other", "peft_type": "LORA"}, "adapter"),
    "a width that is no number": ("config.json", {"hidden_size": "wide"}, "hidden_size"),
}


@pytest.mark.parametrize("what", list(REFUSED))
def test_what_is_no_whole_model_in_plain_safetensors_is_refused(root, brought, what):
    file, changes, said = REFUSED[what]
    rewrite(brought / file, **changes)
    with pytest.raises(ValueError, match=rf"brought: .*{said}"):
        pretrain.main(root)


SWITCHES = {
    "attn_implementation": "flash_attention_2", "_attn_implementation": "flash_attention_2",
    "experts_implementation": "grouped_mm", "use_cache": False, "return_dict": False, "output_hidden_states": True,
    "output_attentions": True, "fusion_config": {"own": True}, "distributed_config": {"tp_size": 2},
    "kernel_config": {"own": "own"}, "use_kernels": True, "base_model_name_or_path": "some/other",
}  # fmt: skip


@pytest.mark.parametrize("switch", [*SWITCHES, "all"])
def test_switches_of_a_folder_turn_nothing_and_are_said(root, brought, switch, capsys):
    pretrain.main(root)
    expected = toys.file_bytes(root / "data/pretrain") | toys.file_bytes(root / "metrics")
    assert "left out" not in capsys.readouterr().out
    turned = SWITCHES if switch == "all" else {switch: SWITCHES[switch]}
    rewrite(brought / "config.json", **turned)
    pretrain.main(root)
    assert toys.file_bytes(root / "data/pretrain") | toys.file_bytes(root / "metrics") == expected
    said = capsys.readouterr().out
    assert all(f"{name}: {value}"[:60] in said for name, value in turned.items())


def test_a_folders_precision_is_not_taken(root, brought):
    rewrite(brought / "config.json", dtype="float16")
    pretrain.main(root)
    assert json.loads((root / "data/pretrain/config.json").read_text())["dtype"] == "float32"


@pytest.fixture
def in_shards(brought):
    """The folder's weights in several files, as large models have them; returns its index."""
    model = toys.policy(chatml_tokenizer(), spread=0.1)
    (brought / "model.safetensors").unlink()
    model.save_pretrained(brought, max_shard_size="40KB")
    return brought / "model.safetensors.index.json"


def pointing(index: Path, name: object) -> Path:
    """Let an index name another file in place of its first; returns the folder."""
    content = json.loads(index.read_text())
    first = min(content["weight_map"].values())
    content["weight_map"] = {key: name if one == first else one for key, one in content["weight_map"].items()}
    index.write_text(json.dumps(content))
    return index.parent


def test_weights_in_several_files_are_read(in_shards):
    assert loading.load_causal(in_shards.parent, toys.runtime()).num_parameters() > 0


@pytest.mark.parametrize("name", ["../outside.safetensors", "a/../../outside.safetensors", "{}/outside.safetensors",
                                  "..\\outside.safetensors", "C:\\outside.safetensors", "", 3, None])  # fmt: skip
def test_an_index_that_names_a_file_outside_of_its_folder_is_refused(in_shards, name):
    folder = in_shards.parent
    first = min(json.loads(in_shards.read_text())["weight_map"].values())
    (folder / first).rename(folder.parent / "outside.safetensors")  # what would be read is whole
    pointing(in_shards, name.format(folder.parent) if isinstance(name, str) else name)
    with pytest.raises(ValueError, match=r"model\.safetensors\.index\.json: names files outside of its folder"):
        loading.load_causal(folder, toys.runtime())


def test_a_file_of_an_index_that_is_not_there_is_named(in_shards):
    with pytest.raises(ValueError, match=r"index\.json: names files that are not there: gone\.safetensors"):
        loading.load_causal(pointing(in_shards, "gone.safetensors"), toys.runtime())


@pytest.mark.parametrize("content", ["{", "[1]", "{}", '{"weight_map": [1]}', '{"weight_map": null}'])
def test_an_index_that_is_none_is_named(in_shards, content):
    in_shards.write_text(content)
    with pytest.raises(ValueError, match=r"index\.json: (expected \{weight_map|expected a JSON object|line 1)"):
        loading.load_causal(in_shards.parent, toys.runtime())
