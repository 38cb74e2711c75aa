"""Saving: what is kept on disk, and read again."""

from minigrad.saving.checkpoint import CheckpointError, load_checkpoint, save_checkpoint

__all__ = ["CheckpointError", "load_checkpoint", "save_checkpoint"]
