"""DICOM to a volume in Hounsfield units: find, read, annotate; and the phantom that writes DICOM itself."""

from fedlung.ct.find import find_series
from fedlung.ct.geometry import Geometry
from fedlung.ct.nodule import Nodule
from fedlung.ct.read import read_series
from fedlung.ct.series import LeftOut, Series
from fedlung.ct.volume import Acquisition, Volume

__all__ = ["Acquisition", "Geometry", "LeftOut", "Nodule", "Series", "Volume", "find_series", "read_series"]
