"""Volumes in one file: MetaImage and NIfTI, read with the same care as DICOM."""
