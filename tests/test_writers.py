"""Whatever is written is there whole, or what was there before: on odd places, beside other writers, on full disks."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from test_cli import HALF_WRITTEN, loads, outputs  # noqa: F401 -- a fixture

from walkcut.app.cli import main
from walkcut.app.outputs import claim, write_whole
from walkcut.errors import InputError

FULL = Path("/dev/full")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with two pictures."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (30, 20), colour).save(folder / f"{name}.png")
    return folder


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# ---------------------------------------------------------------------------------------------------------------------
# Places


@pytest.mark.situation("writers")
@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("kept", [0o600, 0o664, 0o444])
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path: Path, kept: int, linked: bool) -> None:
    path, target = tmp_path / "page.html", tmp_path / "target"
    target.write_bytes(b"one")
    target.chmod(kept)
    path.symlink_to(target) if linked else target.rename(path)
    write_whole({path: b"two"})
    assert (path.read_bytes(), mode(path), path.is_symlink()) == (b"two", kept, linked)


@pytest.mark.situation("writers")
def test_a_new_file_has_the_permissions_that_others_have(tmp_path: Path) -> None:
    with umask(0o027):
        write_whole({tmp_path / "deep" / "page.html": b"one"})
    assert (mode(tmp_path / "deep"), mode(tmp_path / "deep" / "page.html")) == (0o750, 0o640)


@pytest.mark.situation("writers")
def test_into_a_device_one_may_write_where_nothing_may_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As everybody into /dev/stdout."""

    def refused(dir: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    os.mkfifo(tmp_path / "pipe")
    claim(tmp_path / "a.png", [tmp_path / "pipe"], {})
    with pytest.raises(InputError, match="cannot be written to"):
        claim(tmp_path / "a.png", [tmp_path / "page.html"], {})


@pytest.mark.situation("writers")
def test_a_pipe_that_is_open_already_is_written_into() -> None:
    """As of `walkcut explore photo.jpg --out /dev/stdout | less`: a link that leads to no path."""
    reading, writing = os.pipe()
    write_whole({Path(f"/dev/fd/{writing}"): b"page"})
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"page"


@pytest.mark.situation("writers")
def test_a_folder_that_was_removed_meanwhile_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    claim(tmp_path / "a.png", [folder / "page.html"], {})
    folder.rmdir()
    write_whole({folder / "page.html": b"one"})
    assert [path.name for path in folder.iterdir()] == ["page.html"]


@pytest.mark.situation("writers")
def test_a_folder_nobody_may_write_to_is_told_once(
    loads: list,  # noqa: F811
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    def refused(dir: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    assert main(["segment", str(pictures)]) == 1
    err = capsys.readouterr().err
    assert "2 of 2 inputs failed" in err
    assert err.count("cannot be written to (Read-only file system): choose another --out.") == 1
    assert loads == []


# ---------------------------------------------------------------------------------------------------------------------
# No room


@pytest.mark.situation("writers")
@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a device that is full")
def test_a_full_device_is_told_in_one_sentence() -> None:
    with pytest.raises(InputError, match=r"/dev/full cannot be written \(No space left on device\)"):
        write_whole({FULL: b"page"})
    assert stat.S_ISCHR(FULL.stat().st_mode)


@pytest.mark.situation("writers")
def test_where_a_file_may_grow_no_further_the_old_one_stays(tmp_path: Path) -> None:
    """As by `ulimit -f`, or a quota."""
    path = tmp_path / "page.html"
    write_whole({path: b"one"})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(InputError, match="cannot be written"):
            write_whole({path: b"2" * 5000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("page.html", b"one")]


@pytest.mark.situation("writers")
def test_on_a_full_disk_one_picture_fails_and_the_next_run_does_it(
    loads: list,  # noqa: F811
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if ".b." not in path.name:
            return write(path, content)
        write(path, content[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        assert main(["segment", str(pictures)]) == 1
    assert "b.labels.png cannot be written (No space left on device): make room" in capsys.readouterr().err
    assert {path.name[0] for path in pictures.iterdir()} == {"a", "b"}, "nothing half written"
    assert len(outputs(pictures)) == 3
    assert main(["segment", str(pictures)]) == 0
    assert len(outputs(pictures)) == 6


# ---------------------------------------------------------------------------------------------------------------------
# Other writers


@pytest.mark.situation("writers")
def test_of_two_writers_of_the_same_files_one_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are all of one of them, and neither fails."""
    write, paths = Path.write_bytes, [tmp_path / name for name in ("a.labels.png", "a.overlay.png", "a.tree.json")]

    def slowly(path: Path, content: bytes) -> int:
        write(path, content[:1])
        time.sleep(0.002)
        return write(path, content)

    def often(content: bytes) -> None:
        for _ in range(10):
            write_whole(dict.fromkeys(paths, content))

    monkeypatch.setattr(Path, "write_bytes", slowly)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(often, (b"one", b"two", b"three")))
    found = {path.read_bytes() for path in paths}
    assert len(found) == 1
    assert found <= {b"one", b"two", b"three"}
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.situation("writers")
def test_runs_that_write_into_several_folders_do_not_wait_for_each_other_for_ever(tmp_path: Path) -> None:
    """Links lead from either folder to the other."""
    for name, other in (("one", "two"), ("two", "one")):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / other).mkdir(exist_ok=True)
        (tmp_path / name / "b").symlink_to(tmp_path / other / "c")

    def often(name: str) -> None:
        for _ in range(20):
            write_whole({tmp_path / name / "a": b"a", tmp_path / name / "b": b"b"})

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(often, name) for name in ("one", "two")]:
            done.result(20)
    assert (tmp_path / "one" / "c").read_bytes() == b"b"


@pytest.mark.situation("writers")
def test_where_there_are_no_locks_one_writes_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on some network drives, and on Windows."""

    def unknown(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unknown)
    write_whole({tmp_path / "a": b"1"})
    monkeypatch.setitem(sys.modules, "fcntl", None)
    write_whole({tmp_path / "b": b"2"})
    assert sorted(path.read_bytes() for path in tmp_path.iterdir()) == [b"1", b"2"]


@pytest.mark.situation("leftovers")
def test_what_a_killed_run_left_half_written_goes_also_where_the_picture_is_finished(
    loads: list,  # noqa: F811
    pictures: Path,
) -> None:
    """As by `--fresh`, killed before the old results were touched."""
    assert main(["segment", str(pictures)]) == 0
    before = sorted(pictures.iterdir())
    for name in (".a.labels.png.tmp", ".b.tree.json.tmp"):
        (pictures / name).write_bytes(b"half")
    assert main(["segment", str(pictures)]) == 0
    assert len(loads) == 1
    assert sorted(pictures.iterdir()) == before


@pytest.mark.situation("leftovers")
def test_what_another_run_is_writing_is_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that begins clears nothing away from under the hands of one that works."""
    write, writing, cleared = Path.write_bytes, threading.Event(), threading.Event()

    def slowly(path: Path, content: bytes) -> int:
        done = write(path, content)
        writing.set()
        assert not cleared.wait(0.2)
        return done

    def begin() -> None:
        writing.wait(10)
        claim(tmp_path / "a.png", [tmp_path / "page.html"], {})
        cleared.set()

    monkeypatch.setattr(Path, "write_bytes", slowly)
    with ThreadPoolExecutor(1) as pool:
        beginning = pool.submit(begin)
        write_whole({tmp_path / "page.html": b"one"})
        beginning.result(10)
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.situation("leftovers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_told_to_end_the_command_puts_away_what_is_half_done(tmp_path: Path, number: int) -> None:
    """Also by a terminal that is closed, which says so twice; but not if it was started by nohup."""
    code = f"""{HALF_WRITTEN}
cli.run_models = lambda arguments: outputs.write_whole({{Path("page.html"): bytes(100)}})
sys.exit(cli.main())
"""

    def start(stays: bool) -> subprocess.Popen:
        given = {"cwd": tmp_path, "stdout": subprocess.PIPE, "text": True}
        disposition = signal.SIG_IGN if stays else signal.SIG_DFL
        before = signal.signal(signal.SIGHUP, disposition)  # the child has what its parent had
        try:
            run = subprocess.Popen([sys.executable, "-c", code, "models"], **given)
        finally:
            signal.signal(signal.SIGHUP, before)
        assert run.stdout.readline() == "half\n"
        assert list(tmp_path.iterdir())
        return run

    with start(stays=False) as run:
        run.send_signal(number)
        run.send_signal(number)
        assert run.wait(10) == 128 + number
    assert list(tmp_path.iterdir()) == []
    if number == signal.SIGHUP:
        with start(stays=True) as run:
            run.send_signal(number)
            time.sleep(0.1)
            assert run.poll() is None
            run.kill()


# ---------------------------------------------------------------------------------------------------------------------
# Streams


def told(words: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a line of the shell, `walkcut` being the command."""
    line = words.replace("walkcut", f"{sys.executable} -m walkcut")
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.situation("streams")
@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a device that is full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", ["samples", "--help", "--version", "segment --help"])
def test_output_without_room_is_told_in_one_sentence(
    words: str, unbuffered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    sentence = "walkcut: Standard output cannot be written (No space left on device): make room for it.\n"
    assert told(f"walkcut {words} > /dev/full") == (2, "", sentence)


@pytest.mark.situation("streams")
@pytest.mark.parametrize("words", ["samples", "--version"])
def test_output_that_is_closed_is_told_in_one_sentence(words: str) -> None:
    sentence = "walkcut: Standard output is closed: send it to a file, or to /dev/null.\n"
    assert told(f"walkcut {words} >&-") == (2, "", sentence)


@pytest.mark.situation("streams")
@pytest.mark.parametrize("words", ["segment nowhere.png", "segment --grid none"])
def test_errors_that_nobody_hears_do_not_get_into_the_output(words: str) -> None:
    assert told(f"walkcut {words} 2>&-") == (2, "", "")


@pytest.mark.situation("streams")
def test_no_file_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    """Else what a library says in standard error would stand in it; a process that is started has them, too."""
    code = """
import os, subprocess, sys
from walkcut.app import cli
def look(arguments):
    file = open("page.html", "w")
    child = "import os; [os.fstat(number) for number in range(3)]"
    print(file.fileno() > 2, subprocess.run([sys.executable, "-c", child]).returncode)
cli.run_models = look
cli.main()
"""
    (tmp_path / "look.py").write_text(code)
    line = f"cd {tmp_path} && {sys.executable} look.py models <&- 2>&-"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "True 0\n"


@pytest.mark.situation("streams")
def test_where_errors_are_closed_a_folder_is_done_all_the_same(
    loads: list,  # noqa: F811
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["walkcut", "segment", str(pictures)])
    monkeypatch.setattr(sys, "stderr", None)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        assert main() == 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if sys.stderr:
            sys.stderr.close()
    assert len(outputs(pictures)) == 6


class Full(io.StringIO):
    """A log on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.situation("streams")
def test_a_log_without_room_stops_no_run(
    loads: list,  # noqa: F811
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", Full())
    assert main(["segment", str(pictures)]) == 0
    assert len(outputs(pictures)) == 6


@pytest.mark.situation("streams")
def test_a_log_has_lines_of_progress_and_a_terminal_a_bar(
    loads: list,  # noqa: F811
    pictures: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert main(["segment", str(pictures)]) == 0
    out, err = capsys.readouterr()
    assert out.count("->") == 2
    assert [line.partition(" [")[0] for line in err.split("\n")] == ["segmenting: 0/2", "segmenting: 2/2", ""]
    assert "\r" not in err
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert main(["segment", str(pictures), "--fresh"]) == 0
    assert "\r" in sys.stderr.getvalue()


def bench(folder: Path) -> None:
    from bench_toys import one_segment, toy

    from walkcut.bench.run import run

    run(toy(), [one_segment()], folder)


def train(folder: Path) -> None:
    from walkcut import train as training

    config = training.TrainConfig(steps=1, patches=256, sides=(8,), warmup=2)
    small = {"block_out_channels": (8, 16), "norm_num_groups": 4, "cross_attention_dim": 8, "sample_size": 8}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "UNET_CONFIG", training.UNET_CONFIG | small)
        training.train(folder, config, workers=0)


@pytest.mark.situation("streams")
@pytest.mark.parametrize("run", [bench, train])
def test_a_long_run_fills_no_log(run: Callable[[Path], None], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run(tmp_path)
    err = capsys.readouterr().err
    assert "\r" not in err
    assert 2 <= err.count("\n") <= 5
