"""Early pytest plugin: the test mode and a data folder of its own, before settings are read."""

import atexit
import os
import shutil
import tempfile

os.environ.setdefault("AUTHFI_MODE", "test")
# Thousands of hostile requests come from one address here; tests of limits set their own.
os.environ.setdefault("LIMIT_REFUSALS", "1000000")
# Workers that share a database share the keys that its rows are sealed under.
own_database = "PYTEST_XDIST_WORKER" in os.environ and "DATABASE_URL" not in os.environ
if "DATA_DIR" not in os.environ or own_database:
    folder = tempfile.mkdtemp(prefix="authfi-test-")
    os.environ["DATA_DIR"] = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
