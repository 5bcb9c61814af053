"""Runs an ONNX file with onnxruntime-web, its WebAssembly, in a browser or in Node.

$CLIENT_OPTION is the program that runs the JavaScript, `chromium` or `node`; $CLIENT_FOLDER holds node_modules, $CLIENT_PROGRAM is this file. The JavaScript
asks a server of this process for jobs and sends it their outputs.
"""

from __future__ import annotations

import atexit
import base64
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import numpy as np
import numpy.typing as npt

Run = Callable[[Mapping[str, npt.NDArray[Any]]], dict[str, npt.NDArray[Any]]]
SCRIPT = Path(os.environ["CLIENT_PROGRAM"]).with_suffix(".mjs")
TYPES = {".mjs": "text/javascript", ".wasm": "application/wasm", ".html": "text/html"}
PAGE = b'<!DOCTYPE html><script type="module">import { serve } from "/script.mjs"; serve("/library/ort.wasm.min.mjs", "");</script>'
SECONDS = 120


def load(path: str, threads: int) -> tuple[Run, dict[str, str]]:
    """Give a function from arrays by input name to arrays by output name. WebAssembly runs in one thread."""
    jobs: Queue[bytes] = Queue()
    answers: Queue[dict[str, Any]] = Queue()
    library = Path(os.environ["CLIENT_FOLDER"]) / "node_modules/onnxruntime-web/dist"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/job":
                self.reply(jobs.get(), ".json")
            elif self.path == "/model":
                self.reply(Path(path).read_bytes(), ".onnx")
            elif self.path == "/script.mjs":
                self.reply(SCRIPT.read_bytes(), ".mjs")
            elif self.path.startswith("/library/"):
                file = library / Path(self.path).name
                self.reply(file.read_bytes(), file.suffix)
            else:
                self.reply(PAGE, ".html")

        def do_POST(self) -> None:
            answers.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.reply(b"", ".json")

        def reply(self, content: bytes, suffix: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", TYPES.get(suffix, "application/octet-stream"))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *words: Any) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    start(f"http://127.0.0.1:{server.server_port}", library)

    def ask(job: Mapping[str, Any]) -> dict[str, Any]:
        jobs.put(json.dumps(job).encode())
        answer = answers.get(timeout=SECONDS)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    ask({})  # loads the model

    def run(inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        outputs = ask({name: pack(value) for name, value in inputs.items()})
        return {name: unpack(value) for name, value in outputs.items()}

    return run, {}


def start(address: str, library: Path) -> None:
    """Start the browser or Node; it ends with this process."""
    if os.environ["CLIENT_OPTION"] == "node":
        module = (library / "ort.wasm.min.mjs").as_uri()
        code = f'import {{ serve }} from "{SCRIPT.as_uri()}"; serve("{module}", "{address}");'
        words = [require("node"), "--input-type=module", "--eval", code]
    else:
        quiet = "--disable-background-networking --disable-component-update --no-first-run --disable-gpu".split()
        browser = require("chromium", "chromium-browser", "google-chrome")
        words = [browser, "--headless", "--no-sandbox", f"--user-data-dir={Path('profile').resolve()}", *quiet, address]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    atexit.register(process.wait)
    atexit.register(process.terminate)


def require(*names: str) -> str:
    """Give the path of the first program that is installed."""
    for name in names:
        if path := shutil.which(name):
            return path
    raise RuntimeError(f"{names[0]} is not installed")


def pack(value: npt.NDArray[Any]) -> dict[str, Any]:
    """Describe an array in JSON."""
    return {
        "type": str(value.dtype),
        "shape": list(value.shape),
        "bytes": base64.b64encode(np.ascontiguousarray(value).tobytes()).decode(),
    }


def unpack(described: Mapping[str, Any]) -> npt.NDArray[Any]:
    """Read an array that JSON describes."""
    return np.frombuffer(base64.b64decode(described["bytes"]), described["type"]).reshape(described["shape"])
