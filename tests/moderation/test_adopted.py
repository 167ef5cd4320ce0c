"""An adopted moderator gives the probabilities of transformers' own class, by category."""

import pytest
import torch
import transformers

from rlhf import moderation
from rlhf.moderation import moderator
from rlhf.moderation.adopted import AdoptedClassifier
from rlhf.params.base import ParamsError, parse
from rlhf.params.moderation.section import Adopted
from tests import toys

LABELS = {"fine": None, "cruel": "violence", "greedy": "theft", "grim": "violence"}
CATEGORIES = ("theft", "violence")
TEXTS = ["Say red.", "The amber fox sat on the mat.", "Who?", "你好"]


@pytest.fixture
def tokenizer():
    return toys.tokenizer()


def saved(folder, tokenizer, labels=tuple(LABELS)):
    torch.manual_seed(3)
    names = dict(enumerate(labels))
    config = toys.config(tokenizer, "llama", num_labels=len(names), id2label=names, initializer_range=0.3)
    model = transformers.AutoModelForSequenceClassification.from_config(config, attn_implementation="eager").eval()
    toys.save(folder, model, tokenizer)
    return model


def adopted(**changes) -> Adopted:
    given = {"kind": "adopted", "path": "model", "revision": None, "labels": LABELS, "probabilities": "softmax"}
    return parse(Adopted, given | changes, "moderation.classifier")


def logits(model, tokenizer, text):
    with torch.no_grad():
        return model(**tokenizer(text, return_tensors="pt")).logits[0]


def test_labels_of_one_category_add_up_where_a_text_has_one_label(tmp_path, tokenizer):
    model = saved(tmp_path / "model", tokenizer)
    judge = AdoptedClassifier(adopted(), CATEGORIES, tmp_path, toys.runtime())
    found = judge.by_category(TEXTS)
    for text, row, harm in zip(TEXTS, found, judge.harm(found), strict=True):
        fine, cruel, greedy, grim = logits(model, tokenizer, text).softmax(-1).tolist()
        assert row.tolist() == pytest.approx([greedy, cruel + grim], abs=1e-5)
        assert harm == pytest.approx(1 - fine, abs=1e-5)


def test_labels_that_may_hold_together_count_by_the_likeliest(tmp_path, tokenizer):
    model = saved(tmp_path / "model", tokenizer)
    judge = AdoptedClassifier(adopted(probabilities="sigmoid"), CATEGORIES, tmp_path, toys.runtime())
    found = judge.by_category(TEXTS)
    for text, row, harm in zip(TEXTS, found, judge.harm(found), strict=True):
        _, cruel, greedy, grim = logits(model, tokenizer, text).sigmoid().tolist()
        assert row.tolist() == pytest.approx([greedy, max(cruel, grim)], abs=1e-5)
        assert harm == pytest.approx(max(greedy, cruel, grim), abs=1e-5)


def test_one_label_is_read_by_sigmoid(tmp_path, tokenizer):
    model = saved(tmp_path / "model", tokenizer, ["cruel"])
    one = adopted(labels={"cruel": "violence"}, probabilities="sigmoid")
    found = AdoptedClassifier(one, CATEGORIES, tmp_path, toys.runtime()).by_category(TEXTS[:1])
    assert found[0].tolist() == pytest.approx([0.0, logits(model, tokenizer, TEXTS[0]).sigmoid().item()], abs=1e-5)


def test_a_text_longer_than_the_model_reads_is_judged_by_its_worst_piece(tmp_path, tokenizer):
    saved(tmp_path / "model", tokenizer)
    judge = AdoptedClassifier(adopted(), CATEGORIES, tmp_path, toys.runtime())
    long = " ".join(TEXTS[:3] * 20)
    pieces = [tokenizer.decode(piece) for piece in judge._pieces(long)]
    assert len(pieces) > 2
    worst = max(judge.harm(judge.by_category(pieces)))
    assert judge.harm(judge.by_category([long]))[0] == pytest.approx(worst, abs=0.02)
    assert judge.by_category([""]).shape == (1, 2)


def test_a_marker_that_somebody_typed_is_text(tmp_path, tokenizer):
    saved(tmp_path / "model", tokenizer)
    judge = AdoptedClassifier(adopted(), CATEGORIES, tmp_path, toys.runtime())
    (piece,) = judge._pieces("<|endoftext|> Say red.")
    assert tokenizer.eos_token_id not in piece
    assert len(piece) > 3


def test_labels_that_are_not_the_models_are_refused(tmp_path, tokenizer):
    saved(tmp_path / "model", tokenizer)
    for labels in ({"fine": None, "cruel": "violence"}, LABELS | {"other": "theft"}):
        with pytest.raises(ValueError, match=r"classifier\.labels: expected each of its labels .*fine, cruel"):
            AdoptedClassifier(adopted(labels=labels), CATEGORIES, tmp_path, toys.runtime())
    saved(tmp_path / "model", tokenizer, ["cruel"])
    chosen = adopted().model_copy(update={"labels": {"cruel": "violence"}})
    with pytest.raises(ValueError, match="it has one label; expected 'sigmoid'"):
        AdoptedClassifier(chosen, CATEGORIES, tmp_path, toys.runtime())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": {"a": None}}, "every label is null"),
        ({"labels": {"a": "theft"}}, "with softmax one label must be null"),
    ],
)
def test_labels_that_would_block_nothing_or_everything_are_refused(changes, said):
    with pytest.raises(ParamsError, match=said):
        adopted(**changes)


def test_its_folder_names_it_and_opens_it(tmp_path, tokenizer):
    saved(tmp_path / "model", tokenizer)
    folder = tmp_path / "data/moderation"
    folder.mkdir(parents=True)
    judge = AdoptedClassifier(adopted(), CATEGORIES, tmp_path, toys.runtime())
    moderator.save(folder, judge, {"en": 0.3, "zh": 0.9})
    assert [file.name for file in folder.iterdir()] == [moderator.FILE]
    opened = moderation.opened(folder, toys.runtime())
    harm = judge.harm(judge.by_category(TEXTS))
    assert [one.probability for one in opened.judge(TEXTS)] == pytest.approx(harm.tolist())
    toys.write_params(tmp_path, toys.shrunken_params())
    assert moderation.opened(folder).judge(TEXTS) == opened.judge(TEXTS)
