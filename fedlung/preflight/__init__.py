"""What a site runs before it joins: each series judged, the site as a whole, and what of it others may see.

check = check_site(CheckRequest(folder, annotations, config, ...))
public_report(check)      counts for the consortium; the rest stays at the site
write_page(check, path)   for the site's radiologist and engineer
write_table(check, path)  which series a number is
"""

from fedlung.preflight.check import CheckRequest, check_site
from fedlung.preflight.files import write_page, write_public, write_table
from fedlung.preflight.findings import Finding, SeriesCheck, SiteCheck
from fedlung.preflight.public import PublicReport, public_report

__all__ = [
    "CheckRequest",
    "Finding",
    "PublicReport",
    "SeriesCheck",
    "SiteCheck",
    "check_site",
    "public_report",
    "write_page",
    "write_public",
    "write_table",
]
