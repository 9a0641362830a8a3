"""Local training: one round at a site, the learning rate of a round, and checkpoints."""

from fedlung.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from fedlung.training.loop import RoundOutcome, train_round
from fedlung.training.schedule import learning_rate_at

__all__ = ["Checkpoint", "RoundOutcome", "learning_rate_at", "load_checkpoint", "save_checkpoint", "train_round"]
