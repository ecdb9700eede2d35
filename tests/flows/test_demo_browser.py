"""The demo as a newcomer clicks through it: real server, real app, real library, real browser.

The second app is the same one served from another origin, so that CORS and the pages'
`form-action` are met as a foreign app meets them.
"""

import json
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Console, axe
from tests.demo_server import REGISTER, Account, Demo, new_demo, second_origin, served
from tests.services import free_port

pytestmark = pytest.mark.browser

ATTEMPTS = ("patient", "type", "write")
REFUSED = r"status of 40[34]"


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Iterator[Demo]:
    """The served demo, with a second app registered, and its accounts."""
    demo = new_demo(tmp_path_factory.mktemp("demo"))
    second_port = int(demo.second_origin.rpartition(":")[2])
    with served(demo), second_origin(demo.origin, second_port):
        demo.run("-c", REGISTER, demo.second_origin)
        info = json.loads(demo.run("manage.py", "demo_info", "--json"))
        demo.accounts = {
            user["email"]: Account(user["email"], user["password"], user["totp_secret"])
            for tenant in info["tenants"]
            for user in tenant["users"]
        }
        yield demo


def sign_in(page: Page, account: Account) -> None:
    """Fill in the hospital's sign-in pages."""
    page.get_by_label("E-mail").fill(account.email)
    page.get_by_label("Password", exact=True).fill(account.password)
    page.locator("main button[type=submit], main button:not([type])").first.click()
    if account.secret:
        page.locator("input[name=code]").fill(account.code())
        page.locator("main button[type=submit], main button:not([type])").first.click()


def open_chart(page: Page, demo: Demo, email: str, patient: str) -> None:
    """From the start page into a chart of the EHR."""
    page.goto(demo.origin)
    page.get_by_role("link", name="Open the EHR").click()
    sign_in(page, demo.accounts[email])
    page.get_by_role("link", name=patient).click()
    expect(page.get_by_role("heading", name=patient)).to_be_visible()


def launch(page: Page, app: str) -> None:
    """From the newest visit of the open chart."""
    page.get_by_role("button", name=f"Launch {app}").first.click()


def decide(page: Page, decision: str) -> None:
    page.get_by_role("button", name=decision, exact=True).click()


def expect_record(page: Page, patient: str, user: str) -> None:
    """The app shows whose record it is, who looks at it, tables and a plot."""
    expect(page.locator("#patient-name")).to_have_text(patient)
    expect(page.locator("#user")).to_have_text(user)
    for title in ("Laboratory results", "Vital signs"):
        table = page.get_by_role("table", name=title)
        expect(table).to_be_visible()
        assert table.get_by_role("row").count() > 5
    plot = page.get_by_role("img", name="Glucose over time")
    expect(plot).to_be_visible()
    assert plot.locator(".dot").count() > 1


def expect_refusals(page: Page, console: Console) -> None:
    """Each attempt is answered with a status and an explanation, and shows nothing."""
    console.expect(REFUSED)
    for attempt in ATTEMPTS:
        page.locator(f"[data-attempt={attempt}]").click()
        answer = page.locator(".answer").first
        expect(page.locator(".answer")).to_have_count(ATTEMPTS.index(attempt) + 1)
        expect(answer.locator(".alert-title")).to_contain_text("refused (40")
        answer.locator("summary").click()
        outcome = json.loads(answer.locator("pre").inner_text())
        assert outcome["resourceType"] == "OperationOutcome"
        assert outcome["issue"][0]["severity"] in ("error", "fatal")
        assert "No explanation" not in answer.inner_text()


@pytest.mark.spec("EHRL-01", "EHRL-02", "EHRL-04", "CTXT-02", "CTXT-04", "OIDC-01")
def test_a_doctor_launches_the_app_from_the_ehr(page, demo, console):
    open_chart(page, demo, "dr.smith@hospital.com", "Margaret Ellis")
    assert axe(page) == []
    signed_in = page.url
    launch(page, "Lab Results App")

    expect(page.get_by_role("heading", level=1)).to_contain_text("Margaret Ellis")
    assert "/consent/" in page.url, "there must be no second sign-in"
    expect(page.locator("main")).to_contain_text("View")
    expect(page.locator("main")).to_contain_text("Know")
    decide(page, "Allow")

    expect_record(page, "Margaret Ellis", "Dr. Anna Smith")
    expect(page.locator("#visit")).to_contain_text("Opened from the visit of")
    assert page.url == f"{demo.origin}/demo/lab-results/"
    assert axe(page) == []
    expect_refusals(page, console)

    page.reload()
    expect_record(page, "Margaret Ellis", "Dr. Anna Smith")
    page.goto(signed_in)
    expect(page.get_by_role("heading", name="Margaret Ellis")).to_be_visible()


@pytest.mark.spec("STND-01", "STND-02")
def test_a_patient_opens_the_app_himself(page, demo, console):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(demo.origin)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("link", name="Open the Lab Results App").click()
    assert axe(page) == []
    page.get_by_role("button", name="Sign in with General Hospital").click()
    sign_in(page, demo.accounts["john.doe@email.com"])
    expect(page.get_by_role("heading", level=1)).to_contain_text("your")
    decide(page, "Allow")

    expect_record(page, "John Doe", "John Doe")
    expect(page.locator("#patient-facts")).to_contain_text("12345")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expect_refusals(page, console)


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the control of that accessible name has the focus, and shows it."""
    wanted = page.get_by_role("textbox", name=name).or_(page.get_by_role("button", name=name))
    for _ in range(40):
        page.keyboard.press("Tab")
        if wanted.evaluate_all("all => all.includes(document.activeElement)"):
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
            return
    raise AssertionError(f"{name} cannot be reached by keyboard")


@pytest.mark.spec("STND-02", "STND-05", "C10")
def test_a_doctor_picks_a_patient_and_answers_by_keyboard_alone(page, demo):
    page.goto(f"{demo.origin}/demo/lab-results/")
    page.get_by_role("button", name="Sign in with General Hospital").click()
    sign_in(page, demo.accounts["dr.smith@hospital.com"])
    expect(page.get_by_role("heading", name="Choose a patient")).to_be_visible()
    assert axe(page) == []
    tab_to(page, "Name")
    page.keyboard.type("doe")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Choose Jane Doe")).to_be_visible()
    assert axe(page) == []
    tab_to(page, "Choose Jane Doe")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Jane Doe")
    tab_to(page, "Allow")
    page.keyboard.press("Space")
    expect_record(page, "Jane Doe", "Dr. Anna Smith")
    expect(page.locator("#patient-facts")).to_contain_text("5 Nov 1982")


@pytest.mark.spec("REVO-05", "GRNT-04")
def test_a_patient_lets_the_app_see_less_and_it_does(page, demo, console):
    page.goto(f"{demo.origin}/demo/lab-results/")
    page.get_by_role("button", name="Sign in with General Hospital").click()
    sign_in(page, demo.accounts["john.doe@email.com"])
    decide(page, "Allow")
    expect_record(page, "John Doe", "John Doe")

    own = page.context.new_page()
    own.goto(f"{demo.hospital}/account")
    own.get_by_role("link", name="Change what it may see").first.click()
    own.get_by_role("checkbox", name="View your test results and vital signs").uncheck()
    assert axe(own) == []
    own.get_by_role("button", name="Save").click()
    expect(own.get_by_role("status")).to_contain_text("Saved.")
    expect(own.get_by_role("article").first).not_to_contain_text("test results")
    assert axe(own) == []

    console.expect("status of 403")
    expect_not_shared(page)
    expect(page.locator("#patient-name")).to_have_text("John Doe")
    assert axe(page) == []


def expect_not_shared(page: Page) -> None:
    """Within 5 seconds the app is told no; it says so and shows what it still may."""
    for _ in range(10):
        page.reload()
        expect(page.locator("#record")).to_be_visible()
        if page.get_by_text("Not shared with this app.").count() == 2:
            break
        page.wait_for_timeout(500)
    expect(page.get_by_text("Not shared with this app.")).to_have_count(2)
    expect(page.locator("#detail")).to_be_hidden()


@pytest.mark.spec("C3")
def test_a_remembered_answer_is_not_asked_for_again(page, demo):
    page.goto(order_entry(demo))
    sign_in(page, demo.accounts["jane.doe@email.com"])
    page.get_by_role("checkbox", name="Do not ask me again for a year").check()
    assert axe(page) == []
    decide(page, "Allow")
    expect(page.get_by_text("AuthFI has sent back a code.")).to_be_visible()

    page.goto(order_entry(demo))
    expect(page.get_by_text("AuthFI has sent back a code.")).to_be_visible()

    page.goto(f"{demo.hospital}/account")
    card = page.get_by_role("article", name="Order Entry")
    expect(card).to_contain_text("It does not ask you again for this.")
    card.get_by_role("link", name="Stop access").click()
    page.get_by_role("button", name="Stop access").click()
    expect(page.get_by_role("status")).to_contain_text("must ask you")

    page.goto(order_entry(demo))
    expect(page.get_by_role("button", name="Allow", exact=True)).to_be_visible()


def order_entry(demo: Demo) -> str:
    """Where Order Entry, an app with a secret, sends the browser."""
    asked = {
        "response_type": "code",
        "client_id": "order-entry",
        "redirect_uri": f"{demo.origin}/demo/order-entry/",
        "scope": "launch/patient openid patient/Patient.rs patient/MedicationRequest.rs",
        "aud": f"{demo.hospital}/fhir",
        "state": "s" * 22,
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
    }
    return f"{demo.hospital}/oauth/authorize?{urlencode(asked)}"


@pytest.mark.spec("AUTZ-15", "ERRS-02")
def test_after_deny_the_app_says_so_and_starts_again(page, demo):
    page.goto(f"{demo.origin}/demo/lab-results/")
    page.get_by_role("button", name="Sign in with General Hospital").click()
    sign_in(page, demo.accounts["jane.doe@email.com"])
    decide(page, "Deny")

    expect(page.get_by_role("heading", name="Access was refused")).to_be_visible()
    expect(page.locator("#record")).to_be_hidden()
    assert "access_denied" in page.url
    assert axe(page) == []
    page.get_by_role("button", name="Start again").click()
    page.get_by_role("button", name="Sign in with General Hospital").click()
    decide(page, "Allow")
    expect_record(page, "Jane Doe", "Jane Doe")


@pytest.mark.spec("CORS-02", "CORS-03", "CORS-04", "EHRL-09")
def test_an_app_of_another_origin_is_launched_from_the_ehr(page, demo, console):
    open_chart(page, demo, "nurse.jones@hospital.com", "Margaret Ellis")
    launch(page, "Second Lab App")
    decide(page, "Allow")

    expect_record(page, "Margaret Ellis", "Peter Jones")
    assert page.url == f"{demo.second_origin}/demo/lab-results/"
    expect_refusals(page, console)


@pytest.mark.spec("CORS-01", "CORS-02")
def test_a_patient_signs_in_from_an_app_of_another_origin(page, demo):
    """Sign-in and consent forms end at the app's origin: `form-action` names it."""
    page.goto(
        f"{demo.second_origin}/demo/lab-results/?clientId=second-lab&iss={demo.hospital}/fhir"
    )
    page.get_by_role("button", name="Sign in with General Hospital").click()
    sign_in(page, demo.accounts["john.doe@email.com"])
    decide(page, "Deny")
    expect(page.get_by_role("heading", name="Access was refused")).to_be_visible()
    assert page.url.startswith(f"{demo.second_origin}/demo/lab-results/?error=access_denied")

    page.goto(
        f"{demo.second_origin}/demo/lab-results/?clientId=second-lab&iss={demo.hospital}/fhir"
    )
    page.get_by_role("button", name="Sign in with General Hospital").click()
    decide(page, "Allow")
    expect_record(page, "John Doe", "John Doe")


@pytest.mark.spec("CORS-02", "CORS-05")
def test_an_origin_that_nobody_registered_gets_no_token(page, demo, console):
    """Redirect URIs of an app in development fit any local port, its origins do not."""
    console.expect("CORS policy|ERR_FAILED")
    port = free_port()
    with second_origin(demo.origin, port):
        page.goto(f"http://localhost:{port}/demo/lab-results/?iss={demo.hospital}/fhir")
        page.get_by_role("button", name="Sign in with General Hospital").click()
        sign_in(page, demo.accounts["john.doe@email.com"])
        decide(page, "Allow")
        expect(page.get_by_role("heading", name="Something went wrong")).to_be_visible()
        expect(page.locator("#problem-text")).to_contain_text("cannot be reached")


@pytest.mark.spec("EHRL-10")
def test_a_launch_signs_nobody_in(page, demo, browser):
    open_chart(page, demo, "nurse.jones@hospital.com", "Margaret Ellis")
    answer = page.request.post(
        f"{page.url}/launch",
        form={
            "csrfmiddlewaretoken": page.locator("[name=csrfmiddlewaretoken]").first.input_value(),
            "encounter": page.locator("[name=encounter]").first.input_value(),
            "client_id": "lab-results",
        },
        headers={"Origin": demo.origin},
        max_redirects=0,
    )
    assert answer.status == 303

    stranger = browser.new_context()
    try:
        other = stranger.new_page()
        other.goto(answer.headers["location"])
        other.wait_for_url("**/t/general-hospital/login?*")
        sign_in(other, demo.accounts["admin@hospital.com"])
        expect(other.get_by_role("heading", name="Access was refused")).to_be_visible()
    finally:
        stranger.close()


def test_the_start_page_keeps_codes_fresh_without_a_reload(page, demo):
    page.clock.install()
    page.goto(demo.origin)
    assert axe(page) == []
    key = "general-hospital/dr.smith@hospital.com"
    codes = page.request.get(f"{demo.origin}/demo/codes").json()["codes"] | {key: "271828"}
    page.route("**/demo/codes", lambda route: route.fulfill(json={"codes": codes, "seconds": 30}))
    page.clock.fast_forward(31_000)
    for shown in page.locator(f'[data-code="{key}"]').all():
        expect(shown).to_have_text("271828")


def test_an_unknown_hospital_is_a_readable_error(page, demo, console):
    """The page's policy lets the app talk to its own server only."""
    console.expect("Content Security Policy|Refused to connect|Fetch API cannot load")
    page.goto(f"{demo.origin}/demo/lab-results/launch.html?iss=https://evil.example/fhir&launch=x")
    expect(page.locator("#problem-text")).to_contain_text("evil.example")
    assert axe(page) == []
