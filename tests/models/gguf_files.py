"""GGUF files as converters write them, of tiny Llama models: gguf's own writer, permuted heads, byte-level BPE."""

import json
from pathlib import Path

import gguf
import numpy as np
import torch

QUANTISED = gguf.GGMLQuantizationType.Q8_0
TOP = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
INNER = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def name_of(name: str) -> str:
    """Return llama.cpp's name of a Llama weight."""
    if name in TOP:
        return TOP[name]
    layer, inner = name.removeprefix("model.layers.").removesuffix(".weight").split(".", 1)
    return f"blk.{layer}.{INNER[inner]}.weight"


def permuted(weight: np.ndarray, heads: int) -> np.ndarray:
    """Return a query's or key's rows as llama.cpp pairs them for rotary positions."""
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def rounded(model, quantised):
    """Give a model the weights that its file will hold, those of its layers quantised; returns it."""
    for name, weight in model.named_parameters():
        if quantised and weight.dim() == 2 and name.startswith("model.layers."):
            packed = gguf.quants.quantize(weight.detach().numpy(), QUANTISED)
            weight.data = torch.from_numpy(gguf.quants.dequantize(packed, QUANTISED).copy())
    return model


def tensors(model, quantised: bool) -> dict:
    """Return {llama.cpp's name: (numbers, type)} of a Llama model's weights."""
    config, found = model.config, {}
    for name, weight in model.named_parameters():
        values = weight.detach().numpy()
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(name.split(".")[-2])
        values = values if heads is None else permuted(values, heads)
        packs = quantised and values.ndim == 2 and name.startswith("model.layers.")
        kind = QUANTISED if packs else gguf.GGMLQuantizationType.F32
        found[name_of(name)] = (gguf.quants.quantize(values, kind) if packs else values, kind)
    return found


def write(file: Path, model, tokenizer, quantised: bool = False, without=(), more=None, told=None) -> Path:
    """Write a model as GGUF and return the file: `without` some tensors or keys, with `more`, `told` keys of ours."""
    file.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(file, "llama")
    config = model.config
    writer.add_license("apache-2.0")
    writer.add_block_count((told or {}).get("block_count", config.num_hidden_layers))
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    add_tokenizer(writer, tokenizer, without, (told or {}).get("pre", "gpt-2"))
    for name, (values, kind) in (tensors(model, quantised) | (more or {})).items():
        if name not in without:
            writer.add_tensor(name, np.ascontiguousarray(values), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def add_tokenizer(writer, tokenizer, without, pre: str) -> None:
    made = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    words = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([word for word, _ in words])
    writer.add_token_types([3 if number in special else 1 for _, number in words])
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in made["merges"]])
    if "eos" not in without:
        writer.add_eos_token_id(tokenizer.eos_token_id)
        writer.add_pad_token_id(tokenizer.eos_token_id)
    if tokenizer.chat_template is not None:
        writer.add_chat_template(tokenizer.chat_template)
