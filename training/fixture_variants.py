"""The tiny models that tests/fixtures holds: one entry a model, chosen so that each setting a loader may forget bites.

Sizes are odd on purpose: widths that are no multiple of 4, a convolution of 2 or 3 taps, several state groups,
a head dimension unlike d_model / n_head, epsilons and bases that are nobody's default.
"""

from dataclasses import dataclass, field

import torch
import transformers as hf

VOCAB_SIZE = 61


@dataclass(frozen=True)
class Variant:
    name: str
    model_class: type
    config_class: type
    settings: dict
    dtype: torch.dtype = torch.float32
    # Parameters whose names end so are stored as float32 in spite of `dtype`.
    keep_f32: tuple = ()
    # A limit in bytes: the weights are split into several files with an index.
    shard_bytes: int | None = None
    # Old key names: {new: old}; a value of None drops the key. `rope_parameters` is handled by `legacy_rope`.
    legacy: dict = field(default_factory=dict)
    # Tensors stored under another name than the class has: {name: stored name}.
    stored_names: dict = field(default_factory=dict)
    weight_std: float = 0.3
    # Written in the form of state-spaces/mamba after the figures are made.
    original: bool = False


MAMBA = (hf.MambaForCausalLM, hf.MambaConfig)
MAMBA2 = (hf.Mamba2ForCausalLM, hf.Mamba2Config)
LLAMA = (hf.LlamaForCausalLM, hf.LlamaConfig)
NEOX = (hf.GPTNeoXForCausalLM, hf.GPTNeoXConfig)
QWEN2 = (hf.Qwen2ForCausalLM, hf.Qwen2Config)
QWEN3 = (hf.Qwen3ForCausalLM, hf.Qwen3Config)
MISTRAL = (hf.MistralForCausalLM, hf.MistralConfig)
SMOLLM3 = (hf.SmolLM3ForCausalLM, hf.SmolLM3Config)
GPT2 = (hf.GPT2LMHeadModel, hf.GPT2Config)
OPT = (hf.OPTForCausalLM, hf.OPTConfig)
FALCON = (hf.FalconMambaForCausalLM, hf.FalconMambaConfig)
GRANITE = (hf.GraniteMoeHybridForCausalLM, hf.GraniteMoeHybridConfig)
ROPE = dict(rope_type="default", rope_theta=700.0)

VARIANTS = [
    # Mamba-1
    Variant(
        "mamba-f32", *MAMBA,
        dict(hidden_size=30, num_hidden_layers=2, state_size=16),
    ),
    Variant(
        "mamba-bf16-odd", *MAMBA,
        dict(hidden_size=26, expand=3, num_hidden_layers=2, state_size=5, conv_kernel=3, time_step_rank=7, use_bias=True,
             use_conv_bias=False, tie_word_embeddings=False, layer_norm_epsilon=1e-3, residual_in_fp32=False),
        dtype=torch.bfloat16,
    ),
    Variant(
        "mamba-f16-sharded", *MAMBA,
        dict(hidden_size=42, num_hidden_layers=3, state_size=8, conv_kernel=2, time_step_rank=3, bos_token_id=1),
        dtype=torch.float16, keep_f32=("A_log", ".D"), shard_bytes=40_000,
    ),
    # Mamba-2
    Variant(
        "mamba2-f32-groups", *MAMBA2,
        dict(hidden_size=30, num_hidden_layers=2, num_heads=6, head_dim=10, n_groups=2, state_size=12, chunk_size=16),
    ),
    Variant(
        "mamba2-bf16-limit", *MAMBA2,
        dict(hidden_size=42, num_hidden_layers=2, num_heads=4, head_dim=21, n_groups=1, state_size=7, conv_kernel=3, chunk_size=16,
             use_bias=True, use_conv_bias=False, tie_word_embeddings=True, time_step_limit=(0.02, 0.15), layer_norm_epsilon=1e-3,
             residual_in_fp32=False),
        dtype=torch.bfloat16,
    ),
    Variant(
        "mamba2-f16-mixed", *MAMBA2,
        dict(hidden_size=20, expand=3, num_hidden_layers=3, num_heads=12, head_dim=5, n_groups=4, state_size=9, chunk_size=64,
             tie_word_embeddings=True, bos_token_id=1),
        dtype=torch.float16, keep_f32=("A_log", ".D", "dt_bias", "norm.weight", "norm_f.weight"), shard_bytes=25_000,
    ),
    # Llama
    Variant(
        "llama-f32-gqa", *LLAMA,
        dict(hidden_size=30, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2, head_dim=8, intermediate_size=50,
             tie_word_embeddings=True, rms_norm_eps=1e-3, max_position_embeddings=256,
             rope_parameters=dict(rope_type="default", rope_theta=500.0)),
    ),
    Variant(
        "llama-bf16-llama3", *LLAMA,
        dict(hidden_size=42, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1, head_dim=10, intermediate_size=46,
             attention_bias=True, mlp_bias=True, max_position_embeddings=512,
             rope_parameters=dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                  original_max_position_embeddings=128)),
        dtype=torch.bfloat16, shard_bytes=30_000,
    ),
    Variant(
        "llama-f16-legacy", *LLAMA,
        dict(hidden_size=36, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40, max_position_embeddings=512,
             rope_parameters=dict(rope_type="llama3", rope_theta=5000.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=5.0,
                                  original_max_position_embeddings=130)),
        dtype=torch.float16, legacy={"dtype": "torch_dtype", "head_dim": None, "num_key_value_heads": None},
    ),
    # GPT-NeoX
    Variant(
        "neox-f32-parallel", *NEOX,
        dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=3, intermediate_size=50, max_position_embeddings=256,
             rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.25)),
        weight_std=0.25,
    ),
    Variant(
        "neox-bf16-sequential", *NEOX,
        dict(hidden_size=30, num_hidden_layers=2, num_attention_heads=3, intermediate_size=62, max_position_embeddings=256,
             use_parallel_residual=False, attention_bias=False, tie_word_embeddings=True, layer_norm_eps=1e-3,
             rope_parameters=dict(rope_type="default", rope_theta=300.0, partial_rotary_factor=1.0)),
        dtype=torch.bfloat16,
    ),
    Variant(
        "neox-f16-legacy", *NEOX,
        dict(hidden_size=40, num_hidden_layers=3, num_attention_heads=2, intermediate_size=50, max_position_embeddings=256, bos_token_id=1,
             rope_parameters=dict(rope_type="default", rope_theta=2000.0, partial_rotary_factor=0.4)),
        dtype=torch.float16, shard_bytes=40_000, legacy={"dtype": "torch_dtype"},
        stored_names={"lm_head.weight": "embed_out.weight"},
    ),
    # The form of state-spaces/mamba: padded vocabulary, tied, no model_type.
    Variant(
        "mamba-original", *MAMBA,
        dict(hidden_size=32, num_hidden_layers=2, state_size=6, time_step_rank=2, conv_kernel=3, vocab_size=64),
        original=True,
    ),
    Variant(
        "mamba2-original", *MAMBA2,
        dict(hidden_size=32, num_hidden_layers=2, num_heads=8, head_dim=8, n_groups=2, state_size=10, chunk_size=32, vocab_size=64,
             tie_word_embeddings=True, time_step_limit=(0.0, float("inf")), eos_token_id=0),
        dtype=torch.float16, original=True,
    ),
    # A convolution of one tap
    Variant("mamba-f32-one-tap", *MAMBA, dict(hidden_size=24, num_hidden_layers=2, state_size=4, conv_kernel=1)),
    Variant(
        "mamba2-f16-one-tap", *MAMBA2,
        dict(hidden_size=24, num_hidden_layers=2, num_heads=4, head_dim=12, n_groups=1, state_size=6, conv_kernel=1, use_conv_bias=False),
        dtype=torch.float16,
    ),
    Variant(
        "falcon-f32", *FALCON,
        dict(hidden_size=26, num_hidden_layers=2, state_size=6, time_step_rank=5, mixer_rms_eps=1e-2, use_bias=True,
             tie_word_embeddings=False),
    ),
    Variant(
        "falcon-bf16", *FALCON,
        dict(hidden_size=30, num_hidden_layers=2, state_size=5, conv_kernel=3, expand=3, use_conv_bias=False, bos_token_id=1),
        dtype=torch.bfloat16,
    ),
    # Llama with other options
    Variant(
        "qwen2-f32", *QWEN2,
        dict(hidden_size=30, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2, head_dim=10, intermediate_size=50,
             tie_word_embeddings=True, max_position_embeddings=256, rope_parameters=ROPE),
    ),
    Variant(
        "qwen3-bf16", *QWEN3,
        dict(hidden_size=42, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=3, head_dim=12, intermediate_size=46,
             attention_bias=True, max_position_embeddings=256, rms_norm_eps=1e-3, rope_parameters=ROPE),
        dtype=torch.bfloat16, shard_bytes=30_000,
    ),
    Variant(
        "mistral-f16", *MISTRAL,
        dict(hidden_size=36, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1, intermediate_size=40,
             max_position_embeddings=512, sliding_window=300, rope_parameters=ROPE),
        dtype=torch.float16, legacy={"dtype": "torch_dtype", "head_dim": None},
    ),
    Variant(
        "smollm3-f32", *SMOLLM3,
        dict(hidden_size=32, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, intermediate_size=44,
             attention_bias=True, mlp_bias=True, no_rope_layer_interval=2, max_position_embeddings=256, rope_parameters=ROPE),
    ),
    # GPT-2
    Variant(
        "gpt2-f32", *GPT2,
        dict(n_embd=30, n_layer=2, n_head=3, n_positions=140),
    ),
    Variant(
        "gpt2-f16-inner", *GPT2,
        dict(n_embd=28, n_layer=3, n_head=2, n_positions=131, n_inner=50, activation_function="relu", tie_word_embeddings=False,
             scale_attn_by_inverse_layer_idx=True, layer_norm_epsilon=1e-3),
        dtype=torch.float16, shard_bytes=30_000,
    ),
    # OPT
    Variant(
        "opt-f32", *OPT,
        dict(hidden_size=30, num_hidden_layers=2, num_attention_heads=3, ffn_dim=50, max_position_embeddings=140),
    ),
    Variant(
        "opt-bf16-plain", *OPT,
        dict(hidden_size=28, num_hidden_layers=2, num_attention_heads=2, ffn_dim=62, max_position_embeddings=131, enable_bias=False,
             activation_function="gelu", tie_word_embeddings=False),
        dtype=torch.bfloat16,
    ),
    # A hybrid
    Variant(
        "granite-f32-rope", *GRANITE,
        dict(hidden_size=32, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, shared_intermediate_size=44,
             num_local_experts=0, num_experts_per_tok=0, mamba_n_heads=8, mamba_d_head=8, mamba_d_state=10, mamba_n_groups=2,
             mamba_chunk_size=32, layer_types=["mamba", "attention", "mamba", "attention"], position_embedding_type="rope",
             attention_bias=True, embedding_multiplier=2.5, residual_multiplier=0.4, attention_multiplier=0.2, logits_scaling=3.0,
             max_position_embeddings=256, rope_parameters=ROPE),
    ),
    Variant(
        "granite-bf16-tied", *GRANITE,
        dict(hidden_size=28, num_hidden_layers=3, num_attention_heads=2, num_key_value_heads=1, shared_intermediate_size=38,
             num_local_experts=0, num_experts_per_tok=0, mamba_n_heads=4, mamba_d_head=14, mamba_d_state=7, mamba_n_groups=1,
             mamba_d_conv=3, mamba_conv_bias=False, mamba_proj_bias=True, layer_types=["mamba", "mamba", "attention"],
             time_step_limit=(0.01, 0.3), tie_word_embeddings=True, rms_norm_eps=1e-3, max_position_embeddings=256,
             rope_parameters=ROPE),
        dtype=torch.bfloat16,
    ),
]
