"""What is said is what is heard, and nothing else is believed."""

from __future__ import annotations

import dataclasses
import gc
import math
import weakref

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from fedlung.errors import DataError, ProtocolError
from fedlung.evaluation.standardised import SubgroupKey
from fedlung.evaluation.statistics import score_statistics
from fedlung.protocol import (
    MOST_MEMBERS,
    EvaluateReply,
    EvaluateTask,
    PrepareTask,
    RollCall,
    Said,
    SiteCard,
    SiteLedger,
    SplitCounts,
    TrainReply,
    TrainTask,
    decode,
    decode_members,
    decode_state,
    decode_weights,
    encode,
    encode_state,
    failure_of,
    failure_text,
    fold_of,
    take_weights,
    with_fold,
    with_members,
    written,
)

LEDGER = SiteLedger(
    site="GE",
    num_declared=5,
    num_readable=4,
    num_prepared=3,
    left_out={"missing-slices": 1, "not-ct": 7},
    ignored_files={"NOT_DICOM": 3},
    unused_nodules={"readers-below-k": 12},
    remarks={"PATIENT_UNKNOWN": 2},
    splits={"train": SplitCounts(2, 3, 9), "test": SplitCounts(1, 1, 4)},
    data_fingerprint="0123456789abcdef",
    seconds=1.25,
    synthetic=True,
)
TRAIN_REPLY = TrainReply(site="GE", server_round=2, num_examples=12, num_steps=3, loss=0.5, seconds=0.25)
MESSAGES = [
    RollCall("00112233445566ff"),
    SiteCard("Site-north.1", False, "dicom", "NVIDIA H100", {"torch": "2.13.0+cpu", "python": "3.11.7"}),
    PrepareTask(held_out=True),
    LEDGER,
    dataclasses.replace(LEDGER, left_out={}, ignored_files={}, unused_nodules={}, remarks={}, splits={}),
    TrainTask(server_round=1, learning_rate=0.002, num_negative=7, num_positive=3, proximal_mu=0.01),
    TRAIN_REPLY,
    EvaluateTask(server_round=1, split="validation", num_replicates=20),
    EvaluateTask(server_round=1, split="test", num_replicates=20, with_subgroups=True),
]


def statistics(num_replicates: int = 3):
    logits, labels = np.array([-1.0, 2.0, 0.5, 30.0]), np.array([0, 1, 0, 1])
    return score_statistics(
        logits, labels, np.array([0, 0, 1, 2]), num_replicates=num_replicates, rng=np.random.default_rng(0)
    )


@pytest.mark.parametrize("said", MESSAGES, ids=lambda said: type(said).__name__)
def test_a_message_survives_the_wire(said: Said) -> None:
    content = encode(said)
    travelled = RecordDict.inflate(content.deflate(), children=dict(_inflated(content)))
    assert decode(type(said), travelled) == said


def _inflated(content: RecordDict):
    for object_id, record in content.children.items():
        yield object_id, type(record).inflate(record.deflate(), children=record.children)


def test_statistics_survive_the_wire_to_the_last_count() -> None:
    said = EvaluateReply("GE", 3, "test", 0.25, 1.0, {"model": statistics(), "size": statistics(0)})
    heard = decode(EvaluateReply, encode(said))
    assert heard.scores.keys() == {"model", "size"}
    for name, sent in said.scores.items():
        for field in dataclasses.fields(sent):
            np.testing.assert_array_equal(getattr(heard.scores[name], field.name), getattr(sent, field.name))


def test_subgroups_and_what_is_withheld_survive_the_wire() -> None:
    part, size, kernel = statistics(), SubgroupKey("size", "<6mm"), SubgroupKey("kernel", "sharp")
    said = EvaluateReply(
        "GE", 3, "test", 0.25, 1.0, {"model": statistics()}, subgroups={size: part}, withheld={kernel: "few-patients"}
    )
    heard = decode(EvaluateReply, encode(said))
    assert heard.withheld == said.withheld
    assert list(heard.subgroups) == [size]
    np.testing.assert_array_equal(heard.subgroups[size].replicates_RCK, part.replicates_RCK)


@pytest.mark.parametrize(
    ("record", "key", "words"),
    [
        ("subgroups", "size/huge/", "subgroups"),
        ("withheld", "surname/Smith", "withheld"),
    ],
)
def test_a_subgroup_that_is_not_on_the_list_is_refused(record: str, key: str, words: str) -> None:
    content = encode(EvaluateReply("GE", 3, "test", 0.25, 1.0, {"model": statistics()}))
    if record == "withheld":
        content[record][key] = "few-patients"
    else:
        arrays = statistics().to_arrays()
        content[record] = encode_state({key + name: values for name, values in arrays.items()})
    with pytest.raises(ProtocolError, match=words):
        decode(EvaluateReply, content)


def test_more_subgroups_than_there_are_is_refused_before_any_is_read() -> None:
    content = encode(EvaluateReply("GE", 3, "test", 0.25, 1.0, {"model": statistics()}))
    content["subgroups"] = encode_state({f"size/{number}/cells_M": np.zeros(1) for number in range(10_000)})
    with pytest.raises(ProtocolError, match="statistics of 10000"):
        decode(EvaluateReply, content)


def test_weights_survive_the_wire_with_their_types_and_come_sorted() -> None:
    weights = {
        "b": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "a": np.array(7, dtype=np.int64),
        "c": np.zeros((0, 2), dtype=np.float32),
    }
    heard = decode_weights(encode(PrepareTask(held_out=False), weights=encode_state(weights)))
    assert list(heard) == ["a", "b", "c"]
    for name, sent in weights.items():
        assert heard[name].dtype == sent.dtype
        np.testing.assert_array_equal(heard[name], sent)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num-examples", 0),
        ("num-examples", -5),
        ("num-examples", 10**12),
        ("num-examples", 3.0),
        ("num-examples", True),
        ("num-examples", "12"),
        ("loss", math.nan),
        ("loss", math.inf),
        ("loss", -1.0),
        ("site", ""),
        ("site", "GE\nTOSHIBA"),
        ("site", "<script>"),
        ("site", "x" * 65),
        ("server-round", -1),
    ],
)
def test_a_value_out_of_its_bounds_is_refused_by_its_key(key: str, value: object) -> None:
    content = encode(TRAIN_REPLY)
    content["message"][key] = value
    with pytest.raises(ProtocolError, match=key):
        decode(TrainReply, content)


def test_a_missing_key_an_unknown_key_and_an_unknown_record_are_refused() -> None:
    missing, unknown, record = encode(TRAIN_REPLY), encode(TRAIN_REPLY), encode(TRAIN_REPLY)
    del missing["message"]["loss"]
    unknown["message"]["patient"] = "x"
    record["extra"] = ConfigRecord({"a": 1})
    for content, key in ((missing, "loss"), (unknown, "patient"), (record, "extra")):
        with pytest.raises(ProtocolError, match=key):
            decode(TrainReply, content)


def test_another_version_of_the_protocol_is_refused_with_both_numbers() -> None:
    content = encode(TRAIN_REPLY)
    content["message"]["protocol-version"] = 99
    with pytest.raises(ProtocolError, match="protocol 99, this one 3"):
        decode(TrainReply, content)


def test_one_kind_of_message_is_not_taken_for_another() -> None:
    with pytest.raises(ProtocolError, match="expected a TrainReply, found a 'PrepareTask'"):
        decode(TrainReply, encode(PrepareTask(held_out=False)))


def test_an_empty_message_is_refused() -> None:
    with pytest.raises(ProtocolError, match="without its record 'message'"):
        decode(TrainReply, RecordDict())


def test_a_refusal_never_repeats_the_value() -> None:
    content = encode(TRAIN_REPLY)
    content["message"]["site"] = "/data/DOE^JANE\n"
    with pytest.raises(ProtocolError) as refusal:
        decode(TrainReply, content)
    assert "DOE" not in str(refusal.value)
    assert refusal.value.public == str(refusal.value)


def test_left_out_reasons_are_codes_and_never_sentences() -> None:
    content = encode(LEDGER)
    content["left-out"]["Patient Jane Doe has no slices"] = 1
    with pytest.raises(ProtocolError, match="left-out"):
        decode(SiteLedger, content)


def forged(header: bytes) -> RecordDict:
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    return RecordDict({"weights": ArrayRecord({"w": Array("float32", (1,), "numpy.ndarray", data)})})


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }\n",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -1), }\n",
        b"{'descr': '|O', 'fortran_order': False, 'shape': (), }\n",
        b"{'descr': '<c8', 'fortran_order': False, 'shape': (0,), }\n",
        b"__import__('os').getcwd()\n",
        b"",
    ],
)
def test_a_forged_array_is_refused_before_memory_is_taken(header: bytes) -> None:
    with pytest.raises(ProtocolError, match="array w"):
        decode_weights(forged(header))


def as_flower_says_it(text: str) -> str:
    return f"<class 'flwr.clientapp.client_app.ClientAppException'>:<'\nException occurred. Message: {text}'>"


def test_of_an_error_the_kind_and_the_public_text_cross_the_wire() -> None:
    text = failure_text(DataError("/data/DOE^JANE has no nodule", public="no patient"))
    assert failure_of(2, as_flower_says_it(text)) == "DataError: no patient"


def test_of_a_foreign_error_the_kind_alone_crosses_the_wire() -> None:
    text = failure_text(FileNotFoundError("/data/DOE^JANE/1.dcm"))
    assert failure_of(2, as_flower_says_it(text)) == "FileNotFoundError: the site's own errors.log has the details"


def test_of_an_error_without_a_public_text_the_kind_crosses_the_wire_once() -> None:
    text = failure_text(DataError("/data/DOE^JANE has no nodule"))
    assert failure_of(2, as_flower_says_it(text)) == "DataError: the site's own errors.log has the details"


@pytest.mark.parametrize("code", [1, 2, 5, 99])
def test_an_error_text_that_the_site_did_not_make_is_dropped(code: int) -> None:
    assert "DOE" not in failure_of(code, as_flower_says_it("No such file: /data/DOE^JANE"))
    assert failure_of(code, None)


def test_the_models_of_an_ensemble_come_in_their_order_and_not_in_any_number() -> None:
    weights = [encode_state({"w": np.array([float(number)])}) for number in range(MOST_MEMBERS + 1)]
    task = EvaluateTask(1, "test")
    content = with_members(encode(task, weights=weights[0]), weights[1:MOST_MEMBERS])
    assert [float(state["w"][0]) for state in decode_members(content)] == list(range(MOST_MEMBERS))
    assert decode(EvaluateTask, content) == task
    with pytest.raises(ProtocolError, match="an ensemble of 101 models"):
        decode_members(with_members(encode(task, weights=weights[0]), weights[1:]))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, np.uint8])
@pytest.mark.parametrize("shape", [(), (0, 2), (3,), (2, 3, 4)])
def test_arrays_are_serialized_as_flower_does_it_byte_for_byte(dtype: type, shape: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape, dtype=int), dtype=dtype).reshape(shape)
    assert encode_state({"w": values})["w"] == Array(values)
    assert encode_state({"w": values.T})["w"] == Array(np.ascontiguousarray(values.T).reshape(shape[::-1]))


def test_weights_that_were_taken_out_of_a_message_are_let_go_with_the_last_that_holds_them() -> None:
    gc.disable()
    try:
        content = encode(EvaluateTask(1, "test"), weights=encode_state({"w": np.arange(3.0)}))
        record = weakref.ref(content["weights"])
        assert decode(EvaluateTask, content) == EvaluateTask(1, "test")
        np.testing.assert_array_equal(take_weights(content)["w"], np.arange(3.0))
        assert record() is None and "weights" not in content
    finally:
        gc.enable()
    with pytest.raises(ProtocolError, match="weights"):
        take_weights(content)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64])
@pytest.mark.parametrize("shape", [(), (0, 2), (3,), (2, 3, 4)])
def test_an_array_written_where_it_travels_is_serialized_without_a_copy(dtype: type, shape: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape, dtype=int), dtype=dtype).reshape(shape)
    made = written(np.array(values, order="F"), lambda out: np.copyto(out, values))
    np.testing.assert_array_equal(made, values, strict=True)
    assert encode_state({"w": made})["w"] == Array(values)
    assert not made.flags.writeable
    first = encode_state({"w": made})["w"].data
    assert encode_state(decode_state(encode_state({"w": made}), copy=False))["w"].data is first


def test_a_part_or_a_turned_view_of_an_array_over_bytes_is_never_taken_for_these_bytes() -> None:
    whole = written(np.zeros((3, 3), np.float32), lambda out: np.copyto(out, np.arange(9).reshape(3, 3)))
    for view in (whole.T, whole[::-1], whole[:, ::-1], whole[1:], whole.reshape(9), whole.view(np.int32)):
        assert encode_state({"w": view})["w"] == Array(np.ascontiguousarray(view))


def test_a_message_says_its_fold_or_none_and_a_nameless_fold_is_refused() -> None:
    content = encode(EvaluateTask(1, "test"))
    assert fold_of(content) == ""
    assert fold_of(with_fold(content, "fedavg.seed-0.without-A")) == "fedavg.seed-0.without-A"
    assert decode(EvaluateTask, content) == EvaluateTask(1, "test")
    with pytest.raises(ProtocolError, match="without a name"):
        fold_of(with_fold(content, ""))
