from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedlung.config import TaskConfig
from fedlung.errors import DataError, StoreError
from fedlung.patches.archive import PatchArchive, load_archive

MakeArchive = Callable[..., PatchArchive]
MALIGNANCY = TaskConfig(name="malignancy")


def test_an_archive_comes_back_as_it_was_and_writes_the_same_bytes(make_archive: MakeArchive, tmp_path: Path) -> None:
    archive = make_archive(6)
    for name in ("first.npz", "second.npz"):
        archive.save(tmp_path / name)
    loaded = load_archive(tmp_path / "first.npz")
    assert loaded.fingerprint == archive.fingerprint
    assert (loaded.source, loaded.synthetic, loaded.spacing_mm) == ("drawn at random", True, 1.5)
    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.npz", "second.npz"]


def test_one_voxel_changes_the_fingerprint(make_archive: MakeArchive) -> None:
    archive = make_archive(2)
    changed_NDHW = archive.cubes_NDHW.copy()
    changed_NDHW[1, 0, 0, 0] ^= 1
    assert make_archive(2, cubes_NDHW=changed_NDHW).fingerprint != archive.fingerprint


def test_a_site_gets_its_own_cubes_and_an_unknown_one_is_named(make_archive: MakeArchive) -> None:
    archive = make_archive(5)
    np.testing.assert_array_equal(archive.of_site("site-1").cubes_NDHW, archive.cubes_NDHW[1::2])
    with pytest.raises(DataError, match="no site 'GE'; it has site-0, site-1"):
        archive.of_site("GE")


def test_what_the_task_cannot_use_is_counted_by_reason(make_archive: MakeArchive) -> None:
    archive = make_archive(5, label_N=np.array([1, -1, 0, -1, 1]), readers_N=np.array([4, 3, 0, 2, 2]))
    kept, unused = archive.for_task(MALIGNANCY)
    assert kept.patient_N.tolist() == ["p0", "p2"]
    assert unused == {"readers-below-k": 2, "malignancy-undecided": 1}


def test_an_archive_refuses_a_task_that_needs_background(make_archive: MakeArchive) -> None:
    with pytest.raises(DataError, match=r"set task\.name to 'malignancy'"):
        make_archive(2).for_task(TaskConfig(name="nodule"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"cubes_NDHW": np.zeros((2, 8, 8), dtype=np.uint8)}, r"\(N, D, H, W\) uint8"),
        ({"cubes_NDHW": np.zeros((2, 8, 8, 8))}, r"\(N, D, H, W\) uint8"),
        ({"readers_N": np.zeros(3)}, "one entry for each cube"),
        ({"label_N": np.array([0, 2])}, "labels must be"),
        ({"split_N": np.array(["train", "dev"])}, "splits must be"),
        ({"spacing_mm": float("nan")}, "spacing_mm must be above 0"),
        ({"patient_N": np.array(["p", "p"])}, "1 patients stand in two sites"),
    ],
)
def test_an_archive_that_does_not_fit_is_refused_in_words(
    make_archive: MakeArchive, fields: dict[str, object], message: str
) -> None:
    with pytest.raises(StoreError, match=message) as caught:
        make_archive(2, **fields)
    assert caught.value.public == "the site's archive does not fit"


def test_a_site_that_the_archive_has_not_is_told_what_to_set_without_the_names_of_others(
    make_archive: MakeArchive,
) -> None:
    with pytest.raises(DataError, match="Set archive-site") as caught:
        make_archive(2).of_site("Nowhere")
    assert (
        caught.value.public == "the site's archive has no cubes of this site: archive-site in its site.toml names one"
    )


def test_a_missing_a_foreign_and_a_pickled_file_are_refused_without_their_path_in_public(tmp_path: Path) -> None:
    (tmp_path / "noise.npz").write_bytes(b"no zip at all")
    np.savez(tmp_path / "foreign.npz", images=np.zeros(2))
    np.savez(tmp_path / "pickled.npz", train_images=np.array([{}], dtype=object))
    for name, message in [
        ("missing", "no such archive"),
        ("noise", "not a readable"),
        ("foreign", "it lacks"),
        ("pickled", "not a readable"),
    ]:
        with pytest.raises(StoreError, match=message) as caught:
            load_archive(tmp_path / f"{name}.npz")
        assert str(tmp_path) not in caught.value.public
        assert caught.value.public.startswith("the site's archive")


def test_nodule_mnist_is_read_as_it_is_with_its_own_splits(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    content = {}
    for split, num in (("train", 4), ("val", 2), ("test", 3)):
        content[f"{split}_images"] = rng.integers(0, 256, size=(num, 28, 28, 28), dtype=np.uint8)
        content[f"{split}_labels"] = (np.arange(num) % 2).astype(np.uint8)[:, None]
    np.savez_compressed(tmp_path / "nodulemnist3d.npz", **content)
    archive = load_archive(tmp_path / "nodulemnist3d.npz")
    assert archive.sites == ("NoduleMNIST3D",) and archive.spacing_mm == 1.0
    assert archive.split_N.tolist() == ["train"] * 4 + ["validation"] * 2 + ["test"] * 3
    assert archive.label_N.tolist() == [0, 1, 0, 1, 0, 1, 0, 1, 0]
    assert len(set(archive.patient_N)) == 9
    np.testing.assert_array_equal(archive.cubes_NDHW[4], content["val_images"][0])
    assert len(archive.for_task(MALIGNANCY)[0]) == 9
