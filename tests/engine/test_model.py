import os
import subprocess
import sys
from pathlib import Path


def test_loading_the_engine_leaves_no_usage_database_behind(tmp_path: Path) -> None:
    kept = {
        name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    }
    subprocess.run(
        [sys.executable, "-c", "import parley.engine.tiny"], check=True, timeout=60, env={**kept, "HOME": str(tmp_path)}
    )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
