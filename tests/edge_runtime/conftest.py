"""What the tests of the runtime share: the tiny bundle, simulated fields and cells, and the command line."""

import hashlib
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from edge_runtime.bundle import files
from edge_runtime.bundle.classifier import Classifier
from edge_runtime.cells.preprocessing import masked_crop
from edge_runtime.cells.segmentation import segment
from edge_runtime.cli import main
from edge_runtime.simulator import SimulatedField, simulate_field
from edge_runtime.sources import capture, live

EditedBundle = Callable[..., Path]
# Of the number of a connection and that of a picture: the picture's bytes; b"" waits, None closes.
Sends = Callable[[int, int], bytes | None]
Serve = Callable[[Sends], str]

_INTERVAL = 0.03  # seconds between two pictures of the loopback camera
_SOONER = 4  # of the delays that users see, tests wait this part


@pytest.fixture(scope="session")
def tiny_bundle() -> Path:
    """A sealed bundle that decides well on simulated cells (see tests/make_tiny_bundle.py)."""
    return Path(__file__).parent / "tiny-bundle"


@pytest.fixture
def as_default(tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny bundle that takes the place of the default bundle."""
    folder = tmp_path / "as-default"
    shutil.copytree(tiny_bundle, folder)
    monkeypatch.setattr(files, "DEFAULT", folder)
    return folder


@pytest.fixture
def without_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As in a checkout where no default bundle was made; returns where it would be."""
    monkeypatch.setattr(files, "DEFAULT", tmp_path / "no-default")
    return tmp_path / "no-default"


@pytest.fixture(scope="session")
def classifier(tiny_bundle: Path) -> Classifier:
    return Classifier.open(tiny_bundle, threads=1)


@pytest.fixture
def edited_bundle(tmp_path: Path, tiny_bundle: Path) -> EditedBundle:
    """Make a copy of the bundle with changes, its hashes right again."""

    def make(
        edit: Callable[[dict[str, Any]], object] = lambda _: None, files: Mapping[str, bytes] | None = None
    ) -> Path:
        folder = tmp_path / "edited-bundle"
        shutil.copytree(tiny_bundle, folder)
        manifest = json.loads((folder / "manifest.json").read_text())
        for name, data in (files or {}).items():
            (folder / name).write_bytes(data)
            manifest["files"][name] = hashlib.sha256(data).hexdigest()
        edit(manifest)
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    return make


@pytest.fixture(scope="session")
def fields() -> tuple[SimulatedField, ...]:
    """Three fields of one slide, about 20 cells each; the third has two white cells."""
    return tuple(simulate_field(5, index, width=640, height=480, cells=22) for index in range(3))


@pytest.fixture(scope="session")
def slide_folder(tmp_path_factory: pytest.TempPathFactory, fields: tuple[SimulatedField, ...]) -> Path:
    """The frames of `fields` as PNG files. Not to be changed: copy it."""
    folder = tmp_path_factory.mktemp("slide")
    for number, field in enumerate(fields, start=1):
        write_image(folder / f"field-{number}.png", field.frame)
    return folder


@pytest.fixture(scope="session")
def crops(fields: tuple[SimulatedField, ...]) -> list[np.ndarray]:
    """Masked crops of the first field's cells."""
    frame = fields[0].frame
    whole = [cell for cell in segment(frame) if not cell.at_edge and max(cell.box[2:]) > 40]
    return [masked_crop(frame, cell.box, cell.mask) for cell in whole]


@pytest.fixture(scope="session")
def crops_folder(tmp_path_factory: pytest.TempPathFactory, crops: list[np.ndarray]) -> Path:
    """Those crops as PNG files. Not to be changed: copy it."""
    folder = tmp_path_factory.mktemp("crops")
    for number, crop in enumerate(crops):
        write_image(folder / f"cell-{number:02}.png", crop)
    return folder


@pytest.fixture
def cellgate() -> Callable[..., Result]:
    """Run the command line in this process; an exception that it lets through fails the test."""

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)

    return run


@pytest.fixture
def refusal(cellgate: Callable[..., Result]) -> Callable[..., str]:
    """Run a command that must end with exit code 1 and nothing but one line; returns that line."""

    def run(*arguments: object) -> str:
        result = cellgate(*arguments)
        assert result.exit_code == 1, result.output
        assert result.stdout == ""
        return only_error(result.stderr)

    return run


@pytest.fixture
def cellgate_process(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line in a process of its own, away from the checkout."""

    def run(*arguments: object, **settings: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "edge_runtime.cli", *map(str, arguments)]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False, **settings
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


@pytest.fixture
def refusal_of_process(
    cellgate_process: Callable[..., subprocess.CompletedProcess[str]],
) -> Callable[..., str]:
    """Run `refusal` in a process of its own, so that what libraries print by themselves is seen too."""

    def run(*arguments: object, **settings: Any) -> str:
        done = cellgate_process(*arguments, **settings)
        assert done.returncode == 1, done.stdout + done.stderr
        assert done.stdout == ""
        return only_error(done.stderr)

    return run


@pytest.fixture
def read_arguments(tiny_bundle: Path, tmp_path: Path) -> Callable[..., list[object]]:
    """Make the arguments that read a source into the folder `out`."""

    def arguments(source: object, *more: object) -> list[object]:
        return ["read", source, "--bundle", tiny_bundle, "--slide", "S", "--out", tmp_path / "out", *more]

    return arguments


def only_error(stderr: str) -> str:
    lines = stderr.splitlines()
    assert len(lines) == 1, stderr
    assert lines[0].startswith("error: ")
    return lines[0].removeprefix("error: ")


def write_image(path: Path, image: np.ndarray) -> None:
    assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


@pytest.fixture
def sooner(monkeypatch: pytest.MonkeyPatch) -> int:
    """Have troubles of live sources noticed so many times sooner than users see it."""
    for name in ("NOTICED", "READ_TIMEOUT", "OPEN_TIMEOUT", "_BACK_OFF"):
        value = getattr(live, name) / _SOONER
        for module in (live, capture):
            monkeypatch.setattr(module, name, value, raising=False)
    return _SOONER


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A loopback camera that sends motion JPEG, about 30 pictures per second."""
    over, servers = threading.Event(), []

    def start(sends: Sends) -> str:
        connections = count()

        class Camera(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=f")
                self.end_headers()
                connection = next(connections)
                for number in count():
                    data = sends(connection, number)
                    if data is None or over.is_set():
                        return
                    if not data:
                        over.wait(20)
                        return
                    head = b"--f\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data)
                    try:
                        self.wfile.write(head + data + b"\r\n")
                    except OSError:  # nobody reads any more
                        return
                    over.wait(_INTERVAL)

        server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_address[1]}/"

    yield start
    over.set()
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()
