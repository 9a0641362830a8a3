"""All that computes on a site's device, on one that is not the CPU; what that shows is in ``pretended_cuda``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pretended_cuda import pretended_cuda
from torch import Tensor, nn
from torch.nn import functional

from fedlung.config import ModelConfig, PrepareConfig, RunConfig, ScannerConfig
from fedlung.ct.geometry import Geometry
from fedlung.ct.phantom import PhantomConfig, write_phantom
from fedlung.ct.volume import Volume
from fedlung.evaluation.detection import Search, find_candidates
from fedlung.hospital.profile import load_profile
from fedlung.model.adaptation import adapt_statistics
from fedlung.model.networks import build_model
from fedlung.model.predict import predict_logits
from fedlung.patches import augment, scanner_randomization
from fedlung.preflight.machine import inspect_machine
from fedlung.preprocess.case import Case
from fedlung.preprocess.prepare import prepare_case
from fedlung.preprocess.resample import cube_target, isotropic_target, resample
from fedlung.protocol import EvaluateReply, EvaluateTask, PrepareTask, State, TrainReply, TrainTask
from fedlung.training.checkpoint import load_checkpoint, save_checkpoint
from fedlung.training.loop import train_round
from sites.worker import SiteWorker

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
SOURCE = Geometry((40, 48, 56), (2.0, 1.0, 1.0), (0.0, 0.0, 0.0))
SMALL = {"model.width": 4, "optimizer.precision": "float32", "federation.local-epochs": 1}
NETWORKS: dict[str, dict[str, Any]] = {
    "plain": {},
    "sgd": {"optimizer.name": "sgd", "optimizer.clip-norm": 0.5},
    "everything at once": {"model.dropout": 0.5, "model.mixstyle-probability": 1.0, "scanner.probability": 1.0},
    "batch norm": {"model.norm": "batch", "model.stem": "quarter"},
    "bottlenecks": {"model.name": "resnet50", "model.stem": "quarter", "optimizer.batch-size": 6},
    "simple-cnn": {"model.name": "simple-cnn"},
    "bfloat16": {"optimizer.precision": "auto"},
}


class Cubes:
    """Random cubes with every second one brighter."""

    voxel_mm = 1.25

    def __init__(self, num: int = 6, edge: int = 16) -> None:
        self.labels_N = np.arange(num, dtype=np.int64) % 2
        self.x_NCDHW = torch.rand(num, 1, edge, edge, edge, generator=torch.Generator().manual_seed(0))
        self.x_NCDHW *= torch.from_numpy(0.5 + 0.5 * self.labels_N).float().view(-1, 1, 1, 1, 1)

    def __len__(self) -> int:
        return len(self.labels_N)

    def load(self, indices_B: np.ndarray) -> Tensor:
        return self.x_NCDHW[torch.from_numpy(indices_B)]


def network(norm: str = "group") -> nn.Module:
    return build_model(ModelConfig(width=4, norm=norm, stem="quarter"), 0)


def voxels() -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(-1024, 3071, SOURCE.shape_DHW, dtype=np.int16))


def scan() -> Volume:
    """Two lungs in a body."""
    z, y, x = (np.linspace(-1.0, 1.0, num).reshape(shape) for num, shape in ((40, (-1, 1, 1)), (64, (-1, 1)), (64, -1)))
    hu = np.where((x / 0.9) ** 2 + (y / 0.8) ** 2 < 1, 40.0, -1000.0) + 0.0 * z
    hu[((abs(x) - 0.42) / 0.3) ** 2 + (y / 0.55) ** 2 + (z / 0.9) ** 2 < 1] = -860.0
    noise = np.random.default_rng(0).normal(0.0, 15.0, hu.shape)
    return Volume(np.round(hu + noise).astype(np.int16), Geometry(hu.shape, (5.0, 5.0, 5.0), (0.0,) * 3), "1.2", "P")


def prepared(cfg: PrepareConfig, device: torch.device) -> Case:
    return prepare_case(scan(), [], cfg, site_key=b"key", device=device)


@pytest.mark.parametrize(
    "mixing",
    [
        lambda here, there: here + there,
        lambda here, there: there.add_(here),
        lambda here, there: here.index_put_((torch.tensor([0, 2]),), there[:2]),
        lambda here, there: torch.mm(here[None], there[:, None]),
        lambda here, there: torch.cat([here, there]),
        lambda here, there: there[here.long()],
        lambda here, there: here[0] * there,
        lambda here, there: functional.linear(here, there[None]),
    ],
)
def test_the_pretended_device_refuses_an_operation_with_the_cpus_tensors(mixing: Callable[..., Tensor]) -> None:
    with pretended_cuda(), pytest.raises(RuntimeError, match="found cuda:0 and cpu"):
        mixing(torch.zeros(3, device=CUDA), torch.ones(3))


def test_the_pretended_device_refuses_what_cuda_refuses_and_allows_what_cuda_allows() -> None:
    with pretended_cuda():
        here, there = torch.arange(3.0).to("cuda"), torch.arange(3.0)
        for as_array in (here.numpy, lambda: np.asarray(here)):
            with pytest.raises(TypeError, match="numpy"):
                as_array()
        with pytest.raises(RuntimeError, match="'cuda' device type for generator"):
            torch.rand(3, generator=torch.Generator(), device=CUDA)
        pooled = functional.max_pool3d(torch.rand(1, 2, 2, 2, device=CUDA).requires_grad_(), 2)
        with pytest.raises(RuntimeError, match="other numbers at each run"):
            pooled.sum().backward()
        made = (here + there[1], here[torch.tensor([0, 2])], here.new_tensor([1.0]), torch.zeros_like(here), here[1:])
        assert {str(one.device) for one in made} == {"cuda:0"}
        there[1:] = here[1:]
        assert (there.device, here.cpu().device, here.is_cuda) == (CPU, CPU, True)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("interpolation", ["linear", "catmull-rom"])
def test_resampling_on_a_device_is_that_of_the_cpu(interpolation: str, antialias: bool) -> None:
    how = {"interpolation": interpolation, "antialias": antialias}
    for target in (isotropic_target(SOURCE, 1.5), isotropic_target(SOURCE, 0.8), cube_target(SOURCE, 24)):
        on_cpu = resample(voxels(), SOURCE, target, device=CPU, **how)
        with pretended_cuda():
            there = resample(voxels(), SOURCE, target, device=CUDA, **how)
            assert there.is_cuda
            torch.testing.assert_close(there.cpu(), on_cpu, atol=0.01, rtol=0)


@pytest.mark.parametrize("spacing_mm", [0.9, 1.5])
def test_however_little_memory_a_device_has_a_grid_is_filled(spacing_mm: float, caplog) -> None:
    target = isotropic_target(SOURCE, spacing_mm)

    def run(memory_bytes: int | None) -> Tensor:
        with pretended_cuda(memory_bytes):
            return resample(voxels(), SOURCE, target, interpolation="catmull-rom", antialias=True, device=CUDA).cpu()

    whole = run(None)
    for memory_bytes in (0, *(1 << power for power in range(12, 23))):
        torch.testing.assert_close(run(memory_bytes), whole, atol=0.01, rtol=0)
    assert "slabs on cuda" in caplog.text
    assert "slabs on cpu" in caplog.text


@pytest.mark.parametrize("cfg", [PrepareConfig(spacing_mm=4.0), PrepareConfig(cube=32)])
def test_a_case_prepared_on_a_device_of_any_memory_is_that_of_the_cpu(cfg: PrepareConfig) -> None:
    on_cpu = prepared(cfg, CPU)
    for memory_bytes in (None, *(1 << power for power in range(16, 24))):
        with pretended_cuda(memory_bytes):
            there = prepared(cfg, CUDA)
        assert np.abs(on_cpu.image_DHW.astype(int) - there.image_DHW).max() <= 1
        np.testing.assert_array_equal(there.lung_DHW, on_cpu.lung_DHW)


def test_augmentation_and_virtual_scanners_on_a_device_are_those_of_the_cpu() -> None:
    x_BCDHW, cfg = Cubes().x_NCDHW, RunConfig.from_run_config({})
    always = {name: 1.0 for name in type(cfg.augment).model_fields if name.endswith("_probability")}
    pose = augment.draw(6, 16, cfg.augment.model_copy(update=always), np.random.default_rng(0))
    scanner = scanner_randomization.draw(6, ScannerConfig(probability=1.0), np.random.default_rng(0))

    def changed(x_BCDHW: Tensor) -> Tensor:
        return scanner_randomization.apply(augment.apply(x_BCDHW, pose), scanner, voxel_mm=1.25, window=cfg.prepare)

    with pretended_cuda():
        there = changed(x_BCDHW.to(CUDA))
        assert there.is_cuda
        torch.testing.assert_close(there.cpu(), changed(x_BCDHW), rtol=0, atol=1e-5)


@pytest.mark.parametrize("knobs", NETWORKS.values(), ids=NETWORKS)
def test_a_round_of_training_on_a_device_is_that_of_the_cpu(knobs: dict[str, Any], tmp_path: Path) -> None:
    """With FedProx's term and SCAFFOLD's correction; the checkpoint is written from the device."""
    cfg = RunConfig.from_run_config({**SMALL, "optimizer.batch-size": 3, **knobs})

    def trained(device: torch.device) -> tuple[float, State]:
        model = build_model(cfg.model, 0)
        correction = {name: torch.full_like(p, 1e-3).detach() for name, p in model.named_parameters()}
        outcome = train_round(
            model, Cubes(), cfg, server_round=1, site="GE", learning_rate=1e-3, weights=(0.5, 1.5), proximal_mu=0.1,
            device=device, correction=correction,
        )  # fmt: skip
        assert next(model.parameters()).device.type == device.type
        save_checkpoint(tmp_path / "model.safetensors", model.state_dict(), {})
        return outcome.loss, load_checkpoint(tmp_path / "model.safetensors").state

    with pretended_cuda():
        there_loss, there = trained(CUDA)
    here_loss, here = trained(CPU)
    assert there_loss == pytest.approx(here_loss, rel=0.02 if cfg.optimizer.precision == "auto" else 1e-5)
    for name, weight in here.items():
        atol = 4e-3 if cfg.optimizer.precision == "auto" else 1e-4  # AdamW goes by 1e-3 a step, whatever the gradient
        torch.testing.assert_close(there[name], weight, rtol=1e-3, atol=atol)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("precision", "on_cpu"), [("float32", "float32"), ("auto", "bfloat16")])
def test_logits_on_a_device_are_those_of_the_cpu(precision: str, on_cpu: str, mirrored: bool) -> None:
    how = {"batch_size": 4, "mirrored": mirrored}
    with pretended_cuda():
        there_N = predict_logits(network(), Cubes(), device=CUDA, precision=precision, **how)
    here_N = predict_logits(network(), Cubes(), device=CPU, precision=on_cpu, **how)
    np.testing.assert_allclose(there_N, here_N, rtol=0, atol=1e-4)


@pytest.mark.parametrize("least_curvature_hu", [None, 5.0])
def test_candidates_found_on_a_device_are_those_of_the_cpu(least_curvature_hu: float | None) -> None:
    cfg = PrepareConfig(spacing_mm=5.0)
    case, search = prepared(cfg, CPU), Search(size=8, stride=3, least_curvature_hu=least_curvature_hu)
    how = {"prepare": cfg, "batch_size": 64, "precision": "float32"}
    with pretended_cuda():
        there = find_candidates(network(), case, search, device=CUDA, **how)
    here = find_candidates(network(), case, search, device=CPU, **how)
    assert len(here.logits_N)
    np.testing.assert_array_equal(there.center_mm_N3, here.center_mm_N3)


def test_statistics_taken_anew_on_a_device_are_those_of_the_cpu() -> None:
    def adapted(device: torch.device) -> dict[str, Tensor]:
        model = network("batch")
        adapt_statistics(model, Cubes(), prior_examples=2.0, batch_size=4, device=device, precision="float32")
        return {name: values.cpu() for name, values in model.state_dict().items()}

    with pretended_cuda():
        there = adapted(CUDA)
    torch.testing.assert_close(there, adapted(CPU))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("federation")
    write_phantom(folder, PhantomConfig(patients_per_site=4, matrix=128, coverage_mm=50.0), sites=["GE"], workers=1)
    return folder / "GE" / "site.toml"


def rounds_of(site: Path, device: str) -> tuple[TrainReply, EvaluateReply]:
    """A site's preparation, a round with mined places, and the last evaluation with whole scans."""
    knobs = {"model.stem": "quarter", "patches.size": 16, "task.readers": 1, "patches.mine-every": 1}
    cfg = RunConfig.from_run_config({**SMALL, **knobs})
    profile = load_profile(site, num_simulated=1).model_copy(update={"device": device, "store": site.parent / device})
    own = SiteWorker(profile, cfg)
    assert own.card().device == {"cpu": "cpu", "cuda": "pretended"}[device]
    own.prepare(PrepareTask(held_out=False))
    start = {name: values.numpy() for name, values in build_model(cfg.model, 0).state_dict().items()}
    reply, state = own.train(TrainTask(1, 0.001, 10, 10, proximal_mu=0.1, report_validation_loss=True), start)
    return reply, own.evaluate(EvaluateTask(1, "test", 3, with_subgroups=True, with_detection=True), state)


def test_what_a_site_sends_from_a_device_is_what_it_sends_from_the_cpu(site: Path) -> None:
    with pretended_cuda():
        trained_there, judged_there = rounds_of(site, "cuda")
    trained, judged = rounds_of(site, "cpu")
    assert trained_there.num_examples == trained.num_examples
    assert trained_there.loss == pytest.approx(trained.loss, rel=1e-3)
    assert trained_there.losses == pytest.approx(trained.losses, rel=1e-3)
    assert judged_there.loss == pytest.approx(judged.loss, rel=1e-3)
    assert (judged_there.undetected, judged.undetected) == ("", "")


def test_of_several_gpus_the_one_that_computes_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pretended_cuda():
        properties = lambda device: SimpleNamespace(name=f"GPU {torch.device(device).index}", total_memory=1)  # noqa: E731
        monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
        assert inspect_machine(tmp_path, torch.device("cuda:1")).gpu == "GPU 1"
