"""A checkpoint of our trainers as a Hugging Face directory: config.json and float16 model.safetensors."""

import os
from pathlib import Path

import torch
from safetensors.torch import save_file

from lm import LanguageModel, build

CLASS = {"mamba": "MambaForCausalLM", "mamba2": "Mamba2ForCausalLM", "llama": "LlamaForCausalLM"}
CONTEXT = 512  # the longest sequence trained on


def read_checkpoint(path: Path) -> tuple[LanguageModel, dict]:
    """The model and the counters {step, tokens, seconds}, of this trainer or the older one."""
    s = torch.load(path, weights_only=False)
    model = build(s["shape"] if "shape" in s else s["c"])
    model.load_state_dict(s["model"])
    if "st" in s:
        return model.eval(), dict(step=s["st"]["step"], tokens=s["st"]["tok"], seconds=s["st"]["spent"])
    return model.eval(), {k: s[k] for k in ("step", "tokens", "seconds")}


def hf_config(shape: dict):
    from transformers import LlamaConfig, Mamba2Config, MambaConfig

    common = dict(
        vocab_size=shape["vocab_size"], hidden_size=shape["d_model"], num_hidden_layers=shape["n_layer"],
        tie_word_embeddings=True, bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )
    mamba = dict(expand=2, conv_kernel=4, layer_norm_epsilon=1e-5, residual_in_fp32=False)
    if shape["kind"] == "mamba":
        return MambaConfig(state_size=shape["d_state"], time_step_rank=shape["dt_rank"], **mamba, **common)
    if shape["kind"] == "mamba2":
        return Mamba2Config(
            state_size=shape["d_state"], head_dim=shape["headdim"], num_heads=2 * shape["d_model"] // shape["headdim"],
            n_groups=1, chunk_size=shape["chunk_size"], **mamba, **common,
        )
    return LlamaConfig(
        num_attention_heads=shape["n_head"], num_key_value_heads=shape["n_kv_head"], intermediate_size=shape["d_ff"],
        rms_norm_eps=1e-5, rope_parameters=dict(rope_type="default", rope_theta=10000.0), max_position_embeddings=CONTEXT, **common,
    )


def save(model: LanguageModel, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    config = hf_config(model.shape)
    config.architectures = [CLASS[model.shape["kind"]]]
    config.dtype = "float16"
    config.save_pretrained(out)
    tensors = {k: v.detach().half().contiguous() for k, v in model.state_dict().items()}
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    os.chmod(out / "model.safetensors", 0o644)


@torch.no_grad()
def compare(model: LanguageModel, path: Path) -> dict:
    """Largest logit differences on random ids: our code against transformers, both with the stored float16 weights; and the rounding itself."""
    import transformers

    hf = getattr(transformers, CLASS[model.shape["kind"]]).from_pretrained(path, dtype=torch.float32).eval()
    rounded = build(model.shape)
    rounded.load_state_dict({k: v.half().float() for k, v in model.state_dict().items()})
    ids = torch.randint(0, model.shape["vocab_size"], (2, 192), generator=torch.Generator().manual_seed(0))
    ours, theirs, exact = rounded.eval()(ids), hf(ids, use_cache=False).logits, model(ids)

    def largest(x):
        return x.abs().max().item()

    return dict(ours_vs_hf=largest(ours - theirs), float16_vs_float32=largest(exact - ours), largest_logit=largest(theirs))
