"""Decoders that die, hang or run out of memory cost one series, and none outlives its parent. The signals are real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import jpeg_ls
import numpy as np
import numpy.typing as npt
import pytest

from fedlung.ct.decoding import decode_stored, decode_with
from fedlung.ct.decoding.pool import DecoderPool
from fedlung.ct.dicom.header import Header
from fedlung.errors import SeriesError

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at processes as Linux shows them")

Write = Callable[..., Header]
PoolOf = Callable[..., DecoderPool]
ROOT = Path(__file__).resolve().parents[4]
NUM_SLICES = 200


@pytest.fixture
def headers(slice_file: Write) -> list[Header]:
    """Of as many slices as no decoder has answered before the first is looked at; each holds its number."""
    values = [np.full((64, 64), number, np.uint16) for number in range(NUM_SLICES)]
    return [slice_file([jpegls(value_HW)], value_HW, "4.80") for value_HW in values]


def jpegls(values_HW: np.ndarray) -> bytes:
    return bytes(jpeg_ls.encode_buffer(values_HW.tobytes(), *values_HW.shape, 1, 16))


def numbers(slices: Iterator[npt.NDArray]) -> list[int]:
    return [int(slice_HW[0, 0]) for slice_HW in slices]


def is_gone(pid: int) -> bool:
    """Whether a process ends within two seconds; one that only waits to be counted is gone."""
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_decoder_that_dies_costs_its_series_and_the_next_gets_another(
    headers: list[Header], pool_of: PoolOf, sent: signal.Signals
) -> None:
    pool = pool_of()
    slices = decode_with(pool.decode, headers)
    next(slices)
    (pid,) = pool.pids
    os.kill(pid, sent)
    with pytest.raises(SeriesError, match=rf"DECODER_CRASHED.*signal {sent.value}"):
        list(slices)
    assert is_gone(pid)
    assert numbers(decode_with(pool.decode, headers[:9])) == list(range(9))
    assert pool.pids != [pid]


def test_slices_are_written_to_the_rooms_that_are_given_in_any_number_of_decoders(
    headers: list[Header], pool_of: PoolOf
) -> None:
    rooms_DHW = np.full((NUM_SLICES, 64, 64), 7777, np.uint16)
    slices = list(decode_with(pool_of(size=2).decode, headers, list(rooms_DHW)))
    np.testing.assert_array_equal(rooms_DHW, np.arange(NUM_SLICES)[:, None, None].repeat(64, 1).repeat(64, 2))
    assert all(np.shares_memory(slice_HW, room_HW) for slice_HW, room_HW in zip(slices, rooms_DHW, strict=True))


def test_a_decoder_that_hangs_is_killed_when_its_time_is_up(headers: list[Header], pool_of: PoolOf) -> None:
    pool = pool_of(slice_seconds=0.3)
    slices = decode_with(pool.decode, headers)
    next(slices)
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(SeriesError, match="DECODER_TIMEOUT"):
        list(slices)
    assert is_gone(pid)
    assert numbers(decode_with(pool.decode, headers[:9])) == list(range(9))


def test_of_two_decoders_one_may_hang_and_all_slices_before_its_own_are_given(
    headers: list[Header], pool_of: PoolOf
) -> None:
    pool = pool_of(size=2, slice_seconds=0.3)
    slices = decode_with(pool.decode, headers)
    given = [next(slices)]
    os.kill(pool.pids[0], signal.SIGSTOP)
    with pytest.raises(SeriesError, match="DECODER_TIMEOUT"):
        given.extend(slices)
    assert numbers(iter(given)) == list(range(len(given)))
    assert len(pool.pids) == 1, "the other decoder is kept"


def test_time_that_the_caller_takes_is_not_held_against_a_decoder(headers: list[Header], pool_of: PoolOf) -> None:
    pool = pool_of(slice_seconds=0.05)
    slices = decode_with(pool.decode, headers)
    first = next(slices)
    time.sleep(0.2)
    assert numbers(iter([first])) + numbers(slices) == list(range(NUM_SLICES))


def test_a_slice_beyond_the_memory_limit_costs_its_series_and_the_decoder(
    headers: list[Header], slice_file: Write, pool_of: PoolOf
) -> None:
    pool = pool_of(memory_bytes=1 << 26)  # less than the interpreter has: nothing more is granted
    large_HW = np.zeros((4096, 4096), np.uint16)
    assert numbers(decode_with(pool.decode, headers[:1])) == [0]
    (pid,) = pool.pids
    with pytest.raises(SeriesError, match="DECODER_OUT_OF_MEMORY"):
        list(decode_with(pool.decode, [slice_file([jpegls(large_HW)], large_HW, "4.80")]))
    assert is_gone(pid)
    assert numbers(decode_with(pool.decode, headers[:1])) == [0]


def test_the_largest_slice_that_is_allowed_is_within_the_memory_limit(slice_file: Write) -> None:
    large_HW = np.zeros((4096, 4096), np.uint16)
    large_HW[-1, -1] = 7
    (decoded_HW,) = decode_stored([slice_file([jpegls(large_HW)], large_HW, "4.80")])
    np.testing.assert_array_equal(decoded_HW, large_HW)


def test_decoders_are_kept_for_the_next_series_and_replaced_when_they_die_idle(
    headers: list[Header], pool_of: PoolOf
) -> None:
    pool = pool_of()
    list(decode_with(pool.decode, headers[:3]))
    (pid,) = pool.pids
    list(decode_with(pool.decode, headers[:3]))
    assert pool.pids == [pid]
    os.kill(pid, signal.SIGKILL)
    assert is_gone(pid)
    assert numbers(decode_with(pool.decode, headers[:3])) == [0, 1, 2]


def test_an_iterator_that_is_left_early_leaves_a_decoder_that_works(headers: list[Header], pool_of: PoolOf) -> None:
    pool = pool_of()
    slices = decode_with(pool.decode, headers)
    next(slices)
    (pid,) = pool.pids
    slices.close()
    assert numbers(decode_with(pool.decode, headers[20:30])) == list(range(20, 30))
    assert pool.pids == [pid]


def test_a_thread_may_end_and_its_decoders_live_on(headers: list[Header], pool_of: PoolOf) -> None:
    pool = pool_of()
    thread = threading.Thread(target=lambda: list(decode_with(pool.decode, headers[:2])))
    thread.start()
    thread.join()
    (pid,) = pool.pids
    assert numbers(decode_with(pool.decode, headers[:9])) == list(range(9))
    assert pool.pids == [pid]


def test_threads_decode_at_the_same_time(headers: list[Header], pool_of: PoolOf) -> None:
    pool = pool_of(size=2)
    read: dict[int, list[int]] = {}

    def decode(start: int) -> None:
        read[start] = numbers(decode_with(pool.decode, headers[start : start + 40]))

    threads = [threading.Thread(target=decode, args=(start,)) for start in range(0, 160, 40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read == {start: list(range(start, start + 40)) for start in range(0, 160, 40)}
    assert len(pool.pids) <= 2, "decoders beyond the cores are not kept"


def test_iterators_in_one_thread_do_not_wait_for_each_other(headers: list[Header], pool_of: PoolOf) -> None:
    pool = pool_of()
    pairs = zip(decode_with(pool.decode, headers[:50]), decode_with(pool.decode, headers[50:100]), strict=True)
    assert [(int(one[0, 0]), int(other[0, 0])) for one, other in pairs] == [(n, n + 50) for n in range(50)]


def test_a_decoder_has_no_descriptors_but_its_own_and_dumps_no_core(
    headers: list[Header], pool_of: PoolOf, tmp_path: Path
) -> None:
    pool = pool_of()
    with Path(tmp_path, "secret").open("wb") as file:
        os.set_inheritable(file.fileno(), True)
        list(decode_with(pool.decode, headers[:1]))
    (pid,) = pool.pids
    targets = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
    assert not [target for target in targets if target.startswith(str(tmp_path))]
    own = {"/dev/null": 3, "socket": 1, "pipe": 1}
    assert Counter(target.partition(":")[0] for target in targets if "memfd" not in target) == own
    (cores,) = (line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if "core file" in line)
    assert cores.split()[4:6] == ["0", "0"]


# --- other interpreters --------------------------------------------------------------------------

SCRIPT = """
import os, sys
sys.path[:] = sys.argv[1].split(os.pathsep)
from pathlib import Path
from fedlung.ct.decoding import _pool, decode_stored
import pickle
headers = pickle.loads(Path(sys.argv[2]).read_bytes())
"""


@pytest.fixture
def run(headers: list[Header], tmp_path: Path) -> Callable[[str], subprocess.Popen]:
    """Starts a script without a main guard, in another folder, which finds the library on sys.path alone."""
    import pickle

    listed = tmp_path / "headers.pickle"
    listed.write_bytes(pickle.dumps(headers))

    def start(body: str) -> subprocess.Popen:
        path = os.pathsep.join([str(ROOT), *sys.path])
        command = [sys.executable, "-I", "-S", "-c", SCRIPT + body, path, str(listed)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, cwd="/", text=True)

    return start


def said(process: subprocess.Popen) -> list[str]:
    with process:
        assert process.stdout is not None
        words = process.stdout.read().split()
    assert process.returncode == 0
    return words


PIDS = "print(*_pool().__self__.pids, flush=True)\n"


def test_decoders_die_with_a_parent_that_is_killed_even_while_they_hang(run: Callable[[str], subprocess.Popen]) -> None:
    before = set(Path("/dev/shm").iterdir())
    parent = run("slices = decode_stored(headers)\nnext(slices)\n" + PIDS + "input()\n")
    with parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert pids
        os.kill(pids[0], signal.SIGSTOP)
        assert set(Path("/dev/shm").iterdir()) <= before
        parent.kill()
    assert all(map(is_gone, pids))


def test_decoders_end_with_a_parent_that_ends(run: Callable[[str], subprocess.Popen]) -> None:
    pids = said(run("assert len(list(decode_stored(headers))) == 200\n" + PIDS))
    assert pids
    assert all(is_gone(int(pid)) for pid in pids)


def test_with_one_core_allowed_one_decoder_is_started(run: Callable[[str], subprocess.Popen]) -> None:
    body = "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\nlist(decode_stored(headers))\n" + PIDS
    assert len(said(run(body))) == 1


def test_a_forked_child_has_decoders_of_its_own(run: Callable[[str], subprocess.Popen]) -> None:
    body = """
next(decode_stored(headers))
mine = _pool().__self__.pids
child = os.fork()
numbers = [int(slice_HW[0, 0]) for slice_HW in decode_stored(headers)]
assert numbers == list(range(200))
if child == 0:
    assert not set(mine) & set(_pool().__self__.pids)
    sys.exit()
assert os.waitpid(child, 0)[1] == 0
assert set(mine) <= set(_pool().__self__.pids)
print("both")
"""
    assert said(run(body)) == ["both"]


def test_a_decoder_loads_no_more_than_it_needs(headers: list[Header], pool_of: PoolOf) -> None:
    pool = pool_of()
    list(decode_with(pool.decode, headers[:1]))
    mapped = Path(f"/proc/{pool.pids[0]}/maps").read_text()
    assert "_CharLS" in mapped
    assert not [name for name in ("/torch/", "/SimpleITK/", "/pandas/", "/scipy/") if name in mapped]
