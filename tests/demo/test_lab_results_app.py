"""The Lab Results App as it is served: unmodified library, strict policy, nothing else."""

import hashlib
import re
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders

from smart.demo.lab_results_app import FOLDER

VENDOR = Path("static/vendor")
PAGES = ("", "launch.html")


def test_the_vendored_library_is_the_published_one():
    listed = re.findall(r"`(\S+\.js)` \| `([0-9a-f]{64})`", (VENDOR / "README.md").read_text())
    assert listed
    for name, digest in listed:
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest
        assert (VENDOR / name).with_name("LICENSE").exists()


@pytest.mark.parametrize("page", PAGES)
def test_pages_run_under_the_strict_policy(client, page):
    response = client.get(f"/demo/lab-results/{page}")
    policy = response["Content-Security-Policy"]
    assert response.status_code == 200
    assert "script-src 'self'" in policy
    assert "connect-src 'self'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("page", PAGES)
def test_everything_a_page_names_is_served(client, page):
    text = client.get(f"/demo/lab-results/{page}").content.decode()
    named = re.findall(r'(?:src|href)="([^"#]+)"', text)
    assert "../../static/vendor/fhirclient/fhir-client.pure.min.js" in named
    for url in named:
        if url.startswith("../../static/"):
            assert finders.find(url.removeprefix("../../static/")), url
        elif url != "./":
            assert client.get(f"/demo/lab-results/{url}").status_code == 200, url


def test_scripts_have_the_type_that_browsers_demand_of_modules(client):
    for script in FOLDER.glob("*.js"):
        kind = client.get(f"/demo/lab-results/{script.name}")["Content-Type"]
        assert kind.startswith("text/javascript"), script.name


@pytest.mark.parametrize(
    "name", ["nothing.html", "..%2Fcast.py", "%2e%2e%2fcast.py", "..\\cast.py"]
)
def test_nothing_outside_the_folder_is_served(client, name):
    assert client.get(f"/demo/lab-results/{name}").status_code == 404
