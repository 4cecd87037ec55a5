"""No file ends a command: hostile JSON wherever a command reads some, through started processes."""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from prover.errors import BadInputError, ChainError, UsageError
from tests.hostile_json import HOSTILE

from .test_command import run

DEEP = HOSTILE["deep arrays"]
WORST = ("deep arrays", "deep below a field", "an integer of a million digits")
SHAPE = {
    "model_type": "llama", "vocab_size": 8, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
    "hidden_act": "silu", "architectures": ["LlamaForCausalLM"],
}  # fmt: skip


def refused(*arguments: str, cwd: Path, code: int = BadInputError.exit_code) -> str:
    """The command's one sentence."""
    answer = run(*arguments, cwd=cwd)
    assert answer.returncode == code, (arguments, answer.returncode, answer.stderr[-2000:])
    lines = [line for line in answer.stderr.splitlines() if line.startswith("gainsay: ")]
    assert len(lines) == 1 and "Traceback" not in answer.stderr and "unexpected" not in lines[0], (
        answer.stderr
    )
    return lines[0]


@pytest.mark.parametrize(
    "name", [WORST[0], *(pytest.param(name, marks=pytest.mark.long) for name in WORST[1:])]
)
def test_a_hostile_proof_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "deep.json").write_bytes(HOSTILE[name])
    assert "deep.json" in refused("verify", "deep.json", cwd=tmp_path)


def test_a_hostile_deployment_or_devnet_file(tmp_path: Path) -> None:
    (tmp_path / ".gainsay").mkdir()
    (tmp_path / ".gainsay" / "devnet.json").write_bytes(DEEP)
    assert "devnet.json" in refused("dispute", "list", cwd=tmp_path)
    assert "devnet.json" in refused(
        "settlements", "list", "--devnet", cwd=tmp_path, code=UsageError.exit_code
    )
    status = run("devnet", "status", "--json", cwd=tmp_path)
    assert status.returncode == 3 and json.loads(status.stdout)["running"] is False
    (tmp_path / "shape.json").write_bytes(DEEP)
    assert "shape.json" in refused(
        "verifier", "generate", "--config", "shape.json", "--out", "out", cwd=tmp_path
    )


def test_hostile_files_of_a_model(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_bytes(DEEP)
    assert "config.json" in refused("model", "import", "model", cwd=tmp_path)
    (model / "config.json").write_text(json.dumps(SHAPE))
    (model / "tokenizer.json").write_bytes(HOSTILE["deep below a field"])
    (model / "model.safetensors.index.json").write_bytes(DEEP)
    refused("model", "import", "model", cwd=tmp_path)
    (model / "model.safetensors.index.json").unlink()
    (model / "model.safetensors").write_bytes(struct.pack("<Q", len(DEEP)) + DEEP)
    refused("model", "import", "model", cwd=tmp_path)


def test_hostile_files_of_a_saved_model(tmp_path: Path) -> None:
    saved = tmp_path / ".gainsay" / "models" / "mine"
    saved.mkdir(parents=True)
    (saved / "manifest.json").write_bytes(DEEP)
    assert "import the model again" in refused("model", "inspect", "mine", cwd=tmp_path)


@contextmanager
def lying_endpoint(body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.long
@pytest.mark.parametrize("name", ["deep arrays", "an integer of a million digits"])
def test_a_lying_rpc_endpoint_ends_no_process(tmp_path: Path, name: str) -> None:
    address = "0x" + "11" * 20
    deployment = {"chain_id": 31337, "first_block": 0}
    deployment |= dict.fromkeys(("registry", "stake", "ledger", "game", "receipts", "payments"), address)
    (tmp_path / "deployment.json").write_text(json.dumps(deployment))
    with lying_endpoint(HOSTILE[name]) as url:
        sentence = refused(
            "settlements", "list", "--rpc-url", url, "--deployment", "deployment.json",
            cwd=tmp_path, code=ChainError.exit_code,
        )  # fmt: skip
    assert "answer" in sentence
