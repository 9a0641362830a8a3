"""Everything that fedlung raises.

    FedlungError
    ├── ConfigError          a knob of a run or of a site is wrong
    ├── SeriesError          a DICOM series cannot be trusted (has a stable reason code)
    ├── AnnotationError      nodule annotations cannot be used
    ├── StoreError           a case store or an archive does not fit or is damaged
    │   └── DamagedFileError     one file of a case store is not what was written; the others may be whole
    ├── DataError            a site has not what the task needs
    ├── ProtocolError        a message is not what the protocol says
    ├── UpdateError          a site's update cannot enter the model
    ├── ProvisioningError    keys, certificates or a start-up kit are wrong
    └── RunError             a run failed as a whole

An error has two texts. ``str(error)`` is the full one, for the machine where it happened. ``error.public``
is what may leave a hospital: no path, no name, no UID. Flower sends the text of a ClientApp's exception to the server
as it is, so whatever crosses the wire is made from ``public`` alone.
"""

from __future__ import annotations

NOT_PUBLIC = "the site's own errors.log has the details"


class FedlungError(Exception):
    """The root. ``public`` may leave the site, beside the kind of the error; without one, only the kind does."""

    def __init__(self, full: str, *, public: str = NOT_PUBLIC) -> None:
        super().__init__(full)
        self.public = public


class ConfigError(FedlungError):
    """One or several configuration mistakes, collected and raised once."""


class SeriesError(FedlungError):
    """A series that cannot be trusted. ``code`` is stable, ``remedy`` says what to do.

    Only the code is public: the sentence may hold a path or a UID.
    """

    def __init__(self, code: str, sentence: str, *, remedy: str) -> None:
        super().__init__(f"{code}: {sentence} {remedy}", public=code)
        self.code = code
        self.sentence = sentence
        self.remedy = remedy


class AnnotationError(FedlungError):
    """Nodule annotations that cannot be read or do not fit their series."""


class StoreError(FedlungError):
    """A case store or a patch archive that does not fit or is damaged."""


class DamagedFileError(StoreError):
    """A file of a case store that is not what was written there. A case can be made anew."""


class DataError(FedlungError):
    """A site has not what the task needs."""


class ProtocolError(FedlungError):
    """A message that is not what the protocol says."""


class UpdateError(FedlungError):
    """A site's update that cannot enter the model. Names the site."""


class ProvisioningError(FedlungError):
    """Keys, certificates or a start-up kit are missing or wrong."""


class RunError(FedlungError):
    """A run failed as a whole."""
