"""Early pytest plugin: the test mode and a data folder of its own, before settings are read."""

import atexit
import os
import shutil
import tempfile

os.environ.setdefault("AUTHFI_MODE", "test")
if "DATA_DIR" not in os.environ or "PYTEST_XDIST_WORKER" in os.environ:
    folder = tempfile.mkdtemp(prefix="authfi-test-")
    os.environ["DATA_DIR"] = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
