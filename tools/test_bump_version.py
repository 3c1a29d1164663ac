"""The version is the same everywhere, and one command changes it everywhere."""

import bump_version
import pytest

CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n- new\n\n## [1.0.0] - 2026-01-01\n\n## [0.9.7]\n"


@pytest.fixture
def root(tmp_path):
    """A repository that is of one version."""
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    for name in ("posixmq", "sysvmq", "ipcqueue-meta"):
        package = tmp_path / "packages" / name
        module = package / "src" / name.removesuffix("-meta")
        module.mkdir(parents=True)
        (module / "__init__.py").write_text('__version__ = "1.0.0"\n')
        (package / "pyproject.toml").write_text('name = "x"\nversion = "1.0.0"\n')
    with (tmp_path / "packages/ipcqueue-meta/pyproject.toml").open("a") as file:
        file.write('dependencies = [\n    "posixmq==1.0.0; x",\n    "sysvmq==1.0.0",\n]\n')
    return tmp_path


PLACES = [
    ("CHANGELOG.md", "## [1.0.0]"),
    ("packages/posixmq/pyproject.toml", 'version = "1.0.0"'),
    ("packages/sysvmq/src/sysvmq/__init__.py", '__version__ = "1.0.0"'),
    ("packages/ipcqueue-meta/pyproject.toml", '"posixmq==1.0.0; x"'),
    ("packages/ipcqueue-meta/pyproject.toml", '"sysvmq==1.0.0"'),
]


@pytest.mark.parametrize(("place", "text"), PLACES)
def test_each_place_that_differs_is_noticed(root, place, text):
    assert bump_version.main(["--check"], root) == 0
    content = (root / place).read_text()
    assert content.count(text) == 1
    (root / place).write_text(content.replace(text, text.replace("1.0.0", "1.0.1")))
    assert f"1.0.1  {place}" in bump_version.main(["--check"], root)


def test_a_new_version_is_written_everywhere(root):
    assert bump_version.main(["1.2.3"], root) == 0
    for place, text in PLACES:
        content = (root / place).read_text()
        assert text.replace("1.0.0", "1.2.3") in content
        assert "1.0.0" not in content or place == "CHANGELOG.md"


def test_what_was_unreleased_is_the_new_version_s(root):
    bump_version.main(["1.2.3"], root)
    changelog = (root / "CHANGELOG.md").read_text()
    empty, new, old = changelog.split("\n## [")[1:4]
    assert empty.strip() == "Unreleased]"
    assert new.startswith("1.2.3] - 20") and "- new" in new
    assert old.startswith("1.0.0]")


@pytest.mark.parametrize("arguments", [[], ["1.2"], ["v1.2.3"], ["1.2.3", "1.2.4"]])
def test_what_is_no_version_changes_nothing(root, arguments):
    assert "which version?" in bump_version.main(arguments, root)
    assert (root / "CHANGELOG.md").read_text() == CHANGELOG
