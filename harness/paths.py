"""Where the repository's files are, and the programs that make builds or installs."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULE = ROOT / "dist" / "rest_sessions_filter.wasm"
BOOTSTRAP = ROOT / "envoy" / "envoy.yaml"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


def envoy_bin() -> Path:
    """The Envoy that make has chosen. Fails if the filter's module is not built."""
    assert "ENVOY_BIN" in os.environ, "ENVOY_BIN is not set: run these tests with `make test`"
    assert MODULE.is_file(), f"{MODULE} is missing: run these tests with `make test`"
    return Path(os.environ["ENVOY_BIN"])


def programs() -> Path:
    """The folder of the programs that `make programs` builds."""
    folder = TARGET / "debug"
    for name in ("rest-sessions", "accounts", "shop", "session-filter"):
        assert (folder / name).is_file(), f"{folder / name} is missing: run these tests with `make test`"
    return folder
