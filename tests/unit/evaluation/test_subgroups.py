"""Which examples a subgroup has, and which of them a site with a floor may tell of."""

from __future__ import annotations

import numpy as np

from fedlung.evaluation.standardised import SIZE_STRATA, SubgroupKey
from fedlung.evaluation.statistics import add_statistics, patient_weights, weighted_statistics
from fedlung.evaluation.subgroups import OWN_TEST, SUBGROUPS, Known, may_be_told, members_of

NAN = float("nan")
SMALL, MIDDLE, LARGE, LARGEST = SIZE_STRATA


def known(num: int, **fields: object) -> Known:
    nothing_N = np.full(num, NAN, dtype=np.float32)
    content = {
        "diameter_mm_N": nothing_N,
        "texture_N": nothing_N,
        "thickness_mm_N": nothing_N,
        "kernel_N": np.full(num, ""),
        "no_nodule_N": np.zeros(num, dtype=bool),
    }
    return Known(**(content | {name: np.asarray(values) for name, values in fields.items()}))


def indices(members: dict) -> dict[str, list[int]]:
    return {str(key): np.flatnonzero(is_in_N).tolist() for key, is_in_N in members.items()}


def test_levels_lie_where_the_definitions_say() -> None:
    members = members_of(
        known(
            5,
            diameter_mm_N=[5.99, 6.0, 8.0, 15.0, 15.1],
            texture_N=[2.0, 2.01, 3.99, 4.0, NAN],
            thickness_mm_N=[1.25, 1.26, 2.5, 2.51, NAN],
            kernel_N=["smooth", "sharp", "unknown", "sharp", "sharp"],
        )
    )
    assert indices(members) == {
        "size/<6mm": [0],
        "size/6-8mm": [1],
        "size/8-15mm": [2, 3],
        "size/>15mm": [4],
        "texture/ground-glass": [0],
        "texture/part-solid": [1, 2],
        "texture/solid": [3],
        "thickness/thin": [0],
        "thickness/medium": [1, 2],
        "thickness/thick": [3],
        "kernel/smooth": [0],
        "kernel/sharp": [1, 3, 4],
        "kernel/unknown": [2],
        "protocol/thin, smooth": [0],
        "protocol/medium, sharp": [1],
        "protocol/medium, unknown": [2],
        "protocol/thick, sharp": [3],
    }
    assert set(members) <= set(SUBGROUPS)


def test_what_is_not_known_makes_no_subgroup() -> None:
    assert members_of(known(3)) == {}
    assert members_of(known(3, no_nodule_N=[True, True, False])) == {}


def test_background_stands_in_every_stratum_of_size_and_texture_that_has_a_nodule_and_in_one_of_thickness() -> None:
    members = members_of(
        known(
            3,
            diameter_mm_N=[5.0, 20.0, NAN],
            texture_N=[5.0, 5.0, NAN],
            thickness_mm_N=[1.0, 3.0, 3.0],
            no_nodule_N=[False, False, True],
        )
    )
    assert indices(members) == {
        "size/<6mm": [0, 2],
        "size/>15mm": [1, 2],
        "texture/solid": [0, 1, 2],
        "thickness/thin": [0],
        "thickness/thick": [1, 2],
    }


def test_a_subgroup_below_the_floor_is_withheld_and_so_is_the_one_that_would_give_it_away() -> None:
    """Ten patients in one stratum, five in another, two in a third: whole minus the others would be those two."""
    diameters = [5.0] * 10 + [7.0] * 5 + [20.0] * 2
    patients_N = np.array([f"p{number:02}" for number in range(17)])
    told, withheld = may_be_told(members_of(known(17, diameter_mm_N=diameters)), patients_N, fewest=3)
    assert list(told) == [SMALL]
    assert withheld == {LARGEST: "few-patients", MIDDLE: "few-patients-left-over"}


def test_what_is_left_over_beside_the_subgroups_never_has_too_few_patients() -> None:
    rng = np.random.default_rng(0)
    for fewest in (2, 3, 5):
        for _ in range(100):
            num = int(rng.integers(3, 40))
            patients_N = np.array([f"p{number}" for number in rng.integers(0, 12, num)])
            members = members_of(
                known(
                    num,
                    diameter_mm_N=rng.choice([5.0, 7.0, 10.0, 20.0, NAN], num, p=[0.5, 0.3, 0.1, 0.05, 0.05]),
                    kernel_N=rng.choice(["smooth", "sharp", "unknown"], num, p=[0.8, 0.15, 0.05]),
                    own_test_N=rng.random(num) < 0.3,
                )
            )
            told, withheld = may_be_told(members, patients_N, fewest=fewest)
            assert told.keys() | withheld.keys() == members.keys() and not told.keys() & withheld.keys()
            for variable in ("size", "kernel", "split"):
                own = [is_in_N for key, is_in_N in told.items() if key.variable == variable]
                if own:
                    assert min(len(set(patients_N[is_in_N])) for is_in_N in own) >= fewest
                    left_over = len(set(patients_N[~np.any(own, axis=0)]))
                    assert left_over == 0 or left_over >= fewest


def test_with_a_floor_of_one_nothing_is_withheld() -> None:
    members = members_of(known(2, diameter_mm_N=[5.0, 9.0], own_test_N=[True, False]))
    told, withheld = may_be_told(members, np.array(["a", "b"]), fewest=1)
    assert list(told) == [SMALL, LARGE, OWN_TEST] and withheld == {}


def test_parts_of_two_sites_add_up_to_the_part_of_the_pooled_scores() -> None:
    rng = np.random.default_rng(3)
    logits_N, labels_N = rng.normal(0, 2, 80), rng.integers(0, 2, 80)
    patients_N = np.array([f"{'ab'[number // 40]}{number // 4:02}" for number in range(80)])
    members = members_of(known(80, diameter_mm_N=rng.uniform(3, 20, 80)))

    def of(is_in_N: np.ndarray):
        names = np.unique(patients_N[is_in_N]).tolist()
        weights_RP = patient_weights(names, num_replicates=11, seed=1)
        return weighted_statistics(logits_N[is_in_N], labels_N[is_in_N], patients_N[is_in_N], weights_RP)

    site_N = np.arange(80) < 40
    whole = of(np.ones(80, dtype=bool))
    for key, is_in_N in members.items():
        merged, pooled = add_statistics([of(is_in_N & site_N), of(is_in_N & ~site_N)]), of(is_in_N)
        np.testing.assert_array_equal(merged.histogram_CK, pooled.histogram_CK)
        np.testing.assert_array_equal(merged.replicates_RCK, pooled.replicates_RCK)
        np.testing.assert_allclose(merged.squared_error_R, pooled.squared_error_R, rtol=1e-12)
        assert pooled.is_part_of(whole), key
        assert not whole.is_part_of(pooled)
    parts = add_statistics([of(is_in_N) for key, is_in_N in members.items() if key.variable == "size"])
    np.testing.assert_array_equal(parts.replicates_RCK, whole.replicates_RCK)


def test_a_subgroup_is_called_by_variable_and_level() -> None:
    assert str(SubgroupKey("size", "<6mm")) == "size/<6mm"
    assert all(str(key).count("/") == 1 and "." not in str(key) for key in SUBGROUPS)  # as the wire needs it
