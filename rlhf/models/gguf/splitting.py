"""How a GGUF's tokenizer splits text before it merges: the file names a rule, of which transformers knows some."""

from collections.abc import Iterator, Mapping
from typing import Any

from tokenizers import pre_tokenizers
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

PIECES = "gpt2"  # tokenizer.ggml.model: byte-level BPE, the only kind that splits by such a rule
AS_GPT_2 = ("default", "gpt-2", "gpt2")  # what transformers does with every name that it does not know
DIGITS_APART = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b")  # as llama.cpp lists


def settle(tokenizer: Any, told: Mapping[str, Any]) -> Iterator[str]:
    """Split as the file's rule says where transformers does not know it; yield what was done, or could not be.

    Without it "  7" becomes other tokens than the model was trained on: two spaces before a digit are one token there.
    """
    rule = told.get("tokenizer.ggml.pre")
    if told.get("tokenizer.ggml.model") != PIECES or rule is None or rule in (*AS_GPT_2, *GGUF_PRE_TOKENIZER_SPLITS):
        return
    if rule in DIGITS_APART:
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
        yield f"text is split by its rule {rule!r} (each digit apart), which transformers does not know"
        return
    yield (
        f"tokenizer.ggml.pre: transformers does not know the rule {rule!r}, and splits text as GPT-2 does; "
        "a few texts may become other tokens than the model was trained on"
    )
