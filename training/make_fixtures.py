"""Write tests/fixtures/models/NAME/{config.json, weights, expected.json} from the official transformers classes.

usage: python make_fixtures.py [--out ../tests/fixtures/models] [--only NAME]

expected.json: {"source", "cases": [{"ids", "nll", "logits_last"}]}. `nll[i]` is -log p(ids[i+1] | ids[..=i]) in nats,
from logits that the class computes in float32 on the CPU (weights read back from the files written here, so already
rounded to their stored type), with the softmax in float64. `logits_last` are the logits after the last id.
"""

import argparse
import json
import math
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file

from fixture_variants import VARIANTS, VOCAB_SIZE, Variant

CASE_LENGTHS = (1, 2, 37, 130)
HERE = Path(__file__).resolve().parent


def inverse_softplus(x: torch.Tensor) -> torch.Tensor:
    return x + torch.log(-torch.expm1(-x))


@torch.no_grad()
def randomise(model: torch.nn.Module, std: float, gen: torch.Generator) -> None:
    """Random weights far from their initial values; A and dt stay in a range that trained models have."""
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=gen)
        if name.endswith("A_log"):
            p.copy_(torch.log(0.5 + 7.5 * torch.rand(p.shape, generator=gen)))
        elif name.endswith(("dt_bias", "dt_proj.bias")):
            exponent = torch.rand(p.shape, generator=gen) * math.log(0.5 / 0.002) + math.log(0.002)
            p.copy_(inverse_softplus(torch.exp(exponent)))
        elif name.endswith((".D", "norm.weight", "norm_f.weight", "layernorm.weight", "layer_norm.weight", "ln_1.weight", "ln_2.weight", "ln_f.weight")):
            p.copy_(1 + 0.3 * noise)
        elif name.endswith("bias"):
            p.copy_(0.2 * noise)
        elif any(part in name for part in ("embed", "lm_head", "wte", "wpe")):
            p.copy_(0.5 * noise)
        elif "conv1d" in name:
            p.copy_(0.5 * noise)
        else:
            p.copy_(std * noise)


def stored_tensors(model: torch.nn.Module, variant: Variant) -> dict:
    """The tensors to be stored, in their stored type; a tied lm_head is left out, as save_pretrained does."""
    tied = model.config.tie_word_embeddings
    out = {}
    for name, p in model.state_dict().items():
        if tied and name == "lm_head.weight":
            continue
        keep = name.endswith(variant.keep_f32) if variant.keep_f32 else False
        out[variant.stored_names.get(name, name)] = p.to(torch.float32 if keep else variant.dtype).contiguous()
    return out


def write_weights(tensors: dict, out: Path, shard_bytes: int | None) -> None:
    if shard_bytes is None:
        save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
        return
    shards, room = [{}], shard_bytes
    for name, t in tensors.items():
        size = t.numel() * t.element_size()
        if size > room and shards[-1]:
            shards.append({})
            room = shard_bytes
        shards[-1][name] = t
        room -= size
    weight_map = {}
    for i, shard in enumerate(shards, 1):
        file = f"model-{i:05d}-of-{len(shards):05d}.safetensors"
        save_file(shard, out / file, metadata={"format": "pt"})
        weight_map.update({name: file for name in shard})
    total = sum(t.numel() * t.element_size() for t in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (out / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")


def to_legacy(config: dict, legacy: dict) -> dict:
    """The same settings under the names that checkpoints made before transformers 5 carry."""
    rope = config.pop("rope_parameters")
    if config["model_type"] == "gpt_neox":
        config["rotary_emb_base"] = rope.pop("rope_theta")
        config["rotary_pct"] = rope.pop("partial_rotary_factor")
    else:
        config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = rope if rope["rope_type"] != "default" else None
    for new, old in legacy.items():
        value = config.pop(new)
        if old is not None:
            config[old] = value
    return config


def write_model(variant: Variant, out: Path, seed: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for old in out.iterdir():
        old.unlink()
    gen = torch.Generator().manual_seed(seed)
    ids = dict(pad_token_id=0, bos_token_id=0, eos_token_id=0) | variant.settings
    config = variant.config_class(**dict(vocab_size=VOCAB_SIZE) | ids)
    config.architectures = [variant.model_class.__name__]
    config.dtype = str(variant.dtype).removeprefix("torch.")
    model = variant.model_class(config).eval()
    randomise(model, variant.weight_std, gen)
    write_weights(stored_tensors(model, variant), out, variant.shard_bytes)
    config.save_pretrained(out)
    for file in out.iterdir():
        file.chmod(0o644)
    if variant.legacy:
        path = out / "config.json"
        path.write_text(json.dumps(to_legacy(json.loads(path.read_text()), variant.legacy), indent=2) + "\n")


def to_original(out: Path) -> None:
    """Rewrites a Mamba folder in the form of state-spaces/mamba (mamba_ssm, models/config_mamba.py), as its conversion reversed."""
    config = json.loads((out / "config.json").read_text())
    ssm = {"layer": "Mamba2"} if config["model_type"] == "mamba2" else {}
    theirs = dict(d_state="state_size", d_conv="conv_kernel", dt_rank="time_step_rank", headdim="head_dim", ngroups="n_groups",
                  chunk_size="chunk_size")
    if config["model_type"] == "mamba":
        theirs = {k: theirs[k] for k in ("d_state", "d_conv", "dt_rank")}
    else:
        del theirs["dt_rank"]
    ssm |= {key: config[name] for key, name in theirs.items()}
    original = dict(
        d_model=config["hidden_size"], d_intermediate=0, n_layer=config["num_hidden_layers"], vocab_size=VOCAB_SIZE, ssm_cfg=ssm,
        attn_layer_idx=[], attn_cfg={}, rms_norm=True, residual_in_fp32=True, fused_add_norm=True, pad_vocab_size_multiple=16,
        tie_embeddings=True)
    (out / "config.json").write_text(json.dumps(original, indent=2) + "\n")
    tensors = load_file(out / "model.safetensors")
    tensors["backbone.embedding.weight"] = tensors.pop("backbone.embeddings.weight")
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})


def rounded(values: torch.Tensor) -> list:
    return [float(f"{v:.9g}") for v in values.tolist()]


@torch.no_grad()
def expected(variant: Variant, out: Path, seed: int) -> dict:
    model, info = variant.model_class.from_pretrained(out, dtype=torch.float32, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    model.eval()
    gen = torch.Generator().manual_seed(seed + 1000)
    cases = []
    for n in CASE_LENGTHS:
        ids = torch.randint(2, VOCAB_SIZE, (1, n), generator=gen)
        ids[0, 0] = model.config.bos_token_id
        logits = model(ids, use_cache=False).logits[0]
        assert logits.dtype == torch.float32 and torch.isfinite(logits).all()
        logp = torch.log_softmax(logits.double(), -1)
        nll = -logp[:-1].gather(1, ids[0, 1:, None])[:, 0]
        cases.append(dict(ids=ids[0].tolist(), nll=rounded(nll), logits_last=rounded(logits[-1].double())))
    source = f"transformers {transformers.__version__} {variant.model_class.__name__}, torch {torch.__version__.split('+')[0]}, CPU, float32"
    return dict(source=source, cases=cases)


def write_expected(path: Path, data: dict) -> None:
    cases = ",\n".join(
        "  {" + ",\n   ".join(f'"{k}": {json.dumps(v)}' for k, v in case.items()) + "}" for case in data["cases"]
    )
    path.write_text(f'{{"source": {json.dumps(data["source"])},\n "cases": [\n{cases}\n ]}}\n')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE.parent / "tests/fixtures/models")
    parser.add_argument("--only")
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for seed, variant in enumerate(VARIANTS):
        if args.only and variant.name != args.only:
            continue
        out = args.out / variant.name
        write_model(variant, out, seed)
        data = expected(variant, out, seed)
        if variant.original:
            to_original(out)
        write_expected(out / "expected.json", data)
        long = torch.tensor(data["cases"][-1]["nll"])
        size = sum(f.stat().st_size for f in out.iterdir())
        print(f"{variant.name:24s} {size / 1000:6.1f} kB  nll mean {long.mean():.2f} std {long.std():.2f}")


if __name__ == "__main__":
    main()
