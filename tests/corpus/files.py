"""The folder itself: links, pipes, strange names, archives and rubbish beside a sound scan."""

from __future__ import annotations

import gzip
import os
import shutil
import socket
import zipfile
from pathlib import Path

from corpus.kinds import kind, nothing, read, refused
from corpus.scan import Scan, scan


@kind(read())
def names_without_meaning(folder: Path) -> None:
    """Names without an ending, as media have them."""
    scan().each(lambda one: one.named(f"IM{one.number * 7 % 16:06}")).write(folder)


@kind(read(16, beside={"NOT_DICOM": 7}))
def rubbish_beside(folder: Path) -> None:
    """Notes, thumbnails and what operating systems leave behind."""
    scan().write(folder)
    for name in (".DS_Store", "Thumbs.db", "readme.txt", "desktop.ini", "._1-001.dcm", "scan.json", "autorun.inf"):
        (folder / name).write_bytes(b"\0\5\26\7" + name.encode())


@kind(read(16, beside={"EMPTY_FILE": 3}))
def empty_files_beside(folder: Path) -> None:
    """Files of no byte, one of them called like a slice."""
    scan().write(folder)
    for name in ("empty", "1-099.dcm", "1-000.dcm"):
        (folder / name).touch()


@kind(refused("NONUNIFORM_OR_MISSING_SLICES", beside={"EMPTY_FILE": 1}))
def slice_of_no_byte(folder: Path) -> None:
    """One slice's file is there and empty."""
    scan().edit(7, lambda one: one.damaged(lambda data: b"")).write(folder)


@kind(read(16, beside={"NOT_A_FILE": 2}))
def broken_links(folder: Path) -> None:
    """Links to nowhere, one of which sorts first: a walk that stops there loses everything."""
    scan().write(folder)
    (folder / "0-broken").symlink_to(folder / "nowhere")
    (folder / "itself").symlink_to(folder / "itself")


@kind(read(16, beside={"NOT_A_FILE": 2}))
def pipes_and_sockets(folder: Path) -> None:
    """A pipe that nobody writes to and a socket: whoever opens the pipe waits for ever."""
    scan().write(folder)
    os.mkfifo(folder / "0-pipe.dcm")
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(folder)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("0-socket.dcm")
    finally:
        os.fchdir(here)
        os.close(here)


@kind(read())
def circle_of_links(folder: Path) -> None:
    """A folder that holds a link to itself, and one to its parent's other name."""
    scan().write(folder / "scan")
    (folder / "scan" / "again").symlink_to(folder, target_is_directory=True)
    (folder / "other").symlink_to("scan", target_is_directory=True)


@kind(read(beside={"DUPLICATE_COPY": 8}))
def hard_links(folder: Path) -> None:
    """Half of the slices have a second name: one file, not two."""
    scan().write(folder)
    for path in sorted(folder.iterdir())[::2]:
        (folder / f"again-{path.name}").hardlink_to(path)


@kind(read(beside={"DUPLICATE_COPY": 16}))
def links_to_the_slices(folder: Path) -> None:
    """The slices lie elsewhere; the scan's folder holds links to them, absolute and relative."""
    scan().write(folder / "store")
    (folder / "scan").mkdir()
    for number, path in enumerate(sorted((folder / "store").iterdir())):
        target = path if number % 2 else Path("..", "store", path.name)
        (folder / "scan" / path.name).symlink_to(target)


@kind(read())
def folders_called_dcm(folder: Path) -> None:
    """Folders with the ending of files, and files within."""
    for one in scan().slices:
        Scan([one]).write(folder / f"{one.number:03}.dcm")


@kind(read())
def names_that_are_not_utf8(folder: Path) -> None:
    """File and folder names in Latin-1 bytes."""
    scan().each(lambda one: one.named(os.fsdecode(b"Sch\xe4del-%d.dcm" % one.number))).write(
        folder / os.fsdecode(b"R\xf6ntgen")
    )


@kind(read(12))
def names_with_line_breaks(folder: Path) -> None:
    """Names with line breaks, quotes, escapes, leading dashes and spaces."""
    odd = [
        "a\nb",
        "-rf",
        "tab\there",
        "'quote\"",
        "\x1b[31mred",
        "*",
        "$(x)",
        " space ",
        "back\\slash",
        "%s",
        "{}",
        "#",
    ]
    scan(12).each(lambda one: one.named(odd[one.number])).write(folder)


@kind(read())
def very_long_paths(folder: Path) -> None:
    """Folders nested until the path has some 3,000 characters, with a file name of 250."""
    deep = folder.joinpath(*["d" * 200] * 14)
    scan().each(lambda one: one.named(f"{one.number:03}" + "n" * 247)).write(deep)


@kind(read())
def hidden_files_and_folders(folder: Path) -> None:
    """The scan lies in a folder whose name starts with a dot, in files that do as well."""
    scan().each(lambda one: one.named(f".{one.name}")).write(folder / ".export")


@kind(nothing(NOT_DICOM=16))
def slices_compressed_with_gzip(folder: Path) -> None:
    """Every file is packed with gzip and keeps its ending."""
    scan().each(lambda one: one.damaged(lambda data: gzip.compress(data, mtime=0))).write(folder)


@kind(read(16, beside={"NOT_DICOM": 1}))
def archive_beside(folder: Path) -> None:
    """A zip archive of the scan lies beside it."""
    scan().write(folder)
    with zipfile.ZipFile(folder / "scan.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.glob("*.dcm")):
            archive.write(path, path.name)


@kind(read(15, beside={"UNREADABLE": 1}), as_root=False)
def file_that_may_not_be_read(folder: Path) -> None:
    """The last slice's file has mode 000."""
    scan().write(folder)
    (folder / "1-001.dcm").chmod(0)


@kind(read(16, beside={"UNREADABLE": 1}), as_root=False)
def folder_that_may_not_be_read(folder: Path) -> None:
    """A folder beside has mode 000."""
    scan().write(folder)
    (folder / "closed").mkdir(mode=0)


@kind(nothing())
def empty_folder(folder: Path) -> None:
    """Nothing at all."""
    folder.mkdir(parents=True)


@kind(nothing(NOT_DICOM=4))
def other_files_called_dcm(folder: Path) -> None:
    """A text, a picture, an archive and a page, all called .dcm."""
    folder.mkdir(parents=True)
    starts = {
        "text": b"once upon a time",
        "picture": b"\x89PNG\r\n\x1a\n",
        "archive": b"PK\3\4",
        "page": b"<!DOCTYPE html>",
    }
    for name, start in starts.items():
        (folder / f"{name}.dcm").write_bytes(start + bytes(500))


@kind(read())
def one_slice_moved_to_another_folder(folder: Path) -> None:
    """A slice was dragged into a folder beside."""
    scan().write(folder / "scan")
    (folder / "oops").mkdir()
    shutil.move(folder / "scan" / "1-009.dcm", folder / "oops" / "1-009.dcm")


@kind(read(16, beside={"NOT_DICOM": 1}))
def half_written_copy_beside(folder: Path) -> None:
    """A download that is still going on left a part of a slice, of a hundred bytes."""
    scan().write(folder)
    (folder / "1-005.dcm.part").write_bytes((folder / "1-005.dcm").read_bytes()[:100])
