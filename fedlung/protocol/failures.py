"""How a site's failure is told: its kind, and a text that was written to be told."""

from __future__ import annotations

from fedlung.errors import NOT_PUBLIC, FedlungError

FAILURE, FAILURE_END = "[fedlung site] ", " [end]"
FLOWER_FAILURES = {  # flwr.common.constant.ErrorCode
    1: "its ClientApp could not be loaded",
    2: "its ClientApp raised an exception",
    3: "the message had expired",
    4: "its reply had expired",
    5: "the site could not be reached",
    7: "it refused the app's bundle",
    8: "its ClientApp stopped responding",
}


def failure_text(error: Exception) -> str:
    """What a site says of an error of its own: the kind and, of fedlung's errors, the public text. Nothing else."""
    said = error.public if isinstance(error, FedlungError) else NOT_PUBLIC
    return f"{FAILURE}{type(error).__name__}: {said}{FAILURE_END}"


def failure_of(code: int, reason: str | None) -> str:
    """Why a site gave no answer, from Flower's error. Text that the site did not make with ``failure_text`` is dropped.

    Flower sends whatever an exception says, paths included; only what stands between the two marks is fedlung's own.
    """
    _, marked, rest = (reason or "").partition(FAILURE)
    said, ended, _ = rest.partition(FAILURE_END)
    if marked and ended:
        return "".join(character if character.isprintable() else " " for character in said)[:300]
    return FLOWER_FAILURES.get(code, "its ClientApp failed")
