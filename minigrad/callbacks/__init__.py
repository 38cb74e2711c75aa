"""Callbacks: what is done between the steps of training."""

from minigrad.callbacks.callback import Callback, CallbackList, LambdaCallback
from minigrad.callbacks.files import BackupAndRestore, CSVLogger, ModelCheckpoint
from minigrad.callbacks.history import History
from minigrad.callbacks.learning_rate import LearningRateScheduler, ReduceLROnPlateau
from minigrad.callbacks.monitor import EarlyStopping, MonitorCallback, TerminateOnNaN

__all__ = [
    "BackupAndRestore", "CSVLogger", "Callback", "CallbackList", "EarlyStopping", "History", "LambdaCallback",
    "LearningRateScheduler", "ModelCheckpoint", "MonitorCallback", "ReduceLROnPlateau", "TerminateOnNaN",
]
