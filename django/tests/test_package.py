"""The package that `pip install` of this folder builds."""

import subprocess
import sys
import zipfile
from pathlib import Path

from basket import settings

FOLDER = Path(__file__).resolve().parents[1]


def test_the_wheel_contains_only_the_engine_with_its_types(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", tmp_path, FOLDER], check=True, timeout=60)
    (wheel,) = tmp_path.glob("edge_sessions-*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    sources = {f"edge_sessions/{path.name}" for path in (FOLDER / "edge_sessions").iterdir() if path.is_file()}
    assert held == sources
    assert "edge_sessions/py.typed" in held


def test_readme_shows_the_settings_of_the_demo() -> None:
    readme = (FOLDER / "README.md").read_text()
    for name in ("SESSION_ENGINE", "SESSION_COOKIE_NAME"):
        assert f'{name} = "{getattr(settings, name)}"' in readme
    assert f'"{settings.MIDDLEWARE[0]}",  # in place of Django\'s own' in readme
