"""Federated multi-site training and honest domain generalization for lung nodules on chest CT."""

__version__ = "0.1.0"
