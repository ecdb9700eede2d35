"""Launches carry the tenant's style, under a URL of its own for each content (CTXT-06 to 08)."""

import pytest
from django.core.exceptions import ValidationError

from authfi.lib import tenancy
from tenants import policies
from tests.cast import ADMIN
from tests.server.conftest import Flow, answer_of, connect

MEMBERS = {
    *("color_background", "color_error", "color_highlight", "color_modal_backdrop"),
    *("color_success", "color_text", "dim_border_radius", "dim_font_size", "dim_spacing_size"),
    *("font_family_body", "font_family_heading"),
}


def launched(flow, person, app, **changed):
    """The token response of an EHR launch."""
    handle = flow.launch(person, app, **changed)
    answer = answer_of(flow.decide(flow.begin(scope="launch openid patient/*.rs", launch=handle)))
    return flow.exchange(answer["code"]).json()


def change(tenant, **changes):
    with tenancy.bind(tenant):
        policies.change(kind="style", changes=changes, actor=ADMIN)


@pytest.mark.spec("CTXT-06", "CTXT-07", "CORS-06", "CACH-03")
def test_a_launch_tells_the_tenants_style(ada_flow, dr_ada, app):
    url = launched(ada_flow, dr_ada, app)["smart_style_url"]
    assert url.startswith(f"{ada_flow.issuer}/style/")
    answer = Flow(ada_flow.tenant).client.get(url, headers={"Origin": "https://app.example"})
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"
    assert answer["Access-Control-Allow-Origin"] == "*"
    assert answer["Cache-Control"] == "public, max-age=31536000, immutable"
    assert not answer.cookies
    style = answer.json()
    assert set(style) == MEMBERS
    assert all(isinstance(value, str) and value for value in style.values())


@pytest.mark.spec("CTXT-08", "CTXT-12", "A1")
def test_a_changed_style_has_a_new_url_and_the_old_one_stays(ada_flow, dr_ada, app, mercy):
    before = launched(ada_flow, dr_ada, app)["smart_style_url"]
    change(mercy, color_highlight="#123456", dim_border_radius="0.5rem")
    after = launched(ada_flow, dr_ada, app)["smart_style_url"]
    assert after != before
    assert ada_flow.client.get(before).json()["color_highlight"] == "#0a6470"
    changed = ada_flow.client.get(after).json()
    assert (changed["color_highlight"], changed["dim_border_radius"]) == ("#123456", "0.5rem")
    change(mercy, color_highlight="#0a6470", dim_border_radius="6px")
    assert launched(ada_flow, dr_ada, app)["smart_style_url"] == before


@pytest.mark.spec("CTXT-06", "T4")
def test_a_style_is_its_tenants_own(ada_flow, dr_ada, app, mercy, lakeside):
    connect(lakeside)
    change(mercy, color_text="#222222")
    url = launched(ada_flow, dr_ada, app)["smart_style_url"]
    elsewhere = url.replace(mercy.slug, lakeside.slug)
    answer = Flow(lakeside).client.get(elsewhere)
    assert answer.status_code == 404
    assert answer["Access-Control-Allow-Origin"] == "*"
    assert "immutable" not in answer.get("Cache-Control", "")


@pytest.mark.spec("CTXT-06")
def test_the_ehrs_own_style_goes_before(ada_flow, dr_ada, app):
    own = "https://ehr.example/style.json"
    body = launched(ada_flow, dr_ada, app, members={"smart_style_url": own})
    assert body["smart_style_url"] == own


@pytest.mark.spec("CTXT-06")
def test_standalone_launches_have_no_style(pat_flow):
    assert "smart_style_url" not in pat_flow.exchange(pat_flow.code()).json()


@pytest.mark.spec("CTXT-07")
@pytest.mark.parametrize(
    "changes",
    [
        {"color_text": "red"},
        {"color_text": "#0a6470; background: url(x)"},
        {"dim_font_size": "huge"},
        {"dim_font_size": "16px\n"},
        {"font_family_body": "x;}"},
        {"font_family_body": ""},
        {"color_other": "#000000"},
    ],
)
def test_a_style_of_anything_else_is_refused(mercy, changes):
    with pytest.raises(ValidationError):
        change(mercy, **changes)
