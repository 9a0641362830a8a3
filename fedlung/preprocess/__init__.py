"""Volume to case, on the site's own device: resampling, lung mask, window, and the store that keeps the cases."""

from fedlung.preprocess.case import Case
from fedlung.preprocess.pipeline import PrepareLedger, prepare_series
from fedlung.preprocess.prepare import prepare_case, store_fingerprint
from fedlung.preprocess.store import CaseStore

__all__ = ["Case", "CaseStore", "PrepareLedger", "prepare_case", "prepare_series", "store_fingerprint"]
