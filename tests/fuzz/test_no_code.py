"""No file makes the loaders run what is in it, by Python's audit events while hostile files are read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

FOLDER = Path(__file__).parent
SCRIPT = r"""
import io, json, pickle, sys, zipfile
from pathlib import Path

import numpy as np
import torch

from fuzz_targets import SEPARATOR, TARGETS, attempt

FORBIDDEN = {"pickle.find_class", "exec", "import", "os.system", "os.exec", "os.fork", "os.posix_spawn",
             "subprocess.Popen", "marshal.loads", "ctypes.dlopen", "socket.connect"}
seen, armed = [], False


def hook(event, values):
    if armed and event in FORBIDDEN:
        seen.append(f"{event} {values!r}"[:200])


class Harm:
    def __reduce__(self):
        return print, ("harm",)


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return b"\0" + file.getvalue()


def npy(header):
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def zipped(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name + ".npy", data)
    return b"\0" + file.getvalue()


code = b"__import__('os').system('true')"
whole = {"table": np.zeros((3, 3), np.uint8), "colors": np.zeros((1, 2)), "prior": np.ones(1)}
saved = io.BytesIO()
torch.save({"a": Harm()}, saved)
objects = np.array([Harm()], dtype=object)
HOSTILE = {
    "bins": [npz(**{**whole, "colors": objects}), npz(**whole, more=objects), b"\0" + pickle.dumps(Harm()),
             zipped(table=npy(code), colors=npy(b"{'descr': " + code + b"}"), prior=pickle.dumps(Harm())),
             npz(**{**whole, "space": np.array("yuv; " + code.decode())})],
    "models": [config + SEPARATOR + b"\0" + weights
               for config in (b"{}", code, b'{"__class__": "os.system"}', b'{"encoder": "' + code + b'"}')
               for weights in (pickle.dumps(Harm()), saved.getvalue(), code)],
    "checkpoints": [b"\0" + pickle.dumps(Harm()), b"\0" + saved.getvalue(), b"\1" + code + SEPARATOR + b"{}",
                    b'\1{"config": "' + code + b'", "step": 0}' + SEPARATOR + b"{}"],
    "descriptions": [code, b"recipe = '''" + code + b"'''", b"[network]\nencoder = '!!python/object:os.system'"],
}
good = [(name, path.read_bytes()) for name in TARGETS for path in Path(sys.argv[1], name).iterdir()]
hostile = [(name, data) for name, files in HOSTILE.items() for data in files]
for name, data in good + hostile:  # what is imported late is no file's doing
    attempt(name, data)
sys.addaudithook(hook)
armed = True
for name, data in good + hostile:
    attempt(name, data)
armed = False
found, armed = list(seen), True
eval("1 + 1"), pickle.loads(pickle.dumps(Harm()))
armed = False
print(json.dumps({"files": len(good + hostile), "seen": found, "planted": len(seen) - len(found)}))
"""


@pytest.mark.promise("Hostile files", "no bins, model, checkpoint, description or picture has its content run as code")
def test_no_code_is_run() -> None:
    environment = {**os.environ, "PYTHONPATH": str(FOLDER), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(FOLDER / "corpus")]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["seen"] == []
    assert told["files"] > 40
    assert told["planted"] >= 2, "what is looked for is found where it is"
