from __future__ import annotations

import numpy as np
import pytest
import torch

from fedlung.ct.geometry import Geometry
from fedlung.preprocess.kernels import axis_weights
from fedlung.preprocess.resample import Allocate, cube_target, isotropic_target, resample

CPU = torch.device("cpu")
LINE = Geometry((1, 1, 4), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))


def along_x(target: Geometry, *, interpolation: str, antialias: bool = False) -> list[float]:
    voxels = torch.tensor([[[0.0, 10.0, 40.0, 20.0]]])
    got = resample(voxels, LINE, target, interpolation=interpolation, antialias=antialias, device=CPU)
    return got.ravel().tolist()


def test_half_way_linear_is_the_mean_and_beyond_the_edge_is_the_edge() -> None:
    target = Geometry((1, 1, 6), (1.0, 1.0, 1.0), (-0.5, 0.0, 0.0))
    assert along_x(target, interpolation="linear") == [0.0, 5.0, 25.0, 30.0, 20.0, 20.0]


def test_half_way_catmull_rom_is_nine_sixteenths_of_the_near_two_less_one_of_the_far_two() -> None:
    target = Geometry((1, 1, 1), (1.0, 1.0, 1.0), (1.5, 0.0, 0.0))
    assert along_x(target, interpolation="catmull-rom") == [(9 * (10 + 40) - (0 + 20)) / 16]


def test_antialiased_halving_takes_the_tent_of_four() -> None:
    """Centres at .5 and 2.5 of a kernel of half-width 2: weights 1/8, 3/8, 3/8, 1/8 with the edge repeated."""
    target = Geometry((1, 1, 2), (1.0, 1.0, 2.0), (0.5, 0.0, 0.0))
    left = (0 + 3 * 0 + 3 * 10 + 40) / 8
    right = (10 + 3 * 40 + 3 * 20 + 20) / 8
    np.testing.assert_allclose(along_x(target, interpolation="linear", antialias=True), [left, right], rtol=1e-6)


def test_the_middle_of_a_widened_kernel_is_its_own_position() -> None:
    source = Geometry((1, 1, 200), (1.0, 1.0, 0.7), (0.0, 0.0, 0.0))
    target = isotropic_target(source, 1.25)
    weights = axis_weights(source, target, interpolation="catmull-rom", antialias=True)[2]
    positions = source.world_to_index(target.index_to_world([[0, 0, x] for x in range(target.shape_DHW[2])]))[:, 2]
    np.testing.assert_allclose((weights @ np.arange(200))[4:-4], positions[4:-4], atol=1e-9)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-12)


def test_z_first_and_plane_first_agree() -> None:
    """A cube that is much coarser in z takes the other order than one that is coarser in the plane."""
    source = Geometry((40, 20, 20), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    voxels = torch.from_numpy(np.random.default_rng(0).normal(0, 300, source.shape_DHW))
    for shape in ((5, 30, 30), (60, 5, 5)):
        spacing = tuple(a / b for a, b in zip(source.shape_DHW, shape, strict=True))
        target = Geometry(shape, spacing, (0.1, 0.2, 0.3))
        z, y, x = axis_weights(source, target, interpolation="catmull-rom", antialias=True)
        got = resample(voxels, source, target, interpolation="catmull-rom", antialias=True, device=CPU)
        wanted = np.einsum("aD,bH,cW,DHW->abc", z, y, x, voxels.numpy(), optimize=True)
        np.testing.assert_allclose(got.numpy(), wanted, atol=2e-3)


def test_int16_and_float32_sources_agree() -> None:
    source = Geometry((9, 33, 35), (2.0, 0.7, 0.7), (0.0, 0.0, 0.0))
    voxels = torch.from_numpy(np.random.default_rng(0).integers(-1024, 3071, source.shape_DHW, dtype=np.int16))
    one, other = (
        resample(kind, source, cube_target(source, 12), interpolation="linear", antialias=True, device=CPU)
        for kind in (voxels, voxels.float())
    )
    assert torch.equal(one, other)


def test_tf32_and_bfloat16_products_are_off_inside_and_back_afterwards() -> None:
    source = Geometry((40, 70, 70), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    voxels = torch.from_numpy(np.random.default_rng(0).integers(-1024, 3071, source.shape_DHW, dtype=np.int16))
    target = isotropic_target(source, 1.3)

    def run() -> torch.Tensor:
        return resample(voxels, source, target, interpolation="catmull-rom", antialias=True, device=CPU)

    exact, before = run(), torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        assert torch.equal(run(), exact)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


def test_rotated_grids_are_refused() -> None:
    turned = Geometry((1, 1, 4), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), ((0.0, 1.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 0.0, 1.0)))
    with pytest.raises(ValueError, match="rotated against each other"):
        along_x(turned, interpolation="linear")


def test_an_array_that_is_not_its_geometrys_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 2, 2\)"):
        resample(torch.zeros(2, 2, 2), LINE, LINE, interpolation="linear", antialias=False, device=CPU)


def frugal(num_bytes: int) -> Allocate:
    """Memory for tensors of at most so many bytes."""

    def allocate(shape: tuple[int, ...], *, device: torch.device) -> torch.Tensor:
        if 4 * np.prod(shape) > num_bytes:
            raise torch.OutOfMemoryError(f"refused {shape}")
        return torch.empty(shape, device=device)

    return allocate


@pytest.mark.parametrize(("shape", "spacing_z_mm"), [((70, 40, 44), 2.5), ((300, 40, 44), 0.4)])
@pytest.mark.parametrize("share", [0.6, 0.3])
def test_where_memory_is_short_the_slabs_give_the_same_bits_and_the_log_says_so(
    shape, spacing_z_mm, share, caplog
) -> None:
    """The plane goes first, then z does."""
    source = Geometry(shape, (spacing_z_mm, 0.8, 0.8), (0.0, 0.0, 0.0))
    voxels = torch.from_numpy(np.random.default_rng(0).integers(-1024, 3071, shape, dtype=np.int16))
    target = isotropic_target(source, 0.75)
    settings = {"interpolation": "catmull-rom", "antialias": True, "device": CPU}
    whole = resample(voxels, source, target, **settings)
    assert caplog.text == ""
    memory = frugal(int(share * 4 * np.prod(target.shape_DHW)))
    assert torch.equal(resample(voxels, source, target, **settings, allocate=memory), whole)
    assert "out of memory on cpu: resampling anew in 2 slabs on cpu" in caplog.text


def test_without_any_memory_the_error_is_torchs_own() -> None:
    source = Geometry((9, 33, 35), (2.0, 0.7, 0.7), (0.0, 0.0, 0.0))
    with pytest.raises(torch.OutOfMemoryError):
        resample(
            torch.zeros(source.shape_DHW),
            source,
            isotropic_target(source, 0.5),
            interpolation="linear",
            antialias=False,
            device=CPU,
            allocate=frugal(0),
        )


@pytest.mark.parametrize(
    ("words", "is_of_memory"),
    [
        ("CUDA error: out of memory", True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes", True),
        ("CUDA error: device-side assert triggered", False),
    ],
)
def test_memory_that_is_short_is_known_by_its_words_as_well(words: str, is_of_memory: bool, caplog) -> None:
    refusals = iter([RuntimeError(words)])

    def allocate(shape: tuple[int, ...], *, device: torch.device) -> torch.Tensor:
        if refusal := next(refusals, None):
            raise refusal
        return torch.empty(shape, device=device)

    arguments = (torch.ones(9, 35, 35), Geometry((9, 35, 35), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)), LINE)
    settings = {"interpolation": "linear", "antialias": False, "device": CPU, "allocate": allocate}
    if not is_of_memory:
        with pytest.raises(RuntimeError, match="device-side assert"):
            resample(*arguments, **settings)
        return
    target = isotropic_target(arguments[1], 0.25)  # of two blocks of rows
    assert torch.equal(resample(*arguments[:2], target, **settings), torch.ones(target.shape_DHW))
    assert "resampling anew in 2 slabs on cpu" in caplog.text


@pytest.mark.gpu
def test_a_gpu_whose_memory_is_short_gives_the_same_bits_in_slabs(caplog) -> None:
    source = Geometry((120, 400, 400), (2.5, 0.7, 0.7), (0.0, 0.0, 0.0))
    voxels = torch.from_numpy(np.random.default_rng(0).integers(-1024, 3071, source.shape_DHW, dtype=np.int16))
    target = isotropic_target(source, 1.0)
    settings = {"interpolation": "catmull-rom", "antialias": True, "device": torch.device("cuda")}
    whole = resample(voxels, source, target, **settings).cpu()
    torch.cuda.empty_cache()
    num_bytes = torch.cuda.memory_reserved() + 4 * int(np.prod(target.shape_DHW))  # for the result, not for a pass
    torch.cuda.set_per_process_memory_fraction(num_bytes / torch.cuda.get_device_properties(0).total_memory)
    try:
        slabs = resample(voxels, source, target, **settings)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "slabs on cuda" in caplog.text
    assert "on cpu" not in caplog.text
    assert torch.equal(slabs.cpu(), whole)


@pytest.mark.gpu
def test_cuda_gives_the_cpus_values_within_a_hundredth_of_a_hounsfield_unit() -> None:
    source = Geometry((50, 200, 210), (2.5, 0.7, 0.7), (-70.0, -70.0, 10.0))
    voxels = torch.from_numpy(np.random.default_rng(0).integers(-1024, 3071, source.shape_DHW, dtype=np.int16))
    for target in (isotropic_target(source, 1.25), cube_target(source, 64)):
        on_cpu, on_cuda = (
            resample(voxels, source, target, interpolation="catmull-rom", antialias=True, device=torch.device(name))
            for name in ("cpu", "cuda")
        )
        assert on_cuda.device.type == "cuda"
        torch.testing.assert_close(on_cuda.cpu(), on_cpu, atol=0.01, rtol=0)
