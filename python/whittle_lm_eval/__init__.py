"""The model class `whittle` for lm_eval; importing this package registers it."""

from .model import WhittleLM

__all__ = ["WhittleLM"]
