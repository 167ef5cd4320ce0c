"""Training a byte-level BPE tokenizer whose common words are single tokens."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from rlhf.tokens.chat import ASSISTANT, BASE_TEMPLATE, END_OF_TEXT, PAD, SYSTEM, USER

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

HAN = r"[\u3400-\u4dbf\u4e00-\u9fff]"  # each Chinese character is a word of its own: merges across words block copying


def train(texts: Iterable[str], vocab_size: int, context: int) -> "PreTrainedTokenizerFast":
    """Return a byte-level BPE tokenizer (Radford et al. 2019) with at most `vocab_size` entries, markers included.

    A leading space is put before each text, so that a word has one token wherever it stands. PAD is not EOS.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(HAN), behavior="isolated"),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    markers = [PAD, END_OF_TEXT, SYSTEM, USER, ASSISTANT]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=markers,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        min_frequency=2,
    )
    tokenizer.train_from_iterator((f" {text}" for text in texts), trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END_OF_TEXT,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT],
        chat_template=BASE_TEMPLATE,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )
