"""PyTorch on the card that Whittle is measured on: its limits, and the same shapes in transformers' classes.

usage: torch_peer.py FILE SECONDS [quick]   appends one JSON line a figure.
"""
import json
import statistics
import sys
import time

import torch

FILE, SECONDS, QUICK = sys.argv[1], float(sys.argv[2]), "quick" in sys.argv[3:]
START = time.time()
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def line(**values):
    text = json.dumps(values)
    print(f"{time.time() - START:6.1f} {text}", flush=True)
    with open(FILE, "a") as file:
        file.write(text + "\n")


def sync():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def ms(body, runs=7):
    body()
    sync()
    times = []
    for _ in range(1 if QUICK else runs):
        start = time.time()
        body()
        sync()
        times.append((time.time() - start) * 1e3)
    return statistics.median(times)


def limits():
    n = 1 << (20 if QUICK else 30)
    a, b = torch.rand(n, device=DEVICE), torch.empty(n, device=DEVICE)
    took = ms(lambda: b.copy_(a))
    line(part="torch limit", what="copy", gb_per_s=round(8 * n / took / 1e6, 1))
    del a, b
    n = 256 if QUICK else 8192
    for dtype, name in [(torch.float32, "matmul f32"), (torch.float16, "matmul f16, tensor cores")]:
        a, b = (torch.rand(n, n, device=DEVICE, dtype=dtype) - 0.5 for _ in range(2))
        took = ms(lambda: a @ b)
        line(part="torch limit", what=name, gflop_per_s=round(2 * n**3 / took / 1e6, 1))
    copies = [torch.rand(n, n, device=DEVICE, dtype=torch.float16) for _ in range(1 if QUICK else 4)]
    x = torch.rand(n, 1, device=DEVICE, dtype=torch.float16)

    def walk():
        for w in copies:
            w @ x

    took = ms(walk) / len(copies)
    line(part="torch limit", what=f"f16 product of one row, [{n}, {n}]", gb_per_s=round(2 * n * n / took / 1e6, 1))


def shapes():
    import transformers as t

    llama = lambda d, n, h, kv, ff: (t.LlamaForCausalLM, t.LlamaConfig(
        vocab_size=49152, hidden_size=d, num_hidden_layers=n, num_attention_heads=h, num_key_value_heads=kv,
        intermediate_size=ff, max_position_embeddings=8192, tie_word_embeddings=True))
    mamba = lambda d, n: (t.MambaForCausalLM, t.MambaConfig(vocab_size=50280, hidden_size=d, num_hidden_layers=n))
    mamba2 = lambda d, n: (t.Mamba2ForCausalLM, t.Mamba2Config(
        vocab_size=50288, hidden_size=d, num_hidden_layers=n, num_heads=2 * d // 64, head_dim=64, n_groups=1,
        state_size=128, tie_word_embeddings=True))
    if QUICK:
        return [("llama, tiny", *llama(64, 2, 4, 2, 128)), ("mamba, tiny", *mamba(64, 2)), ("mamba2, tiny", *mamba2(64, 2))]
    return [
        ("SmolLM2-135M", *llama(576, 30, 9, 3, 1536)),
        ("mamba2-130m", *mamba2(768, 24)),
        ("mamba-130m", *mamba(768, 24)),
        ("SmolLM2-1.7B", *llama(2048, 24, 32, 32, 8192)),
        ("mamba2-1.3b", *mamba2(2048, 48)),
    ]


@torch.inference_mode()
def model(name, kind, config, dtype):
    torch.manual_seed(1)
    torch.set_default_dtype(dtype)
    with torch.device(DEVICE):
        net = kind(config).eval()
    torch.set_default_dtype(torch.float32)
    for tokens in ([16] if QUICK else [512, 2048]):
        ids = torch.randint(0, config.vocab_size, (1, tokens), device=DEVICE)
        prefill = ms(lambda: net(ids, logits_to_keep=1).logits[0, -1].float().cpu(), 3)
        steps = 2 if QUICK else 32
        decode = None
        if tokens == 512 or QUICK:
            def run(n):
                sync()
                start = time.time()
                net.generate(ids, max_new_tokens=n, min_new_tokens=n, do_sample=False, pad_token_id=0)
                sync()
                return (time.time() - start) * 1e3
            run(2)
            decode = round((run(steps + 1) - run(1)) / steps, 3)
        line(part="torch model", model=name, dtype=str(dtype).removeprefix("torch."), tokens=tokens,
             prefill_ms=round(prefill, 3), decode_ms=decode)
        if time.time() - START > SECONDS:
            return


def main():
    name = torch.cuda.get_device_name() if DEVICE == "cuda" else "CPU"
    line(part="torch", version=torch.__version__, device=name)
    limits()
    for name, kind, config in shapes():
        for dtype in [torch.float32, torch.float16]:
            if time.time() - START > SECONDS:
                return line(part="left out", what=f"PyTorch, {name}, {dtype}")
            try:
                model(name, kind, config, dtype)
            except Exception as problem:
                line(part="failed", what=f"PyTorch, {name}, {dtype}", why=str(problem)[:300])


main()
