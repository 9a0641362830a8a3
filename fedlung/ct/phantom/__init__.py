"""Chest CT that nobody had: seeded virtual patients with real nodule shapes, scanned by four kinds of scanner.

It writes what a hospital holds: DICOM series, a table of nodules and a ``site.toml``. A scene (``make_scene``) knows no
scanner and a scanner (``scan``) knows no patient, so that one virtual patient may be scanned by all of them.
What differs between the sites is switched by ``PhantomConfig``, whose ``for_control`` gives a null and a positive
control of an evaluation. Every header says SYNTHETIC: results on the phantom say something of software and methods,
nothing of hospitals.
"""

from fedlung.ct.phantom.config import PhantomConfig, control_knobs, switched
from fedlung.ct.phantom.design import SiteDesign, design_of
from fedlung.ct.phantom.folder import default_phantom_folder
from fedlung.ct.phantom.pairs import Pairing, read_pairs
from fedlung.ct.phantom.profiles import PROFILES, Protocol, ScannerProfile
from fedlung.ct.phantom.scanner import Scan, scan
from fedlung.ct.phantom.scene import Scene, make_scene
from fedlung.ct.phantom.site import write_phantom

__all__ = [
    "PROFILES",
    "Pairing",
    "PhantomConfig",
    "Protocol",
    "Scan",
    "ScannerProfile",
    "Scene",
    "SiteDesign",
    "control_knobs",
    "default_phantom_folder",
    "design_of",
    "make_scene",
    "read_pairs",
    "scan",
    "switched",
    "write_phantom",
]
