"""The page for the site's radiologist and engineer. It has pictures of patients, numbers for names, and no path."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from fedlung import __version__
from fedlung.preflight.findings import FAIL, PASS, WARN, Level, SeriesCheck, SiteCheck
from fedlung.preflight.machine import GB
from fedlung.preflight.page import PAGE
from fedlung.preflight.phi import IDENTIFYING
from fedlung.preflight.style import STYLE
from fedlung.preflight.tables import SIZES_MM, THICKNESSES_MM, binned, kernel_class
from fedlung.webpage import content_policy, data_uri, template_environment

GRAVEST_FIRST: tuple[Level, ...] = (FAIL, WARN, PASS)


@dataclass(frozen=True)
class Reason:
    """A code and a mend with the series that have both."""

    level: Level
    code: str
    remedy: str
    numbers: tuple[int, ...]


def page(check: SiteCheck) -> str:
    """The whole page."""
    environment = template_environment(PAGE)
    environment.filters |= {"sentence": sentence, "jpeg": _jpeg, "thickness": _thickness, "nodules": _nodules}
    readable = check.readable
    return (
        environment.get_template("page.html")
        .render(
            check=check,
            version=__version__,
            made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
            policy=content_policy(STYLE),
            style=Markup(STYLE),
            reasons=reasons(check),
            shown=gravest_first(check.series),
            num_nodules=sum(len(one.diameters_mm) for one in readable),
            num_ignored=sum(row.num_files for row in check.left_out),
            thicknesses=binned((one.slice_thickness_mm for one in readable), THICKNESSES_MM),
            kernels=_kernels(readable),
            sizes=binned((d for one in readable for d in one.diameters_mm), SIZES_MM),
            needs=needs(check),
            phi=_phi(readable),
            ignored=ignored(check),
        )
        .lstrip()
    )


def reasons(check: SiteCheck) -> list[Reason]:
    """Every code and mend with its series, the gravest and the most frequent first."""
    numbers: dict[tuple[Level, str, str], set[int]] = {}
    for one in check.series:
        for finding in one.findings:
            numbers.setdefault((finding.level, finding.code, finding.remedy), set()).add(one.number)
    found = [Reason(*what, tuple(sorted(of))) for what, of in numbers.items()]
    return sorted(found, key=lambda reason: (GRAVEST_FIRST.index(reason.level), -len(reason.numbers), reason.code))


def needs(check: SiteCheck) -> list[tuple[str, str]]:
    """What preparing and an epoch will take, and what there is, in words."""
    machine, estimate = check.machine, check.estimate
    rows = []
    if estimate is not None:
        epoch = f"{duration(estimate.epoch_s)} for {estimate.epoch_steps} steps of {estimate.network}"
        rows += [
            ("Preparing every series", f"about {duration(estimate.prepare_s)}, once"),
            ("Disk for the prepared cases", f"about {estimate.disk_bytes / GB:.2f} GB"),
            ("One epoch of training", "unknown: no example" if math.isnan(estimate.step_s) else f"about {epoch}"),
        ]
    gpu = f"{machine.gpu}, {machine.gpu_memory_bytes / GB:.0f} GB, CUDA {machine.cuda_version}"
    return [
        *rows,
        ("Free disk where the store will be", f"{machine.disk_free_bytes / GB:.1f} GB"),
        ("GPU", gpu if machine.gpu else "none that torch can use"),
        ("Computes on", machine.device),
        ("Processors, memory", f"{machine.num_cpus}, {machine.memory_bytes / GB:.0f} GB"),
        ("Python, torch", f"{machine.python_version}, {machine.torch_version}"),
    ]


def duration(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _kernels(readable: tuple[SeriesCheck, ...]) -> dict[str, int]:
    """By name where it is a known one: any other text of a header may be anything, a name as well."""
    named = Counter(one.kernel if kernel_class(one.kernel) != "unknown" else "other" for one in readable)
    return dict(named.most_common()) or {"none": 0}


def _phi(readable: tuple[SeriesCheck, ...]) -> dict[str, list[tuple[str, int]]]:
    """By kind: the tags with how many series have them, the most frequent first."""
    counts = Counter(tag for one in readable for tag in sorted(one.phi_tags))
    kinds: dict[str, list[tuple[str, int]]] = {}
    for tag, num in sorted(counts.items(), key=lambda item: (item[0] not in IDENTIFYING, -item[1], item[0])):
        kind = "Identify by themselves" if tag in IDENTIFYING else "May help to"
        kinds.setdefault(kind, []).append((tag, num))
    return kinds


def ignored(check: SiteCheck) -> list[tuple[str, int, str]]:
    """Code, number and mend of the files that are no slices of a series, the most frequent first."""
    files: Counter[tuple[str, str]] = Counter()
    for row in check.left_out:
        files[row.code, row.remedy] += row.num_files
    return [(code, num, remedy) for (code, remedy), num in files.most_common()]


def gravest_first(series: Iterable[SeriesCheck]) -> list[SeriesCheck]:
    """By level, then by number."""
    return sorted(series, key=lambda one: (GRAVEST_FIRST.index(one.level), one.number))


def sentence(text: str) -> str:
    """A text that begins with a capital."""
    return text[:1].upper() + text[1:]


def _jpeg(content: bytes) -> str:
    return data_uri(content, "jpeg")


def _thickness(one: SeriesCheck) -> str:
    return "thickness not said" if math.isnan(one.slice_thickness_mm) else f"{one.slice_thickness_mm:g} mm thick"


def _nodules(one: SeriesCheck) -> str:
    num = len(one.diameters_mm)
    return f"{num or 'no'} nodule{'s' * (num > 1)}"
