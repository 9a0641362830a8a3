"""What only the site's own user may read: rows with names and paths, and the full texts of errors.

No log may hold them: in a simulation the log of every site ends in the run's folder, and a log is what people send on.
They lie in the site's store folder, with mode 0600, and are for a person to read: they are not encrypted.
"""

from __future__ import annotations

import csv
import io
import logging
import os
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import SimpleITK

from fedlung.files import make_private_folder, replacing
from fedlung.preprocess.pipeline import PrepareLedger
from fedlung.preprocess.prepare import keyed_name

LEFT_OUT, ERRORS, OLD_ERRORS = "left-out.csv", "errors.log", "errors.old.log"
MOST_ERROR_BYTES = 4 << 20  # of each of the two
COLUMNS = ("outcome", "keyed_name", "what", "code", "num_files", "sentence", "remedy")
OWNER_ONLY = 0o600

logger = logging.getLogger(__name__)


def write_left_out(folder: Path, ledger: PrepareLedger, site_key: bytes) -> None:
    """Keep what was left out, and what is odd about the cases, with names, sentences and remedies.

    ``keyed_name`` is what the log calls it. Replaces the rows of the last preparation.
    """
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(COLUMNS)
    for row in ledger.left_out:
        name = keyed_name(site_key, row.what)
        rows.writerow(["left out", name, row.what, row.code, row.num_files, row.sentence, row.remedy])
    for remark in ledger.remarks:
        name = keyed_name(site_key, remark.what)
        rows.writerow(["kept", name, remark.what, remark.code, "", remark.sentence, remark.remedy])
    with replacing(folder / LEFT_OUT) as file:
        Path(file.name).chmod(OWNER_ONLY)  # still empty
        file.write(text.getvalue().encode(errors="backslashreplace"))


def keep_error(folder: Path, error: BaseException) -> None:
    """Append an error with its traceback to the site's ``errors.log``."""
    keep_errors(folder, ["".join(traceback.format_exception(error))])


def keep_errors(folder: Path, texts: Iterable[str]) -> None:
    """Append texts of errors to the site's ``errors.log``; no file is made for none.

    A full one becomes ``errors.old.log``, in place of the one before it. A text that is longer than a whole file loses
    its end.
    """
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    entries = "".join(f"{now}\n{text}\n" for text in texts).encode(errors="backslashreplace")[:MOST_ERROR_BYTES]
    if not entries:
        return
    make_private_folder(folder)
    path = folder / ERRORS
    if path.exists() and path.stat().st_size + len(entries) > MOST_ERROR_BYTES:
        path.replace(folder / OLD_ERRORS)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, OWNER_ONLY), "ab") as file:
        file.write(entries)


@contextmanager
def discreet_readers() -> Iterator[None]:
    """Within, a library's warning is logged by its kind and place in the code: its words may quote a header or path."""

    def show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
    ) -> None:
        logger.warning("%s at %s:%d", category.__name__, Path(filename).name, lineno)

    logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # the same words again, by another way
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
