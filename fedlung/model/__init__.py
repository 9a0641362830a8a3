"""The networks, their loss and their predictions. Knows tensors only: no CT, no site, no server."""

from fedlung.model.losses import class_weights, focal_loss
from fedlung.model.networks import build_model
from fedlung.model.predict import predict_logits

__all__ = ["build_model", "class_weights", "focal_loss", "predict_logits"]
