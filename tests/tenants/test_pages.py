"""The page at the origin where no demo is installed, and error pages."""

import pytest
from django.test import RequestFactory

from tenants import pages


def test_the_origin_says_where_people_sign_in():
    answer = pages.start(RequestFactory().get("/"))
    assert answer.status_code == 200
    assert "address of its own" in answer.content.decode()


@pytest.mark.parametrize("path", ["/nowhere", "/t/nobody-here/login", "/t/", "/t/a%00b/login"])
def test_unknown_addresses_are_a_page_with_the_next_step(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert "Check the address" in answer.content.decode()
    assert answer["Cache-Control"] == "no-store"
