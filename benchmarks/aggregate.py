"""The sites' updates to one model: 133 MB each, from the arrays as they arrive to the arrays that go out again.

Cpu time with 4 updates that are all there, then peak memory with 4, 16 and 64 that arrive one by one.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from unittest.mock import patch

import numpy as np
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords
from timing import Way, begin, parser, race

from fedlung.config import ModelConfig
from fedlung.model import build_model
from fedlung.protocol import State, TrainReply, decode, encode, encode_state, take_weights
from server import fused
from server.aggregation import MeanOfFew, checked, fitting, mean_for

FLOWER = "Flower aggregate_arrayrecords"
NVFLARE = "NVFlare WeightedAggregationHelper, Flower's arrays"
NUM_EXAMPLES = "num-examples"
TARGET = 0.3

Contents = Collection[RecordDict]
Aggregate = Callable[[State, Contents], ArrayRecord]


def by_fedlung(current: State, contents: Contents) -> ArrayRecord:
    """As ``server.strategies.fedavg`` does it, every check of the weights on."""
    mean = mean_for(len(contents), current, lambda reply: reply.num_examples)
    check = fitting if isinstance(mean, MeanOfFew) else checked
    for content in contents:
        own = RecordDict(dict(content))  # other ways will read it as well, and the weights are taken out of it
        reply = decode(TrainReply, own)
        mean.add(reply, check(reply.site, take_weights(own), current))
    merged = mean.merged()
    assert not merged.refused
    return encode_state(merged.state)


def by_blocks(current: State, contents: Contents) -> ArrayRecord:
    """As it is where numba is not installed."""
    with patch.object(fused, "WORTHWHILE", sys.maxsize):
        return by_fedlung(current, contents)


def by_flower(current: State, contents: Contents) -> ArrayRecord:
    """It wants all updates at once."""
    return aggregate_arrayrecords(list(contents), NUM_EXAMPLES)


def by_nvflare(current: State, contents: Contents) -> ArrayRecord:
    """What its InTimeAccumulateWeightedAggregator adds up with, one update at a time."""
    from nvflare.app_common.aggregators.weighted_aggregation_helper import WeightedAggregationHelper

    helper = WeightedAggregationHelper()
    for number, content in enumerate(contents):
        state = {name: array.numpy() for name, array in content.array_records["weights"].items()}
        helper.add(state, content.metric_records["metrics"][NUM_EXAMPLES], f"site-{number}", 1)
    return ArrayRecord({name: Array(np.asarray(values)) for name, values in helper.get_result().items()})


WAYS: dict[str, tuple[Aggregate, tuple[str, ...]]] = {
    "fedlung, in float64, every check on": (by_fedlung, ("numba",)),
    "the same without numba": (by_blocks, ()),
    FLOWER: (by_flower, ()),
    NVFLARE: (by_nvflare, ("nvflare",)),
}


@dataclass
class Arriving:
    """``num`` updates, each made when it is asked for; ``cpu_s`` is what making them took."""

    current: State
    num: int
    cpu_s: float = 0.0

    def __len__(self) -> int:
        return self.num

    def __iter__(self) -> Iterator[RecordDict]:
        for number in range(self.num):
            start = time.process_time()
            content = update(self.current, number)
            self.cpu_s += time.process_time() - start
            yield content


def model_state(*, quick: bool) -> State:
    """Of a residual network of 33.1 million parameters."""
    model = build_model(ModelConfig(name="resnet18", width=8 if quick else 64), seed=0)
    return {name: values.numpy() for name, values in model.state_dict().items()}


def update(current: State, number: int) -> RecordDict:
    """A site's reply: numbers near ``current``, serialized tensor by tensor."""
    reply = TrainReply(f"site-{number:02d}", 1, num_examples=100 + number, num_steps=10, loss=0.5, seconds=1.0)
    change = np.float32(1e-3 * (number + 1))
    weights = ArrayRecord({name: Array(np.asarray(values + change)) for name, values in current.items()})
    content = encode(reply, weights=weights)
    content["metrics"] = MetricRecord({NUM_EXAMPLES: reply.num_examples})
    return content


def peak(name: str, num: int, *, quick: bool) -> tuple[float, float]:
    """MB beyond what the process had before, and cpu ms for each update, of a process that does nothing else."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (name, num, quick))


def _peak(name: str, num: int, quick: bool) -> tuple[float, float]:
    aggregate, _ = WAYS[name]
    current = model_state(quick=quick)
    # What is imported and compiled on the way is not the updates'.
    aggregate(_little(current), Arriving(_little(current), 2))
    fused.loops_for(fused.WORTHWHILE, 1)
    before_mb, arriving, start = _peak_mb(), Arriving(current, num), time.process_time()
    aggregate(current, arriving)
    cpu_s = time.process_time() - start - arriving.cpu_s
    return _peak_mb() - before_mb, 1e3 * cpu_s / num


def _little(current: State) -> State:
    return {name: values for name, values in current.items() if values.size < 1000}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def print_peaks(ways: Sequence[Way], most_at_once: int, *, quick: bool) -> None:
    """A row for each way and number of updates. Flower's holds them all: more than ``most_at_once`` is left out."""
    print("\npeak memory, updates arriving one by one, each row a process of its own")
    for num in (4,) if quick else (4, 16, 64):
        for way in (way for way in ways if not way.missing):
            if way.name == FLOWER and num > most_at_once:
                print(f"  {num:3} updates  {way.name:52} left out; --most-at-once {num} runs it")
                continue
            mb, cpu_ms = peak(way.name, num, quick=quick)
            print(f"  {num:3} updates  {way.name:52} {mb:8,.0f} MB {cpu_ms:8.1f} cpu ms/update")


def main(arguments: Sequence[str] | None = None) -> None:
    made = parser(__doc__ or "")
    made.add_argument("--most-at-once", type=int, default=16, help="updates that Flower may hold: 64 are 8.5 GB")
    options = made.parse_args(arguments)
    begin(options)
    current = model_state(quick=options.quick)
    megabytes = round(sum(values.nbytes for values in current.values()) / 1e6)
    contents: list[RecordDict] = []
    ways = [Way(name, partial(run, current, contents), needs) for name, (run, needs) in WAYS.items()]
    # ORDER: on Linux a new process starts with the peak of the one that made it, which is to be small then.
    print_peaks(ways, options.most_at_once, quick=options.quick)
    contents += Arriving(current, 4)
    race(f"4 updates of {megabytes} MB", ways, base=FLOWER, rounds=options.rounds, target=TARGET)


if __name__ == "__main__":
    main()
