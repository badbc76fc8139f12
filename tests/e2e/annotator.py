"""An annotator at a browser: what a person does on Label Studio's pages, by the same ways."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Locator, Page, Route, expect, sync_playwright

from labelstudio_backend.sample import Account

# A container has no sandbox for it, and nothing may be asked of the internet.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
WINDOW = {"width": 1400, "height": 900}
# A machine that is busy with other tests is slow.
PATIENCE = 60_000
expect.set_options(timeout=PATIENCE)
# How Label Studio's page draws after a press of a key or of the mouse.
SETTLE = 300


class Annotator:
    """A person who is logged in.

    Parameters
    ----------
    page : Page
    label_studio : str
        Its address.
    album : Path
        Where screenshots go.
    """

    def __init__(self, page: Page, label_studio: str, album: Path) -> None:
        self.page = page
        self.label_studio = label_studio
        self.album = album
        self.turned = False

    def log_in(self, account: Account) -> None:
        """Log in."""
        self.page.goto(f"{self.label_studio}/user/login/")
        self.page.fill("input[name=email]", account.email)
        self.page.fill("input[name=password]", account.password)
        with self.page.expect_navigation():
            self.page.click("button[type=submit]")

    def open_task(self, project: int, task: int, *, turned: bool = False) -> None:
        """Open a task from the list, and wait until its image is drawn; then turn it clockwise.

        By its own address, Label Studio would load it twice, and show the one or the other.
        """
        listed = self.page.request.get(f"{self.label_studio}/api/tasks?project={project}").json()
        row = [each["id"] for each in listed["tasks"]].index(task)
        self.page.goto(f"{self.label_studio}/projects/{project}/data")
        rows = self.page.locator(".lsf-table-row")
        expect(rows).to_have_count(len(listed["tasks"]))
        self.page.wait_for_load_state("networkidle")
        rows.nth(row).click()
        self.page.wait_for_selector("canvas")
        self.page.wait_for_function(
            "() => document.querySelector('img[alt=image]')?.naturalWidth > 0"
        )
        # A page that is still loading tasks draws itself anew.
        self.page.wait_for_load_state("networkidle")
        self.turned = turned
        if turned:
            self.page.click("button[aria-label=rotate-right]")
        self.page.wait_for_timeout(SETTLE)

    def use(self, tool: str) -> None:
        """Switch smart prompts on, and go through the smart tools to one of them."""
        switch = self.page.locator("[data-testid=bottombar-auto-annotation-toggle]")
        if not switch.is_checked():
            switch.click(force=True)
        chosen = self.page.locator(f"button.lsf-tool_smart.lsf-tool_active[aria-label={tool}]")
        for _ in range(4):
            self.page.wait_for_timeout(SETTLE)
            if chosen.count():
                return
            self.page.locator("button.lsf-tool_smart:not([aria-label])").click()
        raise AssertionError(f"there is no smart {tool}")

    def click(self, key: str, x: float, y: float, *, negative: bool = False) -> None:
        """Choose a label by its key, click at x, y of the image, and wait for the mask."""
        self.page.keyboard.press(key)
        with self._answered():
            if negative:
                self.page.keyboard.down("Alt")
            self.page.mouse.click(*self._place(x, y))
            if negative:
                self.page.keyboard.up("Alt")

    def drag(self, key: str, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Choose a label by its key, drag a box from one x, y to another, wait for the mask."""
        self.page.keyboard.press(key)
        with self._answered():
            self.page.mouse.move(*self._place(*start))
            self.page.mouse.down()
            self.page.mouse.move(*self._place(*end), steps=5)
            self.page.mouse.up()

    def accept(self) -> None:
        """Accept what is suggested."""
        self.page.click("[data-testid=bottombar-accept-suggestions-button]")
        self.page.wait_for_timeout(SETTLE)

    def submit(self) -> None:
        """Submit the annotation, and wait until it is stored."""
        with self.page.expect_response(
            lambda each: each.request.method == "POST" and "/annotations" in each.url
        ):
            self.page.click("[data-testid=bottombar-submit-button]")

    @property
    def regions(self) -> Locator:
        """The labels of the regions that are listed."""
        return self.page.locator("[class*=outliner-item__title]")

    def take(self, name: str) -> None:
        """Take a screenshot."""
        self.page.wait_for_timeout(SETTLE)
        self.page.screenshot(path=self.album / f"label-studio-{name}.png")

    @contextmanager
    def _answered(self) -> Iterator[None]:
        # A label's key needs a moment to take effect.
        self.page.wait_for_timeout(SETTLE)
        with self.page.expect_response(lambda each: "interactive-annotating" in each.url):
            yield
        self.page.wait_for_timeout(SETTLE)

    def _place(self, x: float, y: float) -> tuple[float, float]:
        """Where a pixel of the image is on the page."""
        image = self.page.locator("img[alt=image]")
        box = image.bounding_box()
        assert box is not None
        width, height = image.evaluate("each => [each.naturalWidth, each.naturalHeight]")
        across, down = x / width, y / height
        if self.turned:
            across, down = 1 - down, across
        return box["x"] + box["width"] * across, box["y"] + box["height"] * down


@contextmanager
def browsing(chromium: Path) -> Iterator[Page]:
    """A window of a browser that reaches this machine alone."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        page = browser.new_page(viewport=WINDOW)
        page.set_default_timeout(PATIENCE)
        page.route("**/*", _stay_here)
        yield page
        browser.close()


def _stay_here(route: Route) -> None:
    address = urlsplit(route.request.url)
    here = address.hostname in ("127.0.0.1", "localhost") or address.scheme in ("data", "blob")
    route.continue_() if here else route.abort()
