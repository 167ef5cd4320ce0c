"""Text that spells a tokenizer's markers is text: in prompts, answers, documents and pairs, under any template."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, trainers
from tokenizers import models as tokenizer_models
from transformers import BertTokenizerFast, PreTrainedTokenizerFast

from rlhf.preferences import rewards
from rlhf.records import records
from rlhf.tokens import chat, markers
from rlhf.training import language_modelling
from tests import toys

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] | trim }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_SYSTEM = (  # as Gemma's and Llama 2's: a system turn is refused, turns hold a BOS, thinking is dropped from history
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ raise_exception('no system turns') }}{% endif %}"
    "<turn>{{ message['role'] }}\n{{ message['content'].split('</think>')[-1] }}</s>"
    "{% endfor %}{% if add_generation_prompt %}<turn>assistant\n{% endif %}"
)


def byte_level(special: list[str], template: str, others: tuple[str, ...] = (), **names: str):
    made = Tokenizer(tokenizer_models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        [*toys.TEXTS, *special],
        trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    made.add_tokens([AddedToken(text, special=False, normalized=False) for text in others])
    return PreTrainedTokenizerFast(tokenizer_object=made, chat_template=template, **names)


def sentence_piece(template: str):
    """As Llama 2's: a space before what stands first, and a vocabulary whose merges spell its own marker."""
    words = ["<unk>", "<s>", "</s>", "<pad>", "▁", "s>", "/s>", *"</>sayredblufox.|_mintn\n:STW"]
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(words))}
    merges = [("s", ">"), ("/", "s>"), ("<", "/s>")]
    model = tokenizer_models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=False)
    made = Tokenizer(model)
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=made, chat_template=template, **names)


def folding(normaliser):
    """A tokenizer that looks for its markers in what its normaliser has made of a text."""
    made = byte_level([], CHATML, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    made.backend_tokenizer.normalizer = normaliser
    texts = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    made.add_tokens([AddedToken(text, special=True, normalized=True) for text in texts], special_tokens=True)
    made.add_tokens([AddedToken("<|user|>", special=False, normalized=True)])
    made.chat_template = CHATML.replace("<|im_start|>", "<|im_start|><|user|>")
    return made


def kinds():
    plain = toys.tokenizer()
    plain.chat_template = chat.PLAIN_TEMPLATE
    of_turns = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    made = {
        "markers": toys.tokenizer(),
        "plain": plain,
        "chatml": byte_level(of_turns, CHATML, eos_token="<|im_end|>", pad_token="<|endoftext|>"),
        "turns that are not declared special": byte_level(
            ["<s>", "</s>"], NO_SYSTEM, ("<turn>", "</think>"), bos_token="<s>", eos_token="</s>"
        ),
        "sentence piece": sentence_piece(NO_SYSTEM),
        "width is folded": folding(normalizers.NFKC()),
        "case is folded": folding(normalizers.Lowercase()),
    }
    return made | {"sentence piece, chatml": sentence_piece(CHATML.replace("<|im_end|>", "</s>"))}


KINDS = kinds()
each_kind = pytest.mark.parametrize("kind", list(KINDS))
SPELLED = ("<|endoftext|>", "<|im_end|>", "<|im_start|>", "<|user|>", "<|assistant|>", "<turn>", "<s>", "</s>", "<pad>")
SPELLED += ("＜|im_end|>", "<｜user｜＞", "<|IM_END|>", "<|User|>")  # what normalisers make markers of


def marker_ids(tokenizer) -> set[int]:
    return set(tokenizer.convert_tokens_to_ids(list(markers.markers(tokenizer)))) - {tokenizer.unk_token_id}


def only_markers(tokenizer, ids: list[int]) -> list[str]:
    own = marker_ids(tokenizer)
    return tokenizer.convert_ids_to_tokens([token for token in ids if token in own])


def dialogue(*contents: str) -> list[dict]:
    return [{"role": ("user", "assistant")[index % 2], "content": text} for index, text in enumerate(contents)]


def as_the_library_reads(tokenizer, messages: list[dict]) -> list[int]:
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


WORDS = st.text(st.sampled_from([*"sayred .\n<|>/_:imtn", "北", "é", "\U000f0000", "\U000f0001"]), max_size=12)
TYPED = st.lists(WORDS | st.sampled_from(SPELLED), max_size=6).map("".join)
ANY = settings(deadline=None, max_examples=50, derandomize=True)


@each_kind
@ANY
@given(contents=st.lists(TYPED, min_size=1, max_size=3).filter(lambda turns: len(turns) % 2), answer=TYPED)
def test_only_the_template_writes_markers(kind, contents, answer):
    tokenizer = KINDS[kind]
    turns = chat.dialogue_ids(tokenizer, dialogue(*contents), answer)
    unmarked = chat.prompt_ids(tokenizer, dialogue(*("a" for _ in contents)))
    assert only_markers(tokenizer, turns.ids) == [*only_markers(tokenizer, unmarked), tokenizer.eos_token]
    assert turns.ids[-1] == tokenizer.eos_token_id
    (document,) = markers.texts_ids(tokenizer, [answer])
    assert only_markers(tokenizer, document) == []
    assert document == markers.text_ids(tokenizer, answer)


@each_kind
@ANY
@given(contents=st.lists(TYPED, min_size=1, max_size=3).filter(lambda turns: len(turns) % 2))
def test_text_without_markers_has_the_tokens_that_the_tokenizer_gives_it(kind, contents):
    tokenizer = KINDS[kind]
    if markers.typed(tokenizer, [contents]).num_records == 0:
        assert chat.prompt_ids(tokenizer, dialogue(*contents)) == as_the_library_reads(tokenizer, dialogue(*contents))
        text = contents[0]
        assert markers.text_ids(tokenizer, text) == tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("kind", ["markers", "plain", "chatml"])
@ANY
@given(contents=st.lists(TYPED, min_size=1, max_size=3).filter(lambda turns: len(turns) % 2))
@example(contents=["\U000f0000red <|endoftext|>\U000f0001"])
def test_what_was_typed_is_read_letter_for_letter(kind, contents):
    tokenizer = KINDS[kind]
    written = tokenizer.apply_chat_template(dialogue(*contents), add_generation_prompt=True, tokenize=False)
    assert tokenizer.decode(chat.prompt_ids(tokenizer, dialogue(*contents))) == written
    answer = contents[0].strip()
    if kind != "plain":
        assert chat.response_text(tokenizer, chat.response_ids(tokenizer, answer)) == answer


def test_an_earlier_answer_that_spells_a_marker_is_learned_as_it_is_read(tokenizer):
    turns = chat.dialogue_ids(tokenizer, dialogue("Say red.", "red <|endoftext|><|user|>", "Go"), "on")
    learned = [token for token, own in zip(turns.ids, turns.assistant_mask, strict=True) if own]
    assert tokenizer.decode(learned) == " red <|endoftext|><|user|><|endoftext|> on<|endoftext|>"
    assert only_markers(tokenizer, learned) == ["<|endoftext|>"] * 2


def test_a_word_of_answers_that_is_no_marker_of_turns_stays_one_token():
    tokenizer = KINDS["turns that are not declared special"]
    assert set(markers.markers(tokenizer)) == {"<s>", "</s>", "<turn>"}
    thought = tokenizer.convert_tokens_to_ids("</think>")
    assert chat.response_ids(tokenizer, "red</think>blue").count(thought) == 1
    # the template drops what was thought before a marker that was typed, too
    ids = chat.prompt_ids(tokenizer, dialogue("a", "<turn>red</think>blue", "b"))
    assert "red" not in tokenizer.decode(ids)


def test_documents_end_once_each(tokenizer):
    stream = language_modelling.token_stream(tokenizer, ["red <|endoftext|> fox", "blue"])
    assert stream.tolist().count(tokenizer.eos_token_id) == 2


@pytest.mark.parametrize("vocabulary_spells_them", [False, True])
def test_an_encoders_pair_has_its_own_markers_and_no_typed_ones(vocabulary_spells_them):
    tokenizer = encoder(vocabulary_spells_them)
    typed = [{"role": "user", "content": "say [SEP] red"}]
    row = rewards.sequence(tokenizer, typed, "red [SEP][CLS] say", max_tokens=40)
    read = tokenizer.convert_ids_to_tokens(row.ids)
    assert [token for token in read if token in ("[CLS]", "[SEP]")] == ["[CLS]", "[SEP]", "[SEP]"]
    assert (read[0], read[-1], read[-2]) == ("[CLS]", "[SEP]", "say")
    plain = rewards.sequence(tokenizer, [{"role": "user", "content": "say red"}], "red", max_tokens=40)
    assert plain.ids == tokenizer("say red", "red")["input_ids"]


def encoder(vocabulary_spells_them: bool):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "say", "red", "[", "]", "sep", "cls"]
    made = BertTokenizerFast(vocab={word: number for number, word in enumerate(words)}, do_lower_case=False)
    if vocabulary_spells_them:
        made.backend_tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return made


@pytest.mark.parametrize(("kind", "spelled"), [("width is folded", "＜｜im_end｜＞"), ("case is folded", "<|Im_End|>")])
def test_a_marker_in_another_width_or_case_is_text_and_counted_as_that_marker(kind, spelled):
    tokenizer = KINDS[kind]
    assert tokenizer.eos_token_id in tokenizer(f"a {spelled} b")["input_ids"]
    assert tokenizer.eos_token_id not in markers.text_ids(tokenizer, f"a {spelled} b")
    assert markers.typed(tokenizer, [["a", f"b {spelled}"], ["c"]]) == (1, {"<|im_end|>": 1})


def test_records_that_spell_markers_are_counted(tokenizer):
    records = [["say", "red <|user|><|user|>"], ["blue"], ["<|user|>", "<|pad|>"]]
    assert markers.typed(tokenizer, records) == markers.Typed(2, {"<|user|>": 2, "<|pad|>": 1})
    assert markers.typed(tokenizer, [["<|im_end|>"]]) == markers.Typed(0, {})


def test_each_stage_says_how_many_records_spell_markers_and_is_silent_where_none_does(root, tokenizer, capsys):
    from stages import pretrain, reward_model, sft

    kinds = {"demonstrations": toys.demonstrations(8), "documents": [{"kind": "document", "source": "toy"}] * 9}
    written = [record["messages"][-1] for record in kinds["demonstrations"][:3]]
    for message in written:
        message["content"] += " <|user|>"
    texts = [*toys.TEXTS[:8], "red <|endoftext|> fox"]
    kinds["documents"] = [one | {"text": text} for one, text in zip(kinds["documents"], texts, strict=True)]
    compared = toys.comparisons(8)
    compared[0]["responses"][1] += "<|assistant|>"
    folder, ranked = root / "data/collect_prompts", root / "data/collect_comparisons/r1"
    expected = {}
    for spelled in (False, True):
        if spelled:
            for name, rows in kinds.items():
                records.write(folder / f"{name}.train.jsonl", rows)
            expected = {"pretrain": 1, "sft": 3, "reward_model": 1}
        records.write(ranked / "comparisons.train.jsonl", compared if spelled else toys.comparisons(8))
        records.write(ranked / "comparisons.validation.jsonl", toys.comparisons(4))
        for stage in (pretrain, sft):
            stage.main(root)
        reward_model.main(root, "r1")
        assert capsys.readouterr().out.count("spell markers of the tokenizer") == len(expected)
        for place in ("pretrain", "sft", "reward_model/r1"):
            (measured,) = json.loads((root / f"metrics/{place}.json").read_text()).values()
            measured = measured.get("r1", measured)
            assert measured.get("records_with_typed_markers") == expected.get(place.split("/")[0])
