"""Encryption at rest: a volume's AES-256-GCM beside a plain copy in memory, all out of the page cache."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import inputs
import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from timing import Way, begin, parser, race

from fedlung.preprocess.vault import Label, Vault

MEMCPY = "np.copyto of the mapped plain file"
LABEL = Label("image", "0")


def seal(vault: Vault, path: Path, array: npt.NDArray[np.int16]) -> None:
    with path.open("wb") as file:
        vault.seal(file, LABEL, array)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__).parse_args(arguments)
    begin(options)
    array = inputs.chest(quick=options.quick).voxels_DHW
    reused, vault, key = np.empty_like(array), Vault(os.urandom(32)), AESGCM(os.urandom(32))
    plain_bytes, nonce = array.tobytes(), os.urandom(12)
    encrypted = key.encrypt(nonce, plain_bytes, None)
    with tempfile.TemporaryDirectory() as temporary:
        plain, sealed, other = (Path(temporary, name) for name in ("plain.npy", "image.sealed", "other.sealed"))
        np.save(plain, array)
        seal(vault, sealed, array)
        ways = [
            Way("fedlung, decrypted into a reused buffer", lambda: vault.open(sealed, LABEL).read_into(reused)),
            Way("fedlung, decrypted to a new array", lambda: vault.open(sealed, LABEL).read()),
            Way(MEMCPY, lambda: np.copyto(reused, np.load(plain, mmap_mode="r"))),
            Way("np.load of the plain file", partial(np.load, plain)),
            Way("cryptography AESGCM.decrypt, new bytes", lambda: key.decrypt(nonce, encrypted, None)),
            Way("fedlung, encrypted and written", partial(seal, vault, other, array)),
            Way("np.save of the plain file", lambda: np.save(Path(temporary, "other.npy"), array)),
        ]
        megabytes = round(array.nbytes / 1e6)
        race(f"{megabytes} MB of int16", ways, base=MEMCPY, rounds=options.rounds, things=(megabytes, "MB"))
        print("  target: at least 5,000 MB/s for the first")


if __name__ == "__main__":
    main()
