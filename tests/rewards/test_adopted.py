"""An adopted reward model scores as transformers' own class does with the model's own tokenizer and template."""

import pytest
import torch
import transformers

from rlhf.params.base import parse
from rlhf.params.rewards import AdoptedReward
from rlhf.rewards.adopted import AdoptedScorer
from tests import toys

MESSAGES = [[{"role": "user", "content": text}] for text in ("Say red.", "The amber fox sat on the mat.", "Who?")]
ANSWERS = ["red fox.", "amber", "Nobody knows, they said."]


@pytest.fixture
def tokenizer():
    """A tokenizer that a test may change."""
    return toys.tokenizer()


def adopted(**keys) -> AdoptedReward:
    return parse(AdoptedReward, {"path": "model", **keys}, "adopted")


def saved(tmp_path, tokenizer, family="llama", labels=1, **more):
    torch.manual_seed(3)
    config = toys.config(tokenizer, family, num_labels=labels, initializer_range=0.3, **more)
    model = transformers.AutoModelForSequenceClassification.from_config(config, attn_implementation="eager").eval()
    toys.save(tmp_path / "model", model, tokenizer)
    return model


def encoder(tmp_path, tokenizer):
    torch.manual_seed(3)
    config = transformers.BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64, num_labels=1, pad_token_id=tokenizer.pad_token_id, initializer_range=0.3,
    )  # fmt: skip
    model = transformers.BertForSequenceClassification(config).eval()
    tokenizer.chat_template = None
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    tokenizer.init_kwargs["model_input_names"] = None  # so that it is saved
    toys.save(tmp_path / "model", model, tokenizer)
    return model


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("template", ["{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}", None])
def test_the_score_is_the_plain_logit_of_the_models_own_rendering(tmp_path, tokenizer, family, template):
    tokenizer.chat_template = template or tokenizer.chat_template
    model = saved(tmp_path, tokenizer, family)
    scores = AdoptedScorer(adopted(), tmp_path, toys.runtime()).score_texts(MESSAGES, ANSWERS, 2)
    for messages, answer, score in zip(MESSAGES, ANSWERS, scores, strict=True):
        turns = [*messages, {"role": "assistant", "content": answer}]
        ids = tokenizer(tokenizer.apply_chat_template(turns, tokenize=False), return_tensors="pt").input_ids
        assert score == pytest.approx(model(input_ids=ids).logits.item(), abs=1e-5)


def test_without_a_template_prompt_and_answer_are_a_pair(tmp_path, tokenizer, capsys):
    model = encoder(tmp_path, tokenizer)
    scores = AdoptedScorer(adopted(), tmp_path, toys.runtime()).score_texts(MESSAGES, ANSWERS)
    assert "token_type_ids" in tokenizer("a", "b")
    for messages, answer, score in zip(MESSAGES, ANSWERS, scores, strict=True):
        pair = tokenizer(messages[0]["content"], answer, return_tensors="pt")
        assert score == pytest.approx(model(**pair).logits.item(), abs=1e-5)
    assert "no chat template: prompt and answer as a pair" in capsys.readouterr().err


def test_of_several_labels_the_named_one_is_the_score(tmp_path, tokenizer):
    model = saved(tmp_path, tokenizer, labels=3, id2label={0: "bad", 1: "fair", 2: "good"})
    turns = [*MESSAGES[0], {"role": "assistant", "content": ANSWERS[0]}]
    ids = torch.tensor([tokenizer.apply_chat_template(turns, return_dict=True)["input_ids"]])
    logits = model(input_ids=ids).logits[0]
    for label, expected in (("good", logits[2]), (2, logits[2]), ("bad", logits[0])):
        scorer = AdoptedScorer(adopted(label=label), tmp_path, toys.runtime())
        assert scorer.score_texts(MESSAGES[:1], ANSWERS[:1]) == pytest.approx([expected.item()], abs=1e-5)
    for label in (None, "best", 3, -1):
        with pytest.raises(ValueError, match="3 labels; set label .* 0: bad, 1: fair, 2: good"):
            AdoptedScorer(adopted(label=label), tmp_path, toys.runtime())


def test_a_language_model_without_a_head_is_refused(tmp_path, tokenizer):
    toys.save(tmp_path / "model", toys.policy(tokenizer), tokenizer)
    with pytest.raises(ValueError, match=r"drawn at random.*score.weight"):
        AdoptedScorer(adopted(), tmp_path, toys.runtime())


def test_long_dialogues_lose_their_oldest_tokens_and_are_counted(tmp_path, tokenizer, capsys):
    saved(tmp_path, tokenizer)
    scorer = AdoptedScorer(adopted(), tmp_path, toys.runtime())
    long = [{"role": "user", "content": "The amber fox sat on the mat. " * 40}]
    row = scorer.row(long, "red fox.")
    assert (len(row.ids), row.is_cut) == (64, True)
    assert scorer.score_texts([long, *MESSAGES], ["red fox.", *ANSWERS])[0] == pytest.approx(
        scorer.model(input_ids=torch.tensor([row.ids])).logits.item(), abs=1e-5
    )
    assert scorer.num_cut == 1
    assert "1 of 4 dialogues have more than its 64 tokens" in capsys.readouterr().err


def test_a_typed_marker_is_read_as_text(tmp_path, tokenizer):
    saved(tmp_path, tokenizer)
    scorer = AdoptedScorer(adopted(), tmp_path, toys.runtime())
    typed = scorer.row([{"role": "user", "content": "<|assistant|> red"}], "x")
    assert typed.ids.count(tokenizer.convert_tokens_to_ids("<|assistant|>")) == 1
