"""A model from elsewhere: its own tokenizer, template and markers, through every stage that trains; and encoders."""

import json
import shutil

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertModel,
    BertTokenizerFast,
    PreTrainedTokenizerFast,
)

from rlhf.models import classifiers, loading, reward_head
from rlhf.preferences import rewards
from rlhf.records import records
from rlhf.records.types import Demonstration
from rlhf.sampling import rollouts
from rlhf.tokens import chat
from stages import ppo, pretrain, reward_model, sft
from tests import toys
from tools import check

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def chatml_tokenizer(**more):
    """A tokenizer as foreign models bring it: other markers than ours; by default ChatML's template and a PAD."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(toys.TEXTS, trainer)
    usual = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "chat_template": CHATML}
    return PreTrainedTokenizerFast(tokenizer_object=made, **usual | more)


def adopting(root, tokenizer, family: str = "qwen2"):
    """Put a foreign model folder below the root and ask pretrain to adopt it; returns the model."""
    model = toys.policy(tokenizer, family, spread=0.1, tie_word_embeddings=False)
    toys.save(root / "elsewhere/model", model, tokenizer)
    toys.set_param(root, "pretrain", toys.adopting("elsewhere/model"))
    for name in ("reward_model", "judge"):
        toys.set_param(root, f"{name}.likelihood_coef", 0.0)
    return model


def with_comparisons(root):
    source = root / "data/collect_comparisons/r1"
    records.write(source / "comparisons.train.jsonl", toys.comparisons(8))
    records.write(source / "comparisons.validation.jsonl", toys.comparisons(4))
    return root


@pytest.mark.parametrize("family", ["qwen2", "llama"])
def test_an_adopted_model_goes_through_every_stage_with_its_own_tokenizer(root, family):
    tokenizer = chatml_tokenizer()
    model = adopting(root, tokenizer, family)
    with_comparisons(root)
    toys.set_param(root, "ppo.iterations", 1)
    pretrain.main(root)
    sft.main(root)
    reward_model.main(root, "r1")
    ppo.main(root, "r1")
    adopted, kept = loading.load_policy(root / "data/pretrain", toys.runtime())
    assert kept.get_vocab() == tokenizer.get_vocab()
    assert kept.chat_template == CHATML
    assert all(torch.equal(a, b) for a, b in zip(adopted.parameters(), model.parameters(), strict=True))
    assert "tokens" not in json.loads((root / "metrics/pretrain.json").read_text())["pretrain"]  # nothing was trained
    for folder in ("sft", "reward_model/r1", "ppo/r1"):
        made = AutoTokenizer.from_pretrained(root / "data" / folder)
        assert made.get_vocab() == tokenizer.get_vocab()
        assert (made.chat_template, made.eos_token, made.pad_token) == (CHATML, "<|im_end|>", "<|endoftext|>")
        config = json.loads((root / "data" / folder / "config.json").read_text())
        assert config.get("reward_backbone_type", config["model_type"]) == family
    scorer = rewards.RewardScorer(root / "data/reward_model/r1", toys.runtime())
    assert scorer.score_texts([[{"role": "user", "content": "Say red."}]], ["red"])[0] != 0


def test_a_template_of_ones_own_stands_in_place_of_the_models(root, capsys):
    own = CHATML.replace("<|im_end|>", "<|im_end|>\n<|endoftext|>")
    adopting(root, chatml_tokenizer())
    (root / "own.jinja").write_text(own)
    section = toys.adopting("elsewhere/model") | {"chat_template": "own.jinja"}
    toys.set_param(root, "pretrain", section)
    pretrain.main(root)
    sft.main(root)
    assert all(AutoTokenizer.from_pretrained(root / "data" / name).chat_template == own for name in ("pretrain", "sft"))
    assert "the chat template is that of own.jinja (pretrain.chat_template)" in capsys.readouterr().out
    (root / "own.jinja").write_text("{% for message in messages %}")
    with pytest.raises(ValueError, match="elsewhere/model.*chat_template"):
        pretrain.main(root)
    (root / "own.jinja").write_bytes(b"\xff")
    with pytest.raises(ValueError, match="own.jinja: not UTF-8 at byte 0"):
        pretrain.main(root)


def test_a_saved_folder_generates_what_the_pipeline_samples_where_turns_end_by_another_token_than_texts(root):
    tokenizer = chatml_tokenizer(eos_token="<|endoftext|>", pad_token=None)
    adopting(root, tokenizer)
    toys.set_param(root, "sft.epochs", 12)
    toys.set_param(root, "sft.optimisation.learning_rate", 0.02)
    pretrain.main(root)
    sft.main(root)
    folder = root / "data/sft"
    policy, made = loading.load_policy(folder, toys.runtime())
    end = made.convert_tokens_to_ids("<|im_end|>")
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == [end, made.eos_token_id]
    dialogues = [[{"role": "user", "content": text}] for text in ("Say red.", "Say blue.", "Who?", "Say a fox.")]
    ours = rollouts.respond(policy, made, dialogues, list("abcd"), rollouts.Sampling(0.0, 24, 0, 4))
    plain = AutoModelForCausalLM.from_pretrained(folder)
    for dialogue, answer in zip(dialogues, ours, strict=True):
        ids = torch.tensor([chat.prompt_ids(made, dialogue)])
        theirs = plain.generate(input_ids=ids, max_new_tokens=24, do_sample=False)[0, ids.shape[1] :].tolist()
        assert theirs == answer.token_ids
    assert any(answer.ended for answer in ours), "the toy has learned to end its turns"


def test_system_turns_that_the_template_refuses_are_merged_and_counted_where_a_param_says_so(root, capsys):
    refuses = "{% if messages[0].role == 'system' %}{{ raise_exception('no system turns') }}{% endif %}" + CHATML
    adopting(root, chatml_tokenizer(chat_template=refuses))
    file = root / "data/collect_prompts/demonstrations.train.jsonl"
    demonstrations = records.read(file, Demonstration)
    demonstrations[0]["messages"] = [{"role": "system", "content": "Be brief."}, *demonstrations[0]["messages"]]
    records.write(file, demonstrations)
    held_out = records.read(file.with_name("demonstrations.validation.jsonl"), Demonstration)
    count = sum(record["messages"][0]["role"] == "system" for record in [*demonstrations, *held_out])
    pretrain.main(root)
    with pytest.raises(ValueError, match="no system turns"):
        sft.main(root)
    toys.set_param(root, "pretrain", toys.adopting("elsewhere/model") | {"system_turns": "merge"})
    pretrain.main(root)
    sft.main(root)
    told = f"{count} dialogues have a system turn, which the template refuses: merged into the next user's turn"
    assert told in capsys.readouterr().out
    assert json.loads((root / "metrics/sft.json").read_text())["sft"]["dialogues_with_refused_system_turns"] == count


def test_a_tokenizer_with_far_fewer_tokens_than_the_model_has_embeddings_is_refused(root):
    model = adopting(root, chatml_tokenizer())
    model.resize_token_embeddings(2000)
    model.save_pretrained(root / "elsewhere/model")
    with pytest.raises(ValueError, match=r"it has 330 tokens, and the model embeddings for 2000"):
        pretrain.main(root)


def test_likelihoods_on_untied_embeddings_are_refused_before_anything_runs(root):
    adopting(root, chatml_tokenizer())
    before = check.check(root)
    assert not any("likelihood" in mistake for mistake in before)
    toys.set_param(root, "judge.likelihood_coef", 3.0)
    (mistake,) = set(check.check(root)) - set(before)
    assert mistake.startswith("params.yaml: judge.likelihood_coef: the model of pretrain.path does not tie")
    (root / "elsewhere/model/config.json").write_text("{")
    assert check.check(root) == []  # what is wrong with it is `pretrain`'s to say


def test_rows_longer_than_an_adopted_models_context_are_refused_before_anything_runs(root):
    adopting(root, chatml_tokenizer())
    toys.set_param(root, "sft.max_tokens", 65)
    told = [mistake for mistake in check.check(root) if "sft.max_tokens" in mistake]
    context = "the model of pretrain.path (max_position_embeddings) has a context of 64 tokens (got 65)"
    assert told == [f"params.yaml: sft.max_tokens: {context}"]
    toys.set_param(root, "sft.max_tokens", 64)
    assert not any("sft.max_tokens" in mistake for mistake in check.check(root))


def test_a_tokenizer_without_pad_and_template_gets_both_and_the_model_rows_for_them(root):
    tokenizer = chatml_tokenizer(chat_template=None, pad_token=None, eos_token="<|endoftext|>")
    model = adopting(root, tokenizer)
    pretrain.main(root)
    adopted, made = loading.load_policy(root / "data/pretrain", toys.runtime())
    assert made.pad_token == chat.PAD
    assert made.eos_token == "<|endoftext|>"
    assert made.chat_template == chat.adopted_template("<|endoftext|>")
    assert len(made) == len(tokenizer) + 4
    assert adopted.get_input_embeddings().num_embeddings == len(made)
    assert adopted.config.pad_token_id == made.pad_token_id
    before, after = model.get_input_embeddings().weight, adopted.get_input_embeddings().weight
    assert torch.equal(before, after[: len(before)])
    ids = chat.dialogue_ids(made, [{"role": "user", "content": "Say red."}], "red").ids
    assert made.convert_ids_to_tokens(ids)[0] == chat.USER
    sft.main(root)


def test_old_markers_are_still_markers_after_adoption(root):
    tokenizer = chatml_tokenizer(chat_template=None, additional_special_tokens=["<|im_start|>"])
    adopting(root, tokenizer)
    pretrain.main(root)
    made = loading.load_tokenizer(root / "data/pretrain")
    assert made.chat_template == chat.CHAT_TEMPLATE.replace("<|endoftext|>", "<|im_end|>")
    for marker in ("<|im_start|>", "<|im_end|>", chat.USER, chat.ASSISTANT):
        assert len(made(marker, add_special_tokens=False)["input_ids"]) == 1
        assert made.decode(made(marker)["input_ids"], skip_special_tokens=True) == ""


def test_a_pad_that_is_eos_is_replaced(root):
    adopting(root, chatml_tokenizer(pad_token="<|im_end|>"))
    pretrain.main(root)
    made = loading.load_tokenizer(root / "data/pretrain")
    assert made.pad_token == chat.PAD
    assert made.pad_token_id != made.eos_token_id
    assert made.chat_template == CHATML


def test_adopting_twice_writes_the_same_bytes(root, tmp_path):
    adopting(root, chatml_tokenizer(chat_template=None, pad_token=None))
    again = tmp_path / "elsewhere"
    shutil.copytree(root, again)
    for place in (root, again):
        torch.rand(3)
        pretrain.main(place)
    assert toys.file_bytes(root / "data/pretrain") == toys.file_bytes(again / "data/pretrain")


def test_a_tokenizer_without_eos_is_refused(root):
    tokenizer = chatml_tokenizer()
    adopting(root, tokenizer)
    tokenizer.eos_token = None
    tokenizer.save_pretrained(root / "elsewhere/model")
    with pytest.raises(ValueError, match="no EOS token"):
        pretrain.main(root)


def test_pickled_weights_are_refused(root):
    model = adopting(root, chatml_tokenizer())
    folder = root / "elsewhere/model"
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    with pytest.raises((ValueError, OSError), match="safetensors"):
        pretrain.main(root)
    assert not (root / "data/pretrain").exists()


WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "say", "fox", "nobody", "knows", ".", "北", *toys.WORDS)


@pytest.fixture
def encoder(root):
    """A folder of a random BERT with a WordPiece vocabulary of its own; returns its tokenizer."""
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = BertTokenizerFast(vocab=vocabulary, do_lower_case=True)
    assert len(tokenizer) < 30
    torch.manual_seed(4)
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=48, initializer_range=0.3, **shape)
    toys.save(root / "elsewhere/bert", BertModel(config), tokenizer)
    toys.set_param(root, "reward_model.backbone", "encoder")
    toys.set_param(root, "reward_model.encoder_path", str(root / "elsewhere/bert"))
    toys.set_param(root, "reward_model.pooling", "last")
    toys.set_param(root, "reward_model.likelihood_coef", 0.0)
    return AutoTokenizer.from_pretrained(root / "elsewhere/bert")


@pytest.fixture
def ready(root, tokenizer):
    toys.save(root / "data/sft", toys.policy(tokenizer, spread=0.1), tokenizer)
    return with_comparisons(root)


def test_an_encoder_judges_a_policy_with_another_tokenizer(ready, encoder):
    reward_model.main(ready, "r1")
    scorer = rewards.RewardScorer(ready / "data/reward_model/r1", toys.runtime())
    assert classifiers.is_encoder(scorer.model)
    assert scorer.tokenizer.get_vocab() == encoder.get_vocab()
    messages = [[{"role": "user", "content": "Say red."}]] * 3
    scores = scorer.score_texts(messages, ["red fox.", "blue fox.", "Nobody knows " * 40])
    assert len(set(scores)) == 3
    alone = [scorer.score_texts(messages[:1], [text])[0] for text in ("red fox.", "blue fox.")]
    assert scores[:2] == pytest.approx(alone, abs=1e-4)  # padding changes nothing
    with pytest.raises(ValueError, match=r"ppo\.value_init"):
        ppo.main(ready, "r1")
    toys.set_param(ready, "ppo.value_init", "policy")
    ppo.main(ready, "r1")
    policy, made = loading.load_policy(ready / "data/ppo/r1", toys.runtime())
    assert made.chat_template == chat.CHAT_TEMPLATE


def test_an_encoder_keeps_the_newest_words_and_its_markers(encoder):
    messages = [{"role": "user", "content": "Say red blue green amber."}]
    whole = rewards.sequence(encoder, messages, "silver fox.", max_tokens=48)
    assert whole.num_answer == 3
    read = encoder.convert_ids_to_tokens(whole.ids)
    assert read == ["[CLS]", "say", "red", "blue", "green", "amber", ".", "[SEP]", "silver", "fox", ".", "[SEP]"]
    for most, kept in ((10, read[3:]), (6, ["[SEP]", "silver", "fox", ".", "[SEP]"]), (4, ["[SEP]", ".", "[SEP]"])):
        cut = rewards.sequence(encoder, messages, "silver fox.", most)
        assert encoder.convert_ids_to_tokens(cut.ids) == ["[CLS]", *kept]


def test_an_encoders_new_head_is_drawn_as_a_decoders(root, encoder):
    draws = [
        reward_head.new_reward_model(root / "elsewhere/bert", toys.runtime(), torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    ]
    heads = [reward_head.scalar_head(model) for model in draws]
    assert torch.equal(heads[0].weight, heads[1].weight)
    assert not torch.equal(heads[0].weight, heads[2].weight)
    assert heads[0].bias.item() == 0
