"""DICOM files to the facts of their headers: bytes, elements, values."""
