"""Tiny configurations of the causal models that transformers knows, and of their variants that read rows otherwise.

Sizes are put into whatever fields a config has for them; no model type is named but where its own fields ask for it.
"""

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import transformers

VOCABULARY = 300
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2, "decoder_start_token_id": 2,
    "hidden_size": 64, "n_embd": 64, "d_model": 64, "dim": 64, "embedding_size": 64, "hidden_dim": 96,
    "intermediate_size": 64, "ffn_dim": 64, "dff": 64, "d_ff": 64, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64,
    "ffn_hidden_size": 64, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32, "n_inner": 64,
    "moe_shared_expert_intermediate_size": 32, "intermediate_size_mlp": 64, "prefix_dense_intermediate_size": 64,
    "num_hidden_layers": 4, "n_layer": 4, "n_layers": 4, "num_layers": 4, "encoder_layers": 2, "decoder_layers": 4,
    "num_attention_heads": 4, "n_head": 4, "n_heads": 4, "num_heads": 4, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "attention_heads": 4, "num_key_value_heads": 2, "num_kv_heads": 2,
    "max_position_embeddings": 128, "n_positions": 128, "max_seq_len": 128, "n_ctx": 128, "max_sequence_length": 128,
    "head_dim": 16, "num_local_experts": 4, "num_experts": 4, "n_routed_experts": 4, "moe_num_experts": 4,
    "num_experts_per_tok": 2, "moe_k": 2, "moe_topk": 2, "n_group": 1, "num_group": 1, "topk_group": 1,
    "n_shared_experts": 1, "vision_feature_layer": 0, "image_size": 32, "patch_size": 16,
    "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8,
    "state_size": 8, "mamba_d_state": 8, "mamba_n_heads": 4, "mamba_d_head": 32, "mamba_num_heads": 4,
    "mamba_head_dim": 32, "mamba_expand": 2, "expand": 2, "conv_kernel": 4, "n_groups": 1, "mamba_n_groups": 1,
    "time_step_rank": 4, "mamba_dt_rank": 4, "chunk_size": 8, "mamba_chunk_size": 8, "lru_width": 64,
    "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
    "word_embed_proj_dim": 64, "rotary_dim": 8, "initializer_range": 0.15, "init_std": 0.15, "dropout": 0.0,
    "vocab_size_per_layer_input": VOCABULARY, "hidden_size_per_layer_input": 8, "pad_index": 0, "eos_index": 1,
    "bos_index": 2, "is_decoder": True, "first_k_dense_replace": 1, "moe_layer_start_index": 1,
    "attention_window_size": 8, "num_kv_shared_layers": 0,
}  # fmt: skip
LISTS = ("layer_types", "layers_block_type", "mlp_layer_types", "moe_layers", "no_rope_layers")
WINDOWS = ("sliding_window", "window_size", "local_attention")
ROPES: dict[str, dict[str, Any]] = {
    "linear": {"factor": 4.0},
    "dynamic": {"factor": 4.0},
    "yarn": {"factor": 4.0, "original_max_position_embeddings": 24},
    "llama3": {
        "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 24,
    },
}  # fmt: skip


def all_of_them() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield (name, what makes a config) of each causal model type, and of the variants that its fields allow."""
    for kind in sorted(transformers.MODEL_FOR_CAUSAL_LM_MAPPING.keys(), key=lambda one: one.model_type):
        plain = tiny(kind)
        if plain is None:
            continue
        for name, config in [(kind.model_type, plain), *_variants(kind, plain)]:
            yield name, partial(copy.deepcopy, config)


def tiny(kind: Any, **more: Any) -> Any:
    """Return a tiny config of this class, or None where its own rules refuse one."""
    plain = kind() if _stands_alone(kind) else None
    fields = set(plain.to_dict()) if plain is not None else set[str]()
    own = {name: value for name, value in SIZES.items() if name in fields}
    own |= {"attention_types": [[["global", "local"], 2]]} if "attention_types" in fields else {}
    if "qk_rope_head_dim" in own:  # latent attention: its heads are a sum
        own.pop("head_dim", None)
        own["num_key_value_heads"] = own["num_attention_heads"]
    for name in getattr(kind, "sub_configs", {}):  # of several modalities
        part = getattr(plain, name, None)
        smaller = tiny(type(part)) if part is not None and not isinstance(part, dict) else None
        own |= {name: smaller.to_dict()} if smaller is not None else {}
    try:
        return kind(**{**own, **{name: None for name in LISTS if name in fields}, **more})
    except Exception:  # noqa: BLE001 - each config has checks of its own
        return None


def _stands_alone(kind: Any) -> bool:
    try:
        kind()
    except Exception:  # noqa: BLE001
        return False
    return True


def _variants(kind: Any, plain: Any) -> Iterator[tuple[str, Any]]:
    fields = plain.to_dict()
    for window in WINDOWS:
        if window in fields:
            more = {"use_sliding_window": True, "max_window_layers": 1} if "use_sliding_window" in fields else {}
            found = tiny(kind, **{window: 8}, **more)
            if found is not None:
                yield f"{kind.model_type}, {window} 8", found
    if kind.model_type in ("llama", "qwen2"):
        for name, values in ROPES.items():
            rope = {"rope_type": name, "rope_theta": 10000.0, **copy.deepcopy(values)}
            context = 24 if name == "dynamic" else 128
            yield f"{kind.model_type}, {name} rope", tiny(kind, rope_parameters=rope, max_position_embeddings=context)
