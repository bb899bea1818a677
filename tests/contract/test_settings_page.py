"""The page of the core's settings: it is up to date, it leaves nothing out, and its examples load."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway import App
from gateway.config.loader import load

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "gateway" / "SETTINGS.md").read_text()
EXAMPLES = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
GENERATED = re.findall(r"<!-- config: .*?<!-- end of config -->", PAGE, re.DOTALL)
ROWS = [line for table in GENERATED for line in table.splitlines() if line.startswith("| `")]
UNESCAPED_BAR = re.compile(r"(?<!\\)\|")


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in UNESCAPED_BAR.split(row)[1:-1]]


def test_the_page_is_up_to_date(readmes):
    assert readmes.updated(PAGE) == PAGE, "run plugins/update_readmes.py"


def test_it_begins_with_the_whole_site_file(readmes):
    assert readmes.tables_in(PAGE)[0] == "gateway.config.model:Settings"


def test_every_table_of_settings_has_one_on_the_page():
    dotted = [row for row in ROWS if "." in cells(row)[0]]
    assert not dotted, "models that stand within others: give each a heading and a marker"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: cells(row)[0].strip("`"))
def test_every_setting_says_what_it_means(row):
    assert cells(row)[3], "a docstring below the field in the model"


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_is_a_site_file_that_loads(number, tmp_path):
    (tmp_path / "site.toml").write_text(EXAMPLES[number])
    App(load(str(tmp_path / "site.toml")))


def test_the_readme_leads_to_the_page():
    assert "](gateway/SETTINGS.md)" in (ROOT / "README.md").read_text()


def test_its_links_lead_somewhere():
    for target, heading in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", PAGE):
        path = ROOT / "gateway" / target if target else ROOT / "gateway" / "SETTINGS.md"
        assert path.exists(), target
        headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
        anchors = [re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings]
        assert not heading or heading in anchors, heading
