"""How updates become the next model: one small file for each algorithm, all on Flower's four strategy hooks."""

from server.strategies.afl import AgnosticFed
from server.strategies.fedadam import FedAdam
from server.strategies.fedavg import FINAL, Evaluation, FedAvg, Training
from server.strategies.fedavgm import FedAvgM
from server.strategies.fedbn import FedBN
from server.strategies.fednova import FedNova
from server.strategies.fedprox import FedProx
from server.strategies.fedyogi import FedYogi
from server.strategies.generalization_adjustment import FedDGGA
from server.strategies.geometric_median import GeometricMedian
from server.strategies.groupdro import GroupDRO
from server.strategies.krum import Krum
from server.strategies.median import CoordinateMedian
from server.strategies.qffl import QFedAvg
from server.strategies.scaffold import Scaffold
from server.strategies.trimmed_mean import TrimmedMean
from server.strategies.uniform import UniformFedAvg

STRATEGIES: dict[str, type[FedAvg]] = {
    "fedavg": FedAvg,
    "uniform": UniformFedAvg,
    "fedprox": FedProx,
    "fedavgm": FedAvgM,
    "fedadam": FedAdam,
    "fedyogi": FedYogi,
    "scaffold": Scaffold,
    "fednova": FedNova,
    "fedbn": FedBN,
    "qffl": QFedAvg,
    "afl": AgnosticFed,
    "groupdro": GroupDRO,
    "feddg-ga": FedDGGA,
    "median": CoordinateMedian,
    "trimmed-mean": TrimmedMean,
    "geometric-median": GeometricMedian,
    "krum": Krum,
}

__all__ = ["FINAL", "STRATEGIES", "Evaluation", "FedAvg", "Training"]
