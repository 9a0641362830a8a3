"""What the numbers of a leave-one-site-out run allow one to say, in plain words, and what they do not."""

from __future__ import annotations

from fedlung.loso.claims import conditions, differences, findings
from fedlung.loso.record import LosoResults

CONFOUNDED = (
    "Sites differ in patients, prevalence, nodule sizes and reading habits as well as in scanners. Where they are "
    "told apart by vendor, a vendor is not a hospital, and a difference between them is not the scanner's alone."
)


def plain_words(results: LosoResults) -> tuple[str, ...]:
    """One sentence or two for each thing that a reader could take from the numbers and should weigh first."""
    said = [
        conditions.about_data(results),
        conditions.about_missing_folds(results),
        conditions.about_choices(results),
        conditions.about_measured_size(results),
        findings.about_reference(results),
        differences.about_means(results),
        differences.about_single_sites(results),
        differences.about_power(results),
        *findings.about_gaps(results),
        findings.about_oracle(results),
        *findings.about_size(results),
        findings.about_one_mix_of_sizes(results),
        findings.about_scans(results),
        findings.about_protocol(results),
        findings.about_calibration(results),
        conditions.about_seeds(results),
        conditions.about_number_of_sites(results),
        findings.about_perfection(results),
        conditions.about_few_patients(results),
        CONFOUNDED,
    ]
    return tuple(text for text in said if text)
