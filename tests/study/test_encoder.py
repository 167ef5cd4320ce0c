"""The laboratory's small BERT: it has the shape of study/params.yaml and has seen the documents of its seed."""

import json

import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from rlhf.params.base import read_yaml
from rlhf.records import records
from study import encoder, params, workspace
from tests import toys

SIZES = {
    "seed": 18, "layers": 2, "width": 16, "heads": 2, "context": 32, "vocab_size": 120, "steps": 3, "batch_size": 4,
    "row_tokens": 12, "learning_rate": 0.01,
}  # fmt: skip


def test_an_encoder_of_the_asked_shape_is_trained_on_the_documents_of_its_seed(tmp_path, monkeypatch):
    (tmp_path / "study").mkdir()
    (tmp_path / params.FILE).write_text(json.dumps(read_yaml(toys.REPO / params.FILE) | {"encoder": SIZES}))
    (tmp_path / "presets").mkdir()
    (tmp_path / params.PRESET).write_bytes((toys.REPO / "presets/tiny.yaml").read_bytes())
    asked = []

    def prepare(root, name, content):
        asked.append((root, name, content["seed"]))
        folder = root / workspace.FOLDER / name
        documents = [{"kind": "document", "text": text, "source": "toy"} for text in toys.TEXTS]
        records.write(folder / "data/collect_prompts/documents.train.jsonl", documents)
        return folder

    monkeypatch.setattr(workspace, "prepare", prepare)
    monkeypatch.setattr(workspace, "reproduce", lambda folder, targets: asked.append((folder, targets)))
    encoder.main(tmp_path)
    folder = tmp_path / workspace.FOLDER / "encoder"
    assert asked == [(tmp_path, "encoder", 18), (folder, ["collect_prompts"])]
    assert not folder.exists()
    made = json.loads((tmp_path / encoder.OUT / "config.json").read_text())
    shape = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size", "max_position_embeddings")
    assert [made[name] for name in shape] == [2, 16, 2, 64, 32]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / encoder.OUT)
    assert made["vocab_size"] == len(tokenizer) <= 120
    assert made["pad_token_id"] == tokenizer.pad_token_id
    assert tokenizer.model_max_length == 32
    assert tokenizer.tokenize("The Fox") != tokenizer.tokenize("the fox")  # names are told by their capitals
    weights = load_file(tmp_path / encoder.OUT / "model.safetensors")
    assert not any(name.startswith("cls.") for name in weights)  # the body alone
    assert all(torch.isfinite(weight).all() for weight in weights.values())
    biases = [weight for name, weight in weights.items() if name.endswith("query.bias")]
    assert len(biases) == 2
    assert all(bias.abs().max() > 0 for bias in biases)  # they begin at 0: it was trained
