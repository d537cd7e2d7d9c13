"""The page on a sweep, as a reader meets it: in a real browser, from a file, with no network."""

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gsnr_sweep.papers import HOLDS, Claim
from gsnr_sweep.records.record import RunRecord
from gsnr_sweep.report.content import Picture, Section, Table
from gsnr_sweep.report.explorer import explorer_of
from gsnr_sweep.report.publish import write_page
from gsnr_sweep.report.run_links import RunLinks
from tests.tables import make_analysis, make_run

pytestmark = pytest.mark.slow

HOSTILE = (
    "</script><img src=x onerror=\"document.title='taken'\"> <b>{{ 7 * 7 }}</b> <a href='j:'>&lt;"
)
SERVER = RunLinks("https://mlflow.example.org/#/experiments/7/runs/", "gsnr-sweep ui 3f9a")
DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
POINTS = ".plot .scatterlayer .points path"


def runs(count: int = 6, epochs: tuple[int, ...] = (0, 10)) -> list[RunRecord]:
    """Runs whose sides of eq. (19) move up by one from epoch to epoch."""

    def record(k: int) -> RunRecord:
        metrics = {
            "osgr_rhs": lambda e: 0.1 * (k + 1) + epochs.index(e),
            "osgr_lhs": lambda e: 0.2 * (k + 1) + epochs.index(e),
            "loss": lambda e: 10.0 ** (k % 5),
        }
        return make_run(metrics, epochs=epochs, n=100 * (1 + k % 3), seed=k // 3)

    return [record(k) for k in range(count)]


def section_of_runs(*records: RunRecord, links: RunLinks | None = None) -> Section:
    explorer = explorer_of(make_analysis(*records), links=links)
    return Section("a sweep", explorer=explorer)


class Reader:
    """A reader of a page.

    Attributes:
        page: What is open.
        faults: Errors of scripts, and requests for anything but the page.
    """

    def __init__(self, page: Any, folder: Path) -> None:
        self.page = page
        self.faults: list[str] = []
        self._folder = folder
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda message: self.faults.append(message.text))
        page.on("request", self._note)

    def _note(self, request: Any) -> None:
        if not request.url.startswith((f"file://{self._folder}", "data:", "blob:")):
            self.faults.append(request.url)

    def open(self, *sections: Section) -> None:
        path = self._folder / "report.html"
        write_page(sections, path)
        self.page.goto(f"file://{path}")

    def choose(self, **chosen: str | bool) -> None:
        """Use the controls of the first sweep."""
        for name, value in chosen.items():
            control = self.page.locator(f".explorer [name={name}]").first
            if isinstance(value, bool):
                control.set_checked(value)
            elif name == "epoch":
                control.fill(value)
            else:
                control.select_option(label=value)

    def drawn(self) -> int:
        """How many points are drawn."""
        return int(self.page.locator(POINTS).count())

    def point(self, place: int = 0) -> tuple[float, float]:
        """Where the middle of a point is."""
        box = self.page.locator(POINTS).nth(place).bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def hover(self, place: int = 0) -> str:
        """What is said of a point under the mouse."""
        self.page.mouse.move(*self.point(place))
        label = self.page.locator(".hoverlayer .hovertext")
        label.wait_for()
        return str(label.text_content())

    def status(self) -> str:
        return str(self.page.locator(".explorer .status").first.text_content())

    def data(self, key: str) -> list[Any]:
        """What the traces of points hold."""
        found = self.page.evaluate(
            "key => document.querySelector('.plot').data.filter(one => one.mode == 'markers')"
            ".flatMap(one => one[key])",
            key,
        )
        return list(found)


@pytest.fixture
def reader(page: Any, tmp_path: Path) -> Iterator[Reader]:
    page.set_viewport_size({"width": 1200, "height": 1000})
    one = Reader(page, tmp_path)
    yield one
    assert one.faults == []


def test_it_opens_with_both_sides_at_the_last_epoch(reader: Reader) -> None:
    reader.open(section_of_runs(*runs()))
    assert reader.page.locator(".explorer").is_visible()
    assert reader.drawn() == 6
    assert sorted(reader.data("x")) == pytest.approx([1.1, 1.2, 1.3, 1.4, 1.5, 1.6])
    assert reader.status() == "6 points; epoch: 10."
    titles = reader.page.locator(".plot .g-xtitle, .plot .g-ytitle").all_text_contents()
    assert titles == ["osgr_rhs", "osgr_lhs"]
    assert reader.page.locator(".plot .legendtitletext").text_content() == "n"
    assert reader.page.locator(".plot .shapelayer path").count() == 1  # y = x
    _keep_picture(reader.page, "report")


def test_the_slider_changes_the_points(reader: Reader) -> None:
    reader.open(section_of_runs(*runs()))
    reader.choose(epoch="0")
    assert sorted(reader.data("x")) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert reader.status() == "6 points; epoch: 0."
    reader.choose(all=True)
    assert reader.drawn() == 12
    assert reader.status() == "12 points; all epochs."


def test_a_sweep_of_one_epoch_has_no_slider(reader: Reader) -> None:
    reader.open(section_of_runs(*runs(epochs=(3,))))
    assert reader.drawn() == 6
    assert reader.page.locator(".by-epoch:visible").count() == 0


def test_the_mouse_tells_the_run(reader: Reader) -> None:
    reader.open(section_of_runs(*runs()))
    said = reader.hover()
    assert said.startswith("n=100 ch=6 p_random=0.0 seed=0")
    for fact in ("n = 100", "seed = 0", "epoch 10", "osgr_rhs = 1.1", "osgr_lhs = 1.2"):
        assert fact in said


def test_a_click_leads_to_the_run_on_a_server(reader: Reader) -> None:
    reader.open(section_of_runs(*runs(), links=SERVER))
    assert not reader.page.locator(".chosen").is_visible()
    reader.page.mouse.click(*reader.point())
    link = reader.page.locator(".chosen a")
    link.wait_for()
    assert link.get_attribute("href") == f"{SERVER.address}{0:032x}"
    assert "n=100 ch=6 p_random=0.0 seed=0" in reader.page.locator(".chosen").inner_text()


def test_a_click_tells_the_command_where_the_store_is_a_file(reader: Reader) -> None:
    reader.open(section_of_runs(*runs(), links=RunLinks(command="gsnr-sweep ui 3f9a")))
    reader.page.mouse.click(*reader.point())
    reader.page.locator(".chosen").wait_for()
    assert reader.page.locator(".chosen a").count() == 0
    codes = reader.page.locator(".chosen code").all_text_contents()
    assert codes == [f"{0:032x}", "gsnr-sweep ui 3f9a"]


def test_any_column_is_an_axis_a_color_a_size_or_a_panel(reader: Reader) -> None:
    reader.open(section_of_runs(*runs(18)))
    reader.choose(x="loss", y="osgr_lhs", color="osgr_rhs", size="seed", panel="n")
    assert reader.drawn() == 18
    assert reader.page.locator(".plot .shapelayer path").count() == 0  # y = x says nothing here
    titles = reader.page.locator(".plot .annotation-text").all_text_contents()
    assert titles == ["n = 100", "n = 200", "n = 300"]
    assert reader.page.locator(".plot .colorbar").count() == 1
    widths = {round(size) for marker in reader.data("marker") for size in marker["size"]}
    assert len(widths) == 6
    assert "larger points: larger seed" in reader.status()
    reader.choose(panel="osgr_rhs", color="none")
    titles = reader.page.locator(".plot .annotation-text").all_text_contents()
    assert len(titles) == 4  # of many numbers a quarter each
    assert titles[0] == "osgr_rhs 1.1 to 1.5"
    _keep_picture(reader.page, "report_panels")


def test_courses_of_trainings(reader: Reader) -> None:
    reader.open(section_of_runs(*runs()))
    reader.choose(x="epoch", y="osgr_lhs")
    assert reader.drawn() == 12
    assert reader.page.locator(".explorer [name=epoch]").is_disabled()
    assert reader.page.locator(".plot .lines path").count() == 6


def test_logarithmic_axes_tell_what_they_cannot_show(reader: Reader) -> None:
    records = [
        make_run({"a": value, "b": 1.0 + k}) for k, value in enumerate((-1.0, 0.0, 1e-3, 1.0))
    ]
    for seed, record in enumerate(records):
        record.config["seed"] = seed
    reader.open(section_of_runs(*records))
    reader.choose(logx=True)
    assert reader.drawn() == 2
    assert "2 not above zero, which a logarithmic axis has no place for" in reader.status()


def test_a_run_without_a_value_is_told(reader: Reader) -> None:
    reader.open(section_of_runs(*runs(3), make_run({"osgr_rhs": 1.0}, epochs=(0, 10), n=7)))
    assert reader.drawn() == 3
    assert "1 without a value" in reader.status()


def test_the_same_axes_at_all_epochs(reader: Reader) -> None:
    reader.open(section_of_runs(*runs()))
    ranges = []
    for steady in (False, True):
        reader.choose(steady=steady)
        for epoch in ("0", "1"):
            reader.choose(epoch=epoch)
            ranges.append(
                reader.page.evaluate("document.querySelector('.plot').layout.xaxis.range")
            )
    assert ranges[0] != ranges[1]
    assert ranges[2] == ranges[3]


def test_hostile_names_stay_text(reader: Reader) -> None:
    records = [
        make_run({"osgr_rhs": k + 1.0, HOSTILE: 1.0 + k}, model=model, epochs=(0, 1))
        for k, model in enumerate((HOSTILE, "cnn"))
    ]
    records[0].name = HOSTILE
    section = section_of_runs(*records, links=RunLinks(command=HOSTILE))
    section.tables.append(Table(HOSTILE, ["run", HOSTILE], [[HOSTILE, "1"], ["b", "2"]], HOSTILE))
    section.claims = [Claim(HOSTILE, HOSTILE, HOLDS, HOSTILE)]
    reader.open(section)
    reader.choose(y=HOSTILE, color="model", panel="model", size=HOSTILE)
    short = HOSTILE[:59] + "…"
    assert reader.page.locator(".plot .g-ytitle").first.text_content() == short
    assert short in reader.page.locator(".plot .legendtext").all_text_contents()
    assert reader.hover().startswith(short)
    reader.page.mouse.click(*reader.point(0))
    reader.page.locator(".chosen").wait_for()
    reader.page.locator("th button").nth(1).click()
    inside = reader.page.evaluate(
        "[...document.querySelectorAll('main img, main a:not(.modebar-btn), .plot b')].length"
    )
    assert inside == 0
    assert "taken" not in reader.page.title()
    assert reader.page.locator("caption").text_content() == HOSTILE


def test_two_thousand_points_are_drawn_within_two_seconds(reader: Reader) -> None:
    reader.open(section_of_runs(*runs(1000)))
    assert reader.drawn() == 1000
    loaded = reader.page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    seconds = reader.page.evaluate(
        """async () => {
            const all = document.querySelector(".explorer [name=all]");
            const plot = document.querySelector(".plot");
            const start = performance.now();
            const drawn = new Promise(done => plot.once("plotly_afterplot", done));
            all.click();
            await drawn;
            return (performance.now() - start) / 1000;
        }"""
    )
    assert reader.drawn() == 2000
    assert seconds < 2
    print(f"opened in {loaded:.0f} ms, 2,000 points in {seconds:.2f} s")


def table_section() -> Section:
    rows = [["c", "0.50 [0.1, 0.9]"], ["a", "−2.00 [−3, −1]"], ["b", "–"], ["d 10", "10"]]
    section = section_of_runs(*runs())
    section.tables.append(Table("numbers", ["name", "number"], rows))
    times = [["x", "2 min"], ["y", "90 s"], ["z", "1.5 h"]]
    section.runs = Table("Runs", ["run", "wall time"], times)
    return section


def first_cells(reader: Reader, table: int) -> list[str]:
    found = reader.page.evaluate(
        "place => [...document.querySelectorAll('table')[place].tBodies[0].rows]"
        ".map(row => row.cells[0].textContent)",
        table,
    )
    return list(found)


def test_a_click_on_a_heading_sorts(reader: Reader) -> None:
    reader.open(table_section())
    heading = reader.page.get_by_role("button", name="number")
    orders = []
    for _ in range(3):
        heading.click()
        orders.append(first_cells(reader, 0))
    assert orders == [["a", "c", "d 10", "b"], ["d 10", "c", "a", "b"], ["c", "a", "b", "d 10"]]
    reader.page.get_by_role("button", name="name").click()
    assert first_cells(reader, 0) == ["a", "b", "c", "d 10"]
    assert reader.page.locator("th[aria-sort]").all_text_contents() == ["name"]


def test_durations_are_sorted_by_their_length(reader: Reader) -> None:
    reader.open(table_section())
    reader.page.locator("summary").filter(has_text="All 3 runs").click()
    reader.page.get_by_role("button", name="wall time").click()
    assert first_cells(reader, 1) == ["y", "x", "z"]


def test_evidence_is_folded_out(reader: Reader) -> None:
    section = section_of_runs(*runs())
    section.claims = [Claim("It holds.", "Fig. 1", HOLDS, "c = 0.99 over 6 runs.")]
    reader.open(section)
    evidence = reader.page.get_by_text("c = 0.99 over 6 runs.")
    assert not evidence.is_visible()
    reader.page.get_by_text("It holds.").click()
    assert evidence.is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_plot_has_the_colors_of_the_page(reader: Reader, scheme: str) -> None:
    reader.open(section_of_runs(*runs()))
    ground, word = {
        "light": ("rgb(255, 255, 255)", "rgb(28, 32, 36)"),
        "dark": ("rgb(20, 23, 26)", "rgb(230, 233, 236)"),
    }[scheme]
    reader.page.emulate_media(color_scheme=scheme)  # a plot that is there follows
    style = "(one, name) => getComputedStyle(one)[name]"
    behind = reader.page.locator(".plot .main-svg").first
    reader.page.wait_for_function(
        "ground => getComputedStyle(document.querySelector('.plot .main-svg')).backgroundColor"
        " == ground",
        arg=ground,
    )
    assert behind.evaluate(style, "backgroundColor") == ground
    label = reader.page.locator(".plot .xtick text").first
    assert label.evaluate(style, "fill") == word
    assert reader.hover().startswith("n=100")
    _keep_picture(reader.page, f"report_{scheme}")


def test_on_a_narrow_screen_nothing_sticks_out(reader: Reader) -> None:
    reader.page.set_viewport_size({"width": 400, "height": 900})
    reader.open(section_of_runs(*runs()))
    assert reader.page.evaluate("document.documentElement.scrollWidth") == 400
    reader.choose(panel="n")
    assert reader.page.evaluate("document.documentElement.scrollWidth") == 400
    _keep_picture(reader.page, "report_narrow")


def test_the_plot_follows_the_window(reader: Reader) -> None:
    reader.open(section_of_runs(*runs()))
    wide = reader.page.evaluate("document.querySelector('.plot').layout.width")
    reader.page.set_viewport_size({"width": 500, "height": 900})
    reader.page.wait_for_function(
        "wide => document.querySelector('.plot').layout.width < wide - 300", arg=wide
    )


def test_in_print_the_controls_are_gone_and_the_ground_is_white(reader: Reader) -> None:
    section = section_of_runs(*runs())
    section.claims = [Claim("It holds.", "Fig. 1", HOLDS, "c = 0.99 over 6 runs.")]
    reader.open(section)
    reader.page.emulate_media(media="print", color_scheme="dark")
    assert not reader.page.locator(".explorer form").is_visible()
    reader.page.wait_for_function(
        "getComputedStyle(document.querySelector('.plot .main-svg')).backgroundColor"
        " == 'rgb(255, 255, 255)'"
    )
    assert reader.drawn() == 6
    reader.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert reader.page.get_by_text("c = 0.99 over 6 runs.").is_visible()
    _keep_picture(reader.page, "report_print")


def test_several_sweeps_have_points_of_their_own(reader: Reader) -> None:
    reader.open(section_of_runs(*runs(6)), section_of_runs(*runs(3)), Section("none finished"))
    counts = reader.page.evaluate(
        "[...document.querySelectorAll('.explorer')]"
        f".map(one => one.querySelectorAll('{POINTS}').length)"
    )
    assert counts == [6, 3]
    reader.choose(all=True)
    assert reader.drawn() == 15


def test_without_scripts_the_figures_are_there(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "figure.png").write_bytes(DOT)
    section = table_section()
    section.pictures.append(Picture(tmp_path / "figure.png", "What it shows."))
    write_page([section], tmp_path / "report.html")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"file://{tmp_path / 'report.html'}")
    assert page.get_by_role("img", name="What it shows.").count() == 1
    assert page.get_by_text("What it shows.").is_visible()
    assert page.locator("table").first.is_visible()
    assert not page.locator(".explorer").is_visible()
    context.close()


def _keep_picture(page: Any, name: str) -> None:
    """Keep what a person may want to look at, where asked."""
    if folder := os.environ.get("GSNR_PICTURES"):
        page.screenshot(path=str(Path(folder, f"{name}.png")), full_page=True)
