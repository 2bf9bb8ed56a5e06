"""The browser journey in headless Chromium against `rollcall demo`. See `run`."""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import urllib.request

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "Support"))
from rollcall_process import free_port, wait_for  # noqa: E402

ROLLCALL, SCREENSHOTS = sys.argv[1], pathlib.Path(sys.argv[2])
SCREENSHOTS.mkdir(parents=True, exist_ok=True)
checks = 0


def check(condition, what):
    global checks
    checks += 1
    if not condition:
        raise SystemExit(f"FAILED: {what}")
    print(f"  ok  {what}")


def call(method, path, body=None):
    request = urllib.request.Request(
        demo["url"] + path, None if body is None else json.dumps(body).encode(), method=method,
        headers={"Authorization": "Bearer " + demo["api_key"], "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as response:
        text = response.read()
        return json.loads(text) if text else None


def new_link(user, **more):
    return call("POST", "/v1/link-sessions", {"user_id": user, "user_label": f"{user}@example.com", **more})["url"]


def look(name):
    """One screenshot of the page in each of four ways, and what must hold for every page of ours."""
    for scheme in ("light", "dark"):
        driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        for device, width, height in (("phone", 390, 844), ("desktop", 1280, 900), ("narrow", 320, 640)):
            driver.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})
            overflow = driver.execute_script(
                "return document.documentElement.scrollWidth - document.documentElement.clientWidth")
            check(overflow <= 0, f"{name}: nothing to scroll sideways at {width} px, {scheme}")
            driver.execute_script("document.getAnimations().forEach(a => a.finish())")
            if device != "narrow":
                driver.save_screenshot(str(SCREENSHOTS / f"{name}-{device}-{scheme}.png"))
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    ours = driver.current_url.startswith(demo["url"])
    if ours:
        check(len(driver.find_elements(By.TAG_NAME, "h1")) == 1, f"{name}: one h1")
        check(driver.find_element(By.TAG_NAME, "html").get_attribute("lang"), f"{name}: the language is said")
        check(len(driver.find_elements(By.TAG_NAME, "main")) == 1, f"{name}: a main landmark")
        check(driver.title.strip() != "", f"{name}: a title: {driver.title}")
        names = driver.execute_script(
            "return performance.getEntriesByType('resource').map(r => r.name).concat(location.href)")
        check(all(n.startswith(demo["url"]) for n in names), f"{name}: every resource is ours")
        for button in driver.find_elements(By.CSS_SELECTOR, "button"):
            check(button.size["height"] >= 44, f"{name}: '{button.text}' is tall enough to touch")
    complaints = [e["message"] for e in driver.get_log("browser")
                  if e["level"] == "SEVERE" and "favicon" not in e["message"]
                  and "status of 4" not in e["message"]]
    check(not complaints, f"{name}: the console is silent {complaints}")


def press(text):
    """Presses the button that says `text` and waits until another page stands there."""
    button = next(b for b in driver.find_elements(By.CSS_SELECTOR, "button") if text.lower() in b.text.lower())
    page = driver.find_element(By.TAG_NAME, "html")
    button.click()
    WebDriverWait(driver, 20).until(lambda d: d.find_element(By.TAG_NAME, "html") != page)


def heading():
    return driver.find_element(By.TAG_NAME, "h1").text


def code():
    """The stable code at the foot of a page that says why something did not work."""
    return driver.find_element(By.CSS_SELECTOR, "footer code").text


def text():
    return driver.find_element(By.TAG_NAME, "body").text


POSTED = """
id: posted
name: Posted
variables: {issuer: {description: the issuer}}
issuer: "{issuer}"
authorization: {scopes: [openid, profile], response_mode: form_post}
client_authentication: client_secret_basic
profile:
  requests: {userinfo: {url: "{userinfo_endpoint}"}}
  claims: {sub: $.userinfo.sub, name: $.userinfo.name}
"""


def posted():
    """A service at http://localhost, whose provider at http://127.0.0.1 is another site to a browser: its answer is a
    form that the browser posts, and that carries no Lax cookie."""
    home = pathlib.Path(folder.name) / "posted"
    (home / "manifests").mkdir(parents=True)
    (home / "manifests" / "posted.yaml").write_text(POSTED)
    own_port = free_port()
    base, provider = f"http://localhost:{own_port}", f"http://127.0.0.1:{simulator_port}"
    (home / "rollcall.yaml").write_text(f"""
public_url: "{base}"
providers_directory: "{home}/manifests"
application: {{return_to: ["{base}"]}}
http: {{port: {own_port}}}
database: {{path: "{home}/rollcall.sqlite"}}
vault: {{key_file: "{home}/master.key"}}
outgoing: {{allowed_private_hosts: [127.0.0.1]}}
providers:
  posted: {{client_id: demo-posted, client_secret: EXAMPLE-posted-secret, variables: {{issuer: "{provider}/oidc/work"}}}}
""")
    order = {"site": "oidc/work", "client": {
        "id": "demo-posted", "secret": "EXAMPLE-posted-secret", "redirect_uris": [base + "/callback/posted"]}}
    urllib.request.urlopen(urllib.request.Request(
        provider + "/control", json.dumps(order).encode(), {"Content-Type": "application/json"}), timeout=20).read()
    key = subprocess.run(
        [ROLLCALL, "keys", "create", "browser", "--scope", "links:write,accounts:read", "--config",
         home / "rollcall.yaml"], check=True, capture_output=True, text=True).stdout.strip()
    process = subprocess.Popen([ROLLCALL, "serve", "--config", home / "rollcall.yaml"], stdout=log, stderr=log)
    try:
        wait_for(f"http://127.0.0.1:{own_port}/readyz", process)
        request = urllib.request.Request(
            f"http://127.0.0.1:{own_port}/v1/link-sessions",
            json.dumps({"user_id": "ada", "user_label": "ada@example.com", "provider": "posted"}).encode(),
            headers={"Authorization": "Bearer " + key, "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as response:
            link = json.load(response)["url"]
        driver.get(link)
        press("continue")
        check(driver.current_url.startswith(provider), "posted: the browser is at another site")
        press("allow")
        check(heading() == "Back to the application", f"posted: the answer is a form: {heading()}")
        cookies = {c["name"]: c for c in driver.execute_cdp_cmd("Network.getCookies", {"urls": [base]})["cookies"]}
        check(cookies["rollcall"]["sameSite"] == "Lax" and cookies["rollcall-post"]["sameSite"] == "None",
              "posted: one cookie is Lax, the other goes with other sites' POSTs")
        press("continue")
        check(heading() == "Posted is linked",
              f"security 18: what another site's form posts in a real browser links: {heading()}")
        check("code=" not in driver.current_url, "posted: no code in the address bar")
        names = {c["name"] for c in driver.execute_cdp_cmd("Network.getCookies", {"urls": [base]})["cookies"]}
        check("rollcall-post" not in names, "posted: the cookie for other sites' POSTs ended with the link")
    finally:
        process.terminate()
        process.wait(timeout=20)


folder = tempfile.TemporaryDirectory()
port, simulator_port = free_port(), free_port()
log = open(pathlib.Path(folder.name) / "log", "wb")
service = subprocess.Popen(
    [ROLLCALL, "demo", "--json", "--port", str(port), "--simulator-port", str(simulator_port), "--data", folder.name],
    stdout=subprocess.PIPE, stderr=log)
driver = None
try:
    demo = json.loads(service.stdout.readline())
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--disable-background-networking", "--disable-component-update", "--no-first-run",
                     "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"):
        options.add_argument(argument)
    options.binary_location = next(
        filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))

    for provider, name in (("discord", "Discord"), ("github", "GitHub"), ("google", "Google")):
        driver.get(new_link("ada", provider=provider))
        check("ada@example.com" in text(), f"{provider}: the page says who is about to be linked")
        check(name in text(), f"{provider}: and with which provider")
        if provider == "discord":
            look("confirm")
        press(f"continue")
        check("simulat" in text().lower(), f"{provider}: the consent page says that it is simulated")
        look(f"consent-{provider}")
        press("allow")
        check(heading() == f"{name} is linked",
              f"security 30: linking works under the page's own policy, whose form leads to the provider: {heading()}")
        check("code=" not in driver.current_url, f"{provider}: the code left the address bar")
        if provider == "discord":
            look("success")
    accounts = call("GET", "/v1/users/ada/accounts")["data"]
    check(len(accounts) == 3, "three accounts are linked")

    driver.get(new_link("ada"))
    for name in ("Discord", "GitHub", "Google"):
        check(name in text(), f"chooser: {name}")
    look("chooser")
    linked_before = {account["provider"] for account in accounts}
    press("unlink")
    asked = heading()
    name = asked.removeprefix("Unlink ").removesuffix("?")
    check(asked == f"Unlink {name}?" and name.lower() in linked_before, f"unlink: it is asked first: {asked}")
    check(len(call("GET", "/v1/users/ada/accounts")["data"]) == 3, "unlink: nothing happened yet")
    look("unlink")
    press("keep")
    check(len(call("GET", "/v1/users/ada/accounts")["data"]) == 3, "unlink: who keeps it keeps it")
    press("unlink")
    check(heading() == asked, "unlink: it is asked again")
    press("unlink")
    left = {account["provider"] for account in call("GET", "/v1/users/ada/accounts")["data"]}
    check(left == linked_before - {name.lower()}, f"chooser: {name} is unlinked, the others are not")
    check(heading() == "Your linked accounts", f"chooser: {heading()}")
    look("chooser-after")

    driver.get(new_link("bob", provider="github"))
    press("continue")
    press("deny")
    check(heading() == "Nothing was linked" and code() == "access_denied", f"failure: {heading()} ({code()})")
    check(call("GET", "/v1/users/bob/accounts")["data"] == [], "failure: nothing was linked")
    look("failure")

    driver.get(new_link("bob", provider="github"))
    press("continue")
    press("allow")
    check(heading() == "That account is already linked" and code() == "account_held",
          f"held: {heading()} ({code()})")
    check(call("GET", "/v1/users/bob/accounts")["data"] == [], "held: it stays where it was")
    look("held")

    link = new_link("ada", provider="github")
    driver.get(link)
    press("continue")
    press("allow")
    check(heading() == "GitHub is linked", f"again: {heading()}")
    driver.get(link)
    check(heading() == "This link has been used" and code() == "link_used", f"used: {heading()} ({code()})")
    look("used")
    driver.get(demo["url"] + "/nothing-here")
    check(heading() == "Not found" and code() == "route_not_found", f"not-found: {heading()} ({code()})")
    look("not-found")
    posted()
    print(f"browser: {checks} checks passed; screenshots in {SCREENSHOTS}")
except BaseException:
    log.flush()
    print(open(log.name, errors="replace").read()[-5000:], file=sys.stderr)
    if driver:
        print(driver.current_url.split("?")[0], driver.find_element(By.TAG_NAME, "body").text, file=sys.stderr)
    raise
finally:
    if driver:
        driver.quit()
    service.terminate()
    try:
        service.wait(timeout=20)
    except subprocess.TimeoutExpired:
        service.kill()
