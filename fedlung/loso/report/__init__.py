"""What a leave-one-site-out run leaves for its readers: loso.html and loso.csv, from what loso.json says."""

from fedlung.loso.report.files import render

__all__ = ["render"]
