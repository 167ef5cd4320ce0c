"""Changes of model folders, drawn by hypothesis: other types and texts, files that are cut, broken templates."""

import functools
import json
import operator
import struct

from hypothesis import strategies as st

CONFIG, WORDS, WORDS_CONFIG = "config.json", "tokenizer.json", "tokenizer_config.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
TEMPLATE = "chat_template.jinja"
MAP, GENERATION, ADDED = "special_tokens_map.json", "generation_config.json", "added_tokens.json"

KEYS = {
    CONFIG: [
        "architectures", "attention_bias", "attention_dropout", "attribute_map", "auto_map", "bos_token_id",
        "chunk_size_feed_forward", "decoder", "dtype", "embd_pdrop", "encoder", "eos_token_id", "head_dim",
        "hidden_act", "hidden_size", "id2label", "initializer_range", "intermediate_size", "is_decoder",
        "is_encoder_decoder", "label2id", "layer_types", "max_position_embeddings", "mlp_bias", "model_type",
        "n_embd", "n_head", "n_inner", "n_layer", "n_positions", "name_or_path", "num_attention_heads",
        "num_hidden_layers", "num_key_value_heads", "num_labels", "pad_token_id", "per_layer_config",
        "pretraining_tp", "problem_type", "pruned_heads", "quantization_config", "rms_norm_eps", "rope_parameters",
        "rope_scaling", "rope_theta", "rope_type", "sliding_window", "sub_configs", "text_config",
        "tie_word_embeddings", "tokenizer_class", "torch_dtype", "transformers_version", "use_cache", "vocab_size",
        "vision_config", "weight_conversions",
    ],
    WORDS_CONFIG: [
        "added_tokens_decoder", "additional_special_tokens", "add_bos_token", "add_prefix_space", "auto_map",
        "backend", "bos_token", "chat_template", "clean_up_tokenization_spaces", "eos_token", "extra_special_tokens",
        "fix_mistral_regex", "legacy", "max_length", "model_input_names", "model_max_length",
        "model_specific_special_tokens", "name_or_path", "pad_token", "padding_side", "processor_class",
        "special_tokens_map_file", "split_special_tokens", "tokenizer_class", "tokenizer_file", "tokenizer_object",
        "truncation_side", "unk_token", "use_fast", "vocab", "vocab_file", "merges", "response_schema",
    ],
    WORDS: [
        "added_tokens", "decoder", "merges", "model", "normalizer", "padding", "post_processor", "pre_tokenizer",
        "truncation", "type", "unk_token", "version", "vocab",
    ],
    MAP: ["additional_special_tokens", "bos_token", "eos_token", "pad_token", "unk_token", "content", "x"],
    ADDED: ["<|im_end|>", "<one>", ""],
    GENERATION: [
        "bos_token_id", "cache_implementation", "do_sample", "eos_token_id", "max_length", "max_new_tokens",
        "pad_token_id", "temperature", "top_k", "top_p", "transformers_version", "watermarking_config",
        "compile_config", "num_beams", "suppress_tokens",
    ],
    INDEX: ["metadata", "weight_map", "total_size"],
    WEIGHTS: ["__metadata__", "data_offsets", "dtype", "format", "shape", "lm_head.weight"],
}  # fmt: skip
WHOLE = {MAP: {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}, ADDED: {}}
TEXTS = st.text(max_size=8) | st.sampled_from(
    [
        "", "llama", "gpt2", "bert", "t5", "qwen2", "mamba", "own", "<|im_end|>", "<|endoftext|>", "gelu", "float16",
        "bfloat16", "auto", "float8_e4m3fn", "F32", "F16", "BF16", "I64", "yarn", "linear", "dynamic", "llama3",
        "LlamaTokenizer", "GPT2TokenizerFast", "BertTokenizer", "T5Tokenizer", "PreTrainedTokenizerFast", "own.Words",
        "left", "../x", "/x", "x" * 3000, "\x00", "\ud800", "a\nb", "5.0.0", "BPE", "WordPiece", "Unigram", "WordLevel",
    ]
)  # fmt: skip
NUMBERS = st.sampled_from([0, 1, 2, 3, 64, -1, 0.5, True, 2**31, 2**63, 10**400, float("nan"), float("inf"), 1e308])


def nested(depth, kind):
    value = []
    for _ in range(depth):
        value = {"a": value} if kind == "object" else [value]
    return value


DEEP = st.builds(nested, st.sampled_from([1, 60, 900]), st.sampled_from(["list", "object"]))
NAMES = st.sampled_from(
    sorted({key for keys in KEYS.values() for key in keys} | {"content", "special", "id", "0", "x"})
)
ANY = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)
PIECES = st.sampled_from(
    [
        "{% for message in messages %}", "{% endfor %}", "{{ message['content'] }}", "{{ message.content.x.y }}",
        "{% if", "{% endif %}", "{{ raise_exception('no') }}", "{{ raise_exception(3) }}", "{{ 1 / 0 }}", "{{ x.y }}",
        "{{ messages[9].role }}", "{% include 'x' %}", "{% generation %}", "{% endgeneration %}", "{{ messages | x }}",
        "{{ 'a' + 1 }}", "{{ messages() }}", "{{ strftime_now(3) }}", "{{ messages | tojson }}", "{{", "}}", "{#",
        "{{ eos_token + x }}", "{{ ''.__class__ }}", "{% set x = namespace() %}", "{% break %}", "<|im_start|>", "\n",
        "{{ messages | sum }}", "{{ messages[0]['content'] | int('x') }}", "{{ a() }}", "\x00",
        "{% macro a() %}{{ a() }}{% endmacro %}",
    ]
)  # fmt: skip
KNOWN = (
    b"", b"{", b"null", b"[]", b"{}", b'"x"', b"NaN", b"3", b"[" * 9000, b'{"a":' * 9000, b"9" * 6000,
    b'{"model_type": ' + b"9" * 6000 + b"}", b'{"a": "\\ud800"}', b"\xff",
)  # fmt: skip


def places(value, path=()):
    """Yield the path of every value within JSON, of long lists and objects the first few."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for number, (key, inner) in enumerate(pairs):
        if number < 40:
            yield (*path, key)
            yield from places(inner, (*path, key))


def alike(draw, value):
    """Return another value of the same kind."""
    if isinstance(value, list | dict):
        kept = list(value.items() if isinstance(value, dict) else value)[draw(st.integers(0, 2)) :]
        return dict(kept) if isinstance(value, dict) else kept * draw(st.integers(1, 2))
    if isinstance(value, str):
        return draw(TEXTS)
    return not value if isinstance(value, bool) else draw(NUMBERS)


def change(draw, name, content):
    """Replace, wrap, remove or add something within a JSON value; returns the value."""
    if draw(st.integers(0, 30)) == 0:
        return draw(ANY | DEEP)
    found = sorted(places(content), key=lambda path: (len(path), str(path)))
    if not found:
        return {draw(st.sampled_from(KEYS[name])): draw(ANY | DEEP)}
    *way, key = draw(st.sampled_from(found))
    place = functools.reduce(operator.getitem, way, content)
    what = draw(st.sampled_from(["replace", "add", "add", "remove", "wrap", "alike", "alike", "alike"]))
    if what == "remove":
        del place[key]
    elif what == "replace" or isinstance(place, list):
        place[key] = draw(ANY | DEEP)
    elif what in ("wrap", "alike"):
        place[key] = [place[key]] if what == "wrap" else alike(draw, place[key])
    else:
        place[draw(st.sampled_from(KEYS[name]))] = draw(ANY | DEEP)
    return content


def dumped(content):
    """Return JSON's bytes of a value that may nest deeper than `json` follows."""
    try:
        return json.dumps(content).encode()
    except RecursionError:
        return b"[" * 5000


def spoilt(draw, content):
    """Return bytes that are near a file's, or far from it."""
    kind = draw(st.sampled_from(["cut", "other", "encoding", "bytes", "known"]))
    if kind == "cut":
        return content[: draw(st.integers(0, len(content)))]
    if kind == "bytes":
        place = draw(st.integers(0, len(content)))
        return content[:place] + draw(st.binary(max_size=3)) + content[place + draw(st.integers(0, 3)) :]
    if kind == "encoding":
        text = content.decode("utf-8", "replace")
        return text.encode(draw(st.sampled_from(["utf-16", "utf-8-sig", "utf-32-le", "cp037"])), "replace")
    if kind == "other":
        return draw(st.binary(max_size=40))
    return draw(st.sampled_from(KNOWN))


def parts(weights):
    """Return (header, data) of safetensors."""
    (size,) = struct.unpack("<Q", weights[:8])
    return json.loads(weights[8 : 8 + size]), weights[8 + size :]


def changed(draw, name, content):
    """Return the bytes of a file of a folder after a small change, or a large one."""
    if name == TEMPLATE:
        return "".join(draw(st.lists(PIECES | st.text(max_size=3), max_size=5))).encode("utf-8", "surrogatepass")
    try:
        if name != WEIGHTS:
            return dumped(change(draw, name, json.loads(content)))
        header, rest = parts(content)
    except (ValueError, RecursionError, struct.error):  # it was spoilt before
        return spoilt(draw, content)
    header = dumped(change(draw, name, header))
    return struct.pack("<Q", draw(st.sampled_from([len(header)] * 8 + [0, 2**40, 2**63]))) + header + rest


def mutate(draw, folder):
    """Change one file of a folder, or two: some often, for there is more in them."""
    names = st.sampled_from([*KEYS, TEMPLATE, CONFIG, WORDS, WORDS_CONFIG])
    for name in draw(st.lists(names, min_size=1, max_size=2)):
        file = folder / name
        content = file.read_bytes() if file.exists() else dumped(WHOLE.get(name, {}))
        how = draw(st.integers(0, 14))
        if how == 0:
            file.write_bytes(spoilt(draw, content))
        elif how == 1:
            file.unlink(missing_ok=True)
        else:
            file.write_bytes(changed(draw, name, content))
