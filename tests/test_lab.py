"""A figure live in JupyterLab: a reader's hand moves it in a real browser, and Python reads what was selected."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from explorers import forget

pytestmark = pytest.mark.browser
CELLS = (
    "from walkcut.widgets.explorers import toy_walk\nfigure = toy_walk(bridge=1.0).widget()\nfigure",
    "print('selected:', figure.selected.get('edge'), figure.selected.get('weights', [0] * 10)[9])",
)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """Address of a notebook in a JupyterLab on this machine alone, with settings of its own."""
    import nbformat

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "live.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {name: str(tmp_path / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
    command += [f"--ServerApp.root_dir={tmp_path}", "--IdentityProvider.token=", "--ServerApp.allow_root=True"]
    command += [f"--LabApp.workspaces_dir={tmp_path}", f"--LabApp.user_settings_dir={tmp_path}"]
    log = tmp_path / "lab.log"
    with log.open("w") as file:
        server = subprocess.Popen(command, env=env, cwd=tmp_path, stdout=file, stderr=subprocess.STDOUT)
    try:
        for _ in range(300):
            with socket.socket() as door:
                if not door.connect_ex(("127.0.0.1", port)):
                    break
            assert server.poll() is None, log.read_text()[-3000:]
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/lab/tree/live.ipynb"
    finally:
        server.terminate()
        server.wait(20)


def test_python_reads_what_a_hand_has_moved(chromium: object, lab: str) -> None:
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.wait import WebDriverWait

    def wait(script: str, seconds: int = 60) -> object:
        return WebDriverWait(chromium, seconds).until(lambda browser: browser.execute_script(script))

    forget(chromium)
    chromium.get(lab)
    wait("return document.querySelectorAll('.jp-Notebook .jp-CodeCell').length === 2")
    # the kernel is there once its status is idle
    wait("return !!document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=idle]')")

    def run(number: int) -> None:
        cell = chromium.find_elements("css selector", ".jp-Notebook .jp-CodeCell .cm-content")[number]
        cell.click()
        cell.send_keys(Keys.CONTROL, Keys.ENTER)

    run(0)
    wait("return !!document.querySelector('.walkcut-toy select')")
    choice = chromium.find_element("css selector", ".walkcut-toy select")
    assert choice.get_attribute("value") == "9"  # the bridge, 2-3
    slider = chromium.find_element("css selector", ".walkcut-toy input[type=range]")
    slider.send_keys(Keys.END)
    assert "relaxation time" in chromium.find_element("css selector", ".walkcut-toy .facts").text
    run(1)
    said = "return [...document.querySelectorAll('.jp-OutputArea-output pre')].map((p) => p.textContent).join('')"
    wait(f"return ({said[7:]}).includes('selected:')")
    assert chromium.execute_script(said).strip() == "selected: [2, 3] 2"
    hosts = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]
    urls = [e["params"]["request"]["url"] for e in hosts if e["method"] == "Network.requestWillBeSent"]
    assert all(url.startswith(("http://127.0.0.1", "data:", "blob:", "about:", "chrome")) for url in urls), [
        url for url in urls if not url.startswith("http://127.0.0.1")
    ]
    chromium.get("about:blank")
