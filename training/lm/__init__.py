"""Small Mamba-1, Mamba-2 and Llama language models, written to be trained on a CPU.

Parameter names, shapes and logits are those of the transformers classes (checked by ../check_hf.py), so a trained state
dict is a Hugging Face checkpoint.
"""

from .model import LanguageModel, build, count_parameters, optimizer_groups

__all__ = ["LanguageModel", "build", "count_parameters", "optimizer_groups"]
