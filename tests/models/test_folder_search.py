"""A search for model folders that end in a traceback: generated ones, each adopted or refused in one line.

`SEARCH=10000 pytest tests/models/test_folder_search.py` searches further than the few examples of every day.
"""

import json
import re
import shutil
import struct

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertModel

from rlhf.models import adoption, loading
from rlhf.params.base import parse
from rlhf.params.pretrain import LocalModel
from rlhf.params.reward_model import RewardModel
from rlhf.preferences import preference_training, rewards
from rlhf.records.types import CopyProbe
from rlhf.tokens import chat
from stages import pretrain
from tests import toys
from tests.models.folder_changes import (
    ADDED,
    CONFIG,
    GENERATION,
    KEYS,
    MAP,
    TEMPLATE,
    WEIGHTS,
    WORDS,
    WORDS_CONFIG,
    mutate,
    nested,
    parts,
)  # fmt: skip
from tests.models.test_adoption import chatml_tokenizer
from tests.models.test_strangers import bert
from tests.searching import LONGEST, search
from tools import check

SEARCH = search(30)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Folders of three families: one without template and PAD, one with its weights in several files."""
    base, tokenizer = tmp_path_factory.mktemp("whole"), chatml_tokenizer()
    bare = chatml_tokenizer(chat_template=None, pad_token=None)
    toys.save(base / "llama", toys.policy(tokenizer, spread=0.1), tokenizer)
    toys.save(base / "gpt2", toys.policy(tokenizer, "gpt2", spread=0.1), bare)
    model = toys.policy(tokenizer, "qwen2", spread=0.1)
    (toys.save(base / "shards", model, tokenizer) / WEIGHTS).unlink()
    model.save_pretrained(base / "shards", max_shard_size="40KB")
    toys.save(base / "bert", BertModel(bert()), chatml_tokenizer(chat_template=None))
    return base


def adopt(root):
    """Check params that adopt the folder `brought`, adopt it, save it, and use what was saved as later stages do."""
    content = toys.shrunken_params() | {"pretrain": toys.adopting("brought")}
    assert all(mistake.startswith("params.yaml: ") for mistake in check.mistakes_in(content, root))
    params = parse(LocalModel, toys.adopting("brought"), "pretrain")
    model, tokenizer = adoption.adopt(params, root, toys.runtime(), lambda _: None)
    loading.save(model, tokenizer, root / "made")
    model, tokenizer = loading.load_policy(root / "made", toys.runtime())
    chat.dialogue_ids(tokenizer, [{"role": "user", "content": "Say red. <|im_end|>"}], "red fox.")
    probes = [CopyProbe(kind="copy_probe", type="last_word", text="Say red. Say", expected="red")]
    pretrain.copying(model, tokenizer, probes, toys.runtime())


ON_AN_ENCODER = {"backbone": "encoder", "encoder_path": "brought", "pooling": "last", "likelihood_coef": 0.0}


def train_on(root):
    """Begin a reward model on the encoder `brought`, save it, and score by it."""
    params = toys.section(RewardModel, "reward_model", **ON_AN_ENCODER)
    generator = torch.Generator().manual_seed(1)
    model, tokenizer = preference_training.start(root, params, toys.runtime(), generator)
    preference_training.save(model, tokenizer, root / "made", preference_training.meaning_of(params))
    messages = [[{"role": "user", "content": "Say red. <|im_end|>"}]]
    rewards.RewardScorer(root / "made", toys.runtime()).score_texts(messages, ["red fox."])


WAYS = {"llama": adopt, "gpt2": adopt, "shards": adopt, "bert": train_on}


def assert_in_a_line(error, folder):
    said = str(error)
    assert said.startswith(f"{folder}")
    assert any(name in said.split(" Expected a folder (or hub id)")[0] for name in (*KEYS, TEMPLATE))
    assert "\n" not in said
    assert len(said) < LONGEST + len(str(folder))


@SEARCH
@given(data=st.data())
def test_any_model_folder_is_adopted_or_refused_in_one_line(tmp_path, whole, data):
    folder = tmp_path / "brought"
    kind = data.draw(st.sampled_from(list(WAYS)))
    shutil.copytree(whole / kind, folder)
    try:
        mutate(data.draw, folder)
        before = toys.file_bytes(folder)
        try:
            WAYS[kind](tmp_path)
        except ValueError as error:
            assert_in_a_line(error, folder)
        assert toys.file_bytes(folder) == before
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(tmp_path / "made", ignore_errors=True)


def of_json(name, **changes):
    """Return a change of a folder: one of its JSON files says these things as well."""

    def edit(folder):
        file = folder / name
        content = (json.loads(file.read_text()) if file.exists() else {}) | changes
        file.write_text(json.dumps(content))

    return edit


def of_bytes(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def of_header(edit):
    def change(folder):
        header, rest = parts((folder / WEIGHTS).read_bytes())
        edit(header)
        made = json.dumps(header).encode()
        (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(made)) + made + rest)

    return change


TOKEN = {"id": 0, "content": "x", "special": True, "normalized": False, "lstrip": False, "rstrip": False}
NO_WORDS = {"type": "BPE", "vocab": {}, "merges": []}
FOUND = {  # by the search, and by hand where it asks for a model that fills the memory
    "no JSON": (of_bytes(WORDS_CONFIG, b'{\n"a": }'), "tokenizer_config.json: line 2, column 6: not valid JSON"),
    "no UTF-8": (of_bytes(MAP, b'{"a": "\xff"}'), "special_tokens_map.json: byte 7: not UTF-8"),
    "a list for an object": (of_bytes(MAP, b"[]"), "special_tokens_map.json: expected a JSON object, got []"),
    "too deep": (of_json(GENERATION, a=nested(70, "list")), "generation_config.json: more than 64 lists or objects"),
    "much too deep": (of_bytes(CONFIG, b'{"a":' * 9000), "config.json: lists or objects too deep"),
    "too many digits": (of_bytes(ADDED, b'{"a": ' + b"9" * 5000 + b"}"), "added_tokens.json: a number of more than"),
    "half a character": (of_bytes(WORDS_CONFIG, b'{"a": "\\ud800"}'), "\\ud800 is half of a character"),
    "no name of a kind": (of_json(CONFIG, model_type=["llama"]), "config.json: model_type: expected text or null"),
    "no code": (of_json(CONFIG, auto_map=3), "config.json: auto_map: expected an object or a list or text or null"),
    "no table of dtypes": (of_json(CONFIG, dtype=[]), "config.json: "),
    "no dtype of a part": (of_json(CONFIG, text_config=[]), "config.json"),
    "no number": (of_json(CONFIG, rms_norm_eps=float("nan")), "config.json: rms_norm_eps: expected a number"),
    "no label": (of_json(CONFIG, id2label="x"), "config.json: AttributeError"),
    "many labels": (of_json(CONFIG, num_labels=10**7), "config.json: num_labels: expected at most 100,000"),
    "many layers": (of_json(CONFIG, num_hidden_layers=2**31), "config.json: num_hidden_layers: expected at most"),
    "a vocabulary beyond memory": (of_json(CONFIG, vocab_size=2**31), "config.json: it names a model of 68,719"),
    "no class": (of_json(WORDS_CONFIG, tokenizer_class={}), "tokenizer_config.json: tokenizer_class: expected text"),
    "no tokens": (of_json(WORDS_CONFIG, added_tokens_decoder=[]), "tokenizer_config.json: added_tokens_decoder: "),
    "no token": (of_json(WORDS_CONFIG, eos_token={"a": 1}), "tokenizer_config.json: eos_token: expected an object"),
    "a token for a list": (of_json(MAP, additional_special_tokens="x"), "special_tokens_map.json: additional_spe"),
    "no length": (of_json(WORDS_CONFIG, model_max_length=[]), "tokenizer_config.json: model_max_length: expected"),
    "no added token": (of_json(WORDS, added_tokens=[[]]), "tokenizer.json: added_tokens[0]: expected an object"),
    "no id of a token": (of_json(WORDS, added_tokens=[TOKEN | {"id": "0"}]), "tokenizer.json: added_tokens[0].id: "),
    "no merges": (of_json(WORDS, model=NO_WORDS | {"merges": 3}), "tokenizer.json, tokenizer_config"),
    "no step of a tokenizer": (of_json(WORDS, post_processor={"type": 7}), "tokenizer.json, tokenizer_config"),
    "no words": (of_json(WORDS, pre_tokenizer=None, model=NO_WORDS), "tokenizer.json"),
    "a template that is no text": (
        lambda folder: [(folder / TEMPLATE).unlink(), of_json(WORDS_CONFIG, chat_template={"default": {}})(folder)],
        "tokenizer_config.json: chat_template: expected text, or texts by their names",
    ),
    "a broken template": (of_bytes(TEMPLATE, b"{% if"), "the turns user: TemplateSyntaxError"),
    "a template that refuses": (of_bytes(TEMPLATE, b"{{ raise_exception('no') }}"), "user: TemplateError: no"),
    "a template of wrong types": (of_bytes(TEMPLATE, b"{{ messages[0].content(3) }}"), "the turns user: TypeError"),
    "a date that is computed": (of_bytes(TEMPLATE, b"{{ strftime_now(3) }}"), "writes the date in a form"),
    "a template outside of a loop": (of_bytes(TEMPLATE, b"{% break %}"), "the turns user: SyntaxError"),
    "settings that do not fit": (of_json(GENERATION, temperature=0.5, do_sample=False), "generation_config.json (mend"),
    "a header that is cut": (of_bytes(WEIGHTS, b"\x01"), "model.safetensors: not safetensors: Error"),
    "a header without a shape": (
        of_header(lambda header: header["model.norm.weight"].pop("shape")), "model.safetensors: not safetensors"
    ),
}  # fmt: skip


FOUND_OF_ENCODERS = {
    "no PAD": (of_json(WORDS_CONFIG, pad_token=None), "tokenizer_config.json: no PAD token"),
    "draws that are infinite": (of_json(CONFIG, initializer_range=1e308), "config.json: initializer_range: "),
    "no EOS": (of_json(WORDS_CONFIG, chat_template="x", eos_token=None), "a chat template, and no EOS token"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("way", "kind"), [*(("llama", kind) for kind in FOUND), *(("bert", kind) for kind in FOUND_OF_ENCODERS)]
)
def test_what_the_search_found_is_said_with_file_and_key(tmp_path, whole, way, kind):
    edit, said = (FOUND_OF_ENCODERS if way == "bert" else FOUND)[kind]
    folder = tmp_path / "brought"
    shutil.copytree(whole / way, folder)
    edit(folder)
    before = toys.file_bytes(folder)
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        WAYS[way](tmp_path)
    assert_in_a_line(error.value, folder)
    assert toys.file_bytes(folder) == before


def test_what_some_architectures_say_is_taken(tmp_path, whole):
    """Gemma 3n has a vocabulary a layer, Mamba 2 a step that is not limited."""
    shutil.copytree(whole / "llama", tmp_path / "brought")
    said = {"vocab_size_per_layer_input": 262_144, "time_step_limit": [0.0, float("inf")], "layer_norm_eps": 1e-6}
    of_json(CONFIG, **said)(tmp_path / "brought")
    adopt(tmp_path)


def test_an_id_that_no_hub_answers_for_is_named():
    for read in (loading.read_tokenizer, loading.read_config):
        with pytest.raises(ValueError, match=r"^nobody/nothing: this model cannot be read: "):
            read("nobody/nothing", "0" * 40)
