"""Saving: what is kept on disk, and read again."""

from minigrad.saving.checkpoint import load_checkpoint, save_checkpoint

__all__ = ["load_checkpoint", "save_checkpoint"]
