import re
from pathlib import Path

from dev.dashboard import RED
from dev.template import TEMPLATE

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_every_make_target_in_the_readme_exists() -> None:
    targets = {line.partition(":")[0] for line in (ROOT / "Makefile").read_text().splitlines() if ":" in line}
    named = {word for line in README.splitlines() if line.startswith("$ make ") for word in line.split()[2:3]}
    assert named
    assert named <= targets


def test_every_path_in_the_map_of_the_source_exists() -> None:
    map_of_the_source = README.partition("## Develop")[2]
    rows = [line for line in map_of_the_source.splitlines() if line.startswith("| `")]
    paths = [path for row in rows for path in row.split("|")[1].replace("`", "").replace(",", " ").split()]
    assert paths
    assert all((ROOT / path).exists() for path in paths)


def test_every_picture_of_the_dashboard_is_small_and_explained() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", page)
    assert len(pictures) == 3
    explained = page.partition("four red alarms")[2].partition("![")[0]
    assert set(re.findall(r"(?<!\*)\*(\w+)\*(?!\*)", explained)) == {*RED, "NotAnswering"}
    assert all(0 < (ROOT / "docs" / picture).stat().st_size < 150_000 for picture in pictures)


def test_every_page_is_in_the_table_of_pages() -> None:
    pages = {str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md")}
    assert pages <= set(re.findall(r"\]\(([^)]+)\)", README.partition("## Documentation")[2]))


def test_every_parameter_that_the_readme_advises_on_is_one_of_the_template() -> None:
    deploying = README.partition("## Deploy to your account")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in deploying.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named
    assert named <= TEMPLATE["Parameters"].keys()
