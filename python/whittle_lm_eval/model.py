"""The model class."""

from __future__ import annotations

from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from tqdm import tqdm

from .server import Server

# Requests of one line; small, so that progress is seen.
CHUNK = 32
# What lm_eval's Hugging Face class writes where a task does not say.
MAX_TOKENS = 256


def spec(text: str) -> str:
    """A SPEC as `whittle` reads it: lm_eval splits its arguments at commas, so that `;` stands for them here."""
    return str(text).replace(";", ",")


@register_model("whittle")
class WhittleLM(LM):
    """A model that `whittle serve-stdio` has compressed and answers for. The arguments are described in README.md;
    lm_eval's `batch_size`, `max_batch_size` and `device` mean nothing here and change nothing."""

    def __init__(
        self,
        model: str,
        reduce: str = "off",
        prune: str = "off",
        calibration: str | None = None,
        backend: str = "cpu",
        threads: int | None = None,
        program: str = "whittle",
        batch_size=None,
        max_batch_size=None,
        device=None,
    ):
        super().__init__()
        arguments = ["--model", str(model), "--reduce", spec(reduce), "--prune", spec(prune), "--backend", str(backend)]
        if calibration is not None:
            arguments += ["--calibration", str(calibration)]
        if threads is not None:
            arguments += ["--threads", str(threads)]
        self.server = Server(program, arguments)
        self.hello = self.server.hello

    @property
    def max_length(self) -> int:
        return self.hello["max_length"]

    @property
    def tokenizer_name(self) -> str:
        """Names cached requests: whatever changes an answer is in it."""
        return "whittle@{sha256} {reduce} {prune}".format(**self.hello)

    def get_model_info(self) -> dict:
        """Stands among the results that lm_eval writes."""
        return {f"whittle_{name}": value for name, value in self.hello.items()}

    def _ask(self, method: str, name: str, requests, disable_tqdm: bool) -> list:
        found = []
        bar = tqdm(total=len(requests), disable=disable_tqdm, desc=f"whittle {method}")
        for start in range(0, len(requests), CHUNK):
            chunk = requests[start : start + CHUNK]
            found += self.server.ask(method, **{name: chunk})
            bar.update(len(chunk))
        bar.close()
        return found

    def loglikelihood(self, requests, disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        pairs = [list(request.args) for request in requests]
        found = [tuple(answer) for answer in self._ask("loglikelihood", "pairs", pairs, disable_tqdm)]
        for request, answer in zip(requests, found, strict=True):
            self.cache_hook.add_partial("loglikelihood", request.args, answer)
        return found

    def loglikelihood_rolling(self, requests, disable_tqdm: bool = False) -> list[float]:
        texts = [request.args[0] for request in requests]
        found = self._ask("loglikelihood_rolling", "texts", texts, disable_tqdm)
        for request, answer in zip(requests, found, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, answer)
        return found

    def generate_until(self, requests, disable_tqdm: bool = False) -> list[str]:
        found = []
        for request in tqdm(requests, disable=disable_tqdm, desc="whittle generate_until"):
            context, settings = request.args
            text = self.server.ask("generate_until", context=context, **generation(settings))
            self.cache_hook.add_partial("generate_until", request.args, text)
            found.append(text)
        return found


def generation(settings: dict) -> dict:
    """What a task asks of a generated text, in the server's words. Errors: something that changes the text and is not
    known here."""
    settings = dict(settings)
    until = settings.pop("until", None) or []
    most = [settings.pop(name, None) for name in ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")]
    sampled = settings.pop("do_sample", None)
    temperature = float(settings.pop("temperature", None) or 0.0)
    if sampled is False:
        temperature = 0.0
    elif sampled and temperature == 0.0:
        temperature = 1.0
    if settings:
        raise ValueError(f"whittle does not know the generation settings {sorted(settings)}")
    until = [until] if isinstance(until, str) else list(until)
    most = next((int(n) for n in most if n is not None), MAX_TOKENS)
    return dict(until=until, max_tokens=most, temperature=temperature)
