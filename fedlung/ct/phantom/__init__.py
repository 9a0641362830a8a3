"""Chest CT that nobody had: seeded virtual patients with real nodule shapes, scanned by four kinds of scanner.

It writes what a hospital holds: DICOM series, a table of nodules and a ``site.toml``. A scene (``make_scene``) knows no
scanner and a scanner (``scan``) knows no patient, so that one virtual patient may be scanned by all of them.
Every header says SYNTHETIC: results on the phantom say something of software and methods, nothing of hospitals.
"""

from fedlung.ct.phantom.config import PhantomConfig
from fedlung.ct.phantom.folder import default_phantom_folder
from fedlung.ct.phantom.profiles import PROFILES, Protocol, ScannerProfile
from fedlung.ct.phantom.scanner import Scan, scan
from fedlung.ct.phantom.scene import Scene, make_scene
from fedlung.ct.phantom.site import write_phantom

__all__ = [
    "PROFILES",
    "PhantomConfig",
    "Protocol",
    "Scan",
    "ScannerProfile",
    "Scene",
    "default_phantom_folder",
    "make_scene",
    "scan",
    "write_phantom",
]
