"""What runs start from: problems and their splits, base recipes and their hashes, derived seeds. No torch here."""

from harness.source.base import base_identity
from harness.source.items import evaluation_hash, splits, trainable
from harness.source.seeds import derived_seed
from harness.source.split import Item, Splits, items_hash

__all__ = ["Item", "Splits", "base_identity", "derived_seed", "evaluation_hash", "items_hash", "splits", "trainable"]
