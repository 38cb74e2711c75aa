"""Callbacks: what is done between the steps of training."""

from minigrad.callbacks.callback import Callback, CallbackList, LambdaCallback
from minigrad.callbacks.history import History

__all__ = ["Callback", "CallbackList", "History", "LambdaCallback"]
