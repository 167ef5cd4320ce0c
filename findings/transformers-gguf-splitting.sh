#!/bin/sh
# transformers 5.23.0: a GGUF names the rule by which its tokenizer splits text before it merges (`tokenizer.ggml.pre`).
# llama.cpp has about seventy rules, transformers' table 23 (GGUF_PRE_TOKENIZER_SPLITS): with every other name it splits as
# GPT-2 does, without a word. `smollm` (SmolLM2) sets each digit apart first, so two spaces before a digit are one token;
# read from the GGUF they are two, which the model never saw. Here: the same vocabulary under both names.
#
# Versions: transformers 5.23.0 with tokenizers 0.23.3, gguf 0.19.0, torch 2.13.0, Python 3.11. It exits with 1 if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.23.0 tokenizers==0.23.3 gguf==0.19.0

cat > ask.py <<'PYTHON'
from gguf import GGUFWriter
from tokenizers import pre_tokenizers
from transformers import AutoTokenizer
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

WORDS = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "ĠĠ", "<|end|>"]


def read(rule):
    """Write a tokenizer as a converter does, and read it."""
    writer = GGUFWriter(f"{rule}.gguf", "llama")
    for add in ("block_count", "context_length", "embedding_length", "feed_forward_length", "head_count", "head_count_kv"):
        getattr(writer, f"add_{add}")(1)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(rule)
    writer.add_token_list(WORDS)
    writer.add_token_types([3 if word == WORDS[-1] else 1 for word in WORDS])
    writer.add_token_merges(["Ġ Ġ"])
    writer.add_eos_token_id(len(WORDS) - 1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return AutoTokenizer.from_pretrained(".", gguf_file=f"{rule}.gguf")


right = read("smollm")
found = right.tokenize("a  7")
print("read from the file:  ", found)
right.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
    [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
)
print("by the rule 'smollm':", right.tokenize("a  7"))
assert "smollm" not in GGUF_PRE_TOKENIZER_SPLITS
assert found == read("gpt-2").tokenize("a  7") == read("no-such-rule").tokenize("a  7") == ["a", "Ġ", "Ġ", "7"]
assert right.tokenize("a  7") == ["a", "ĠĠ", "7"]
PYTHON
venv/bin/python ask.py
