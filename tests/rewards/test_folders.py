"""A reward model's folder means the same to everyone: to us, to plain transformers, to its scorer.py and to MLflow.

Others read it in one fresh process that has nothing of this project on its path.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from rlhf.models import loading, reward_head
from rlhf.models.reward_head import RewardMeaning
from rlhf.params.base import parse
from rlhf.params.rewards import AdoptedReward
from rlhf.preferences import publishing, rewards
from rlhf.rewards import adopted
from rlhf.runs.recording import recorder
from rlhf.tokens import chat
from tests import toys

LAST, MEAN = RewardMeaning("last", 0.0, shift=0.7, gain=2.5), RewardMeaning("mean", 3.0, shift=-2.0, gain=0.5)
CHATML = (
    "{% for message in messages %}{{ '<|system|>' + message['role'] }}\n{{ message['content'] }}<|endoftext|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|system|>assistant\n{% endif %}"
)
DIALOGUES = [
    ([{"role": "user", "content": "Say red."}], "red fox."),
    ([{"role": "user", "content": "The amber fox sat on the mat. Say blue."}], " a  blue\nfox "),
    ([{"role": "user", "content": "Say red."}, {"role": "assistant", "content": "red"},
      {"role": "user", "content": "Who?"}], "北京"),
]  # fmt: skip
TYPED = ([{"role": "user", "content": "a <|user|> red <|endoftext|>"}], "I <|endoftext|> said red.")
PLAIN = ("llama", "gpt2", "chatml", "bos", "encoder")
OWN = ("mean", "likelihood", "sigmoid")
OTHERS = """
import importlib.util, json, sys
from pathlib import Path
assert not [place for place in sys.path if (Path(place) / "rlhf").is_dir()], sys.path
import mlflow, torch, transformers
dialogues, found = json.loads(sys.argv[1]), {}
for folder in map(Path, sys.argv[2:]):
    own = found[folder.name] = {}
    spec = importlib.util.spec_from_file_location("scorer", folder / "scorer.py")
    scorer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scorer)
    own["scorer"] = scorer.Scorer().score([turns for turns, _ in dialogues], [text for _, text in dialogues], 2)
    rows = [{"messages": turns, "response": text} for turns, text in dialogues]
    own["mlflow"] = mlflow.pyfunc.load_model(str(folder.parent / "mlflow" / folder.name)).predict(rows)
    try:
        model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    except ValueError as error:
        own["plain"] = str(error)
        try:
            transformers.pipeline("text-classification", model=str(folder))
        except ValueError as error:
            own["pipeline"] = str(error)
        continue
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    pipeline = transformers.pipeline("text-classification", model=str(folder))
    own["plain"], own["pipeline"] = [], []
    for turns, text in dialogues:
        if tokenizer.chat_template is None:
            pair = "\\n".join(turn["content"] for turn in turns), text
            inputs, piped = tokenizer(*pair, return_tensors="pt"), {"text": pair[0], "text_pair": pair[1]}
        else:
            piped = tokenizer.apply_chat_template([*turns, {"role": "assistant", "content": text}], tokenize=False)
            inputs = tokenizer(piped, return_tensors="pt")
        own["plain"].append(model(**inputs).logits.item())
        scored = pipeline(piped)
        own["pipeline"].append((scored[0] if isinstance(scored, list) else scored)["score"])
print(json.dumps(found))
"""


def trained(folder: Path, kind: str) -> rewards.RewardScorer:
    """Return the scorer of a folder as training leaves it."""
    tokenizer = toys.tokenizer()
    family, meaning = "gpt2" if kind == "gpt2" else "llama", LAST
    if kind == "chatml":
        tokenizer.chat_template = CHATML
    if kind == "bos":
        tokenizer.chat_template = "{{ bos_token }}" + chat.CHAT_TEMPLATE
        tokenizer.add_special_tokens({"bos_token": "<|endoftext|>"})
        begun = __import__("tokenizers").processors.TemplateProcessing(
            single="<|endoftext|> $A", pair="<|endoftext|> $A $B",
            special_tokens=[("<|endoftext|>", tokenizer.bos_token_id)],
        )  # fmt: skip
        tokenizer.backend_tokenizer.post_processor = begun
    if kind in OWN:
        meaning = {"mean": MEAN._replace(likelihood_coef=0.0), "likelihood": MEAN,
                   "sigmoid": LAST._replace(activation="sigmoid")}[kind]  # fmt: skip
    model: Any = toys.reward_model(tokenizer, family)
    if kind == "encoder":
        tokenizer.chat_template = None
        tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
        tokenizer.init_kwargs["model_input_names"] = None  # so that it is saved
        torch.manual_seed(3)
        config = transformers.BertConfig(
            vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_labels=1,
            intermediate_size=64, max_position_embeddings=64, pad_token_id=0, initializer_range=0.3,
        )  # fmt: skip
        model = transformers.BertForSequenceClassification(config).eval()
        model.classifier.bias.data.fill_(0.3)
    if kind == "gpt2":
        torch.nn.init.normal_(model.transformer.ln_f.bias)
    meaning.write_into(model.config)
    return toys.scorer(folder, model, tokenizer)


class Store:
    """Stands for MLflow's client: keeps a model's files in a folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def log_model_artifacts(self, model_id, folder):
        shutil.copytree(folder, self.folder / model_id, dirs_exist_ok=True)


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """What the trained models say of the dialogues, what we say of their published folders, and what others do."""
    root = tmp_path_factory.mktemp("folders")
    turns, texts = [messages for messages, _ in DIALOGUES], [text for _, text in DIALOGUES]
    before, after, published = {}, {}, {}
    for kind in (*PLAIN, *OWN):
        scorer = trained(root / kind, kind)
        before[kind] = scorer.score_texts(turns, texts)
        meaning = RewardMeaning.of(scorer.model.config)
        published[kind] = publishing.publish(scorer.model, scorer.tokenizer, root / kind, meaning)
        after[kind] = rewards.RewardScorer(root / kind, toys.runtime()).score_texts(turns, texts)
        store = Store(root / "mlflow")
        store.log_model_artifacts(kind, root / kind)
        recorder._log_as_pyfunc(store, kind)
    command = [sys.executable, "-I", "-c", OTHERS, json.dumps(DIALOGUES), *(str(root / kind) for kind in after)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return root, before, after, published, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("kind", PLAIN)
def test_a_plain_folders_score_is_the_standard_logit(read, kind):
    _, before, after, published, others = read
    assert published[kind].why_not_plain is None
    left = published[kind].meaning.shift
    assert (left == 0) == (kind in ("gpt2", "encoder"))  # where a bias holds the shift
    assert after[kind] == pytest.approx(before[kind], abs=1e-5)
    assert [logit - left for logit in others[kind]["plain"]] == pytest.approx(before[kind], abs=1e-5)
    assert [logit - left for logit in others[kind]["pipeline"]] == pytest.approx(before[kind], abs=1e-5)
    assert len({round(score, 3) for score in before[kind]}) == len(DIALOGUES)


@pytest.mark.parametrize("kind", OWN)
def test_plain_transformers_refuses_what_it_would_misread(read, kind):
    _, before, after, published, others = read
    assert published[kind].why_not_plain is not None
    assert after[kind] == before[kind]
    for way in ("plain", "pipeline"):
        assert "rlhf_reward_model" in others[kind][way]


@pytest.mark.parametrize("kind", [*PLAIN, *OWN])
@pytest.mark.parametrize("way", ["scorer", "mlflow"])
def test_its_own_scorer_reads_every_folder(read, kind, way):
    _, before, _, _, others = read
    assert others[kind][way] == pytest.approx(before[kind], abs=1e-5, rel=1e-6)


@pytest.mark.parametrize("kind", ["llama", "chatml", "likelihood", "encoder"])
def test_its_own_scorer_reads_typed_markers_as_text(read, kind):
    from rlhf.rewards import folder_scorer

    root = read[0]
    ours = rewards.RewardScorer(root / kind, toys.runtime())
    row = rewards.sequence(ours.tokenizer, *TYPED, None)
    assert folder_scorer.Scorer(root / kind).row(*TYPED) == row


def test_a_long_dialogue_is_cut_as_ours_is(read):
    from rlhf.rewards import folder_scorer

    long = [{"role": "user", "content": "The amber fox sat on the mat. " * 40}], "red fox."
    for kind in ("llama", "gpt2", "encoder"):
        ours = rewards.RewardScorer(read[0] / kind, toys.runtime())
        own = folder_scorer.Scorer(read[0] / kind)
        assert len(own.row(*long).ids) == 64
        assert own.row(*long) == rewards.sequence(ours.tokenizer, *long, 64)


def test_a_value_model_begins_where_the_unfolded_one_would(read, tmp_path):
    for kind in ("llama", "gpt2"):
        folded = loading.load_classifier(read[0] / kind, toys.runtime())
        reward_head.unfold(folded)
        expected = trained(tmp_path / kind, kind).model
        assert RewardMeaning.of(folded.config) == RewardMeaning.of(expected.config)
        for (name, weight), other in zip(folded.named_parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(weight, other, msg=name)


def test_a_policy_and_its_published_reward_model_still_share_tokens(read):
    for kind in ("llama", "chatml"):
        tokenizer = toys.tokenizer()
        tokenizer.chat_template = CHATML if kind == "chatml" else tokenizer.chat_template
        assert rewards.same_tokens(tokenizer, loading.read_tokenizer(read[0] / kind))


def test_the_card_says_the_folders_own_numbers(read, tmp_path):
    metrics = {"accuracy": 0.75, "tfidf_accuracy": 0.6, "pairs": 321, "gold_accuracy": 0.8125}
    for kind, expected in (("mean", "Plain transformers refuses this folder"), ("llama", "minus 1.75, a constant")):
        publishing.write_card(tmp_path, read[3][kind], publishing.Known(metrics, 48, "Say `red`.", [("red", 1.25)]))
        card = (tmp_path / "README.md").read_text()
        for part in (expected, "python scorer.py FILE", "| held-out pairs | 321 |", "0.812", "- 1.2500: `red`"):
            assert part in card


@pytest.mark.parametrize("kind", ["llama", "gpt2", "likelihood", "encoder"])
def test_a_folder_made_here_may_be_adopted_elsewhere(read, kind):
    """A plain one by its logit, which differs by a constant at most; any other as its own scorer reads it."""
    root, before, _, published, _ = read
    params = parse(AdoptedReward, {"path": kind}, "adopted")
    turns, texts = [messages for messages, _ in DIALOGUES], [text for _, text in DIALOGUES]
    scores = adopted.opened(params, root, toys.runtime()).score_texts(turns, texts)
    left = published[kind].meaning.shift if kind != "likelihood" else 0.0
    assert [score - left for score in scores] == pytest.approx(before[kind], abs=1e-5, rel=1e-6)
    if kind == "likelihood":
        with pytest.raises(ValueError, match="no standard class reads its scores"):
            adopted.AdoptedScorer(params, root, toys.runtime())
        labelled = parse(AdoptedReward, {"path": kind, "label": 0}, "adopted")
        with pytest.raises(ValueError, match="label must be left out"):
            adopted.opened(labelled, root, toys.runtime())
