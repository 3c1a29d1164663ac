"""Whatever form of import a program uses, it gets the objects of the packages themselves."""

import importlib
import pkgutil
import subprocess
import sys
import textwrap

import pytest

import posixmq
import sysvmq

PACKAGES = {"posixmq": posixmq, "sysvmq": sysvmq}


def run(code):
    """Run code in a fresh interpreter, which sees only what is installed."""
    command = [sys.executable, "-I", "-W", "error", "-c", textwrap.dedent(code)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


@pytest.mark.parametrize("name", PACKAGES)
@pytest.mark.parametrize(
    "form",
    [
        "from ipcqueue import {0} as found",
        "import ipcqueue.{0}; found = ipcqueue.{0}",
        "import ipcqueue.{0} as found",
        "import importlib; found = importlib.import_module('ipcqueue.{0}')",
        "import {0}; from ipcqueue import {0} as found",
    ],
)
def test_every_form_of_import_gives_the_package_itself(name, form):
    code = f"""
        import sys
        {form.format(name)}
        import {name}
        assert found is {name} is sys.modules["ipcqueue.{name}"]
        assert {name}.__name__ == {name}.__spec__.name == "{name}"
    """
    run(code)


@pytest.mark.parametrize("name", PACKAGES)
def test_names_imported_through_the_alias_are_the_packages_own(name):
    for item in PACKAGES[name].__all__:
        scope = {}
        exec(f"from ipcqueue.{name} import {item} as found", scope)
        assert scope["found"] is getattr(PACKAGES[name], item)


@pytest.mark.parametrize("name", PACKAGES)
def test_public_submodules_are_one_object_under_both_names(name):
    found = [m.name for m in pkgutil.iter_modules(PACKAGES[name].__path__)]
    public = [module for module in found if not module.startswith("_")]
    assert "serializers" in public
    for module in public:
        run(f"""
            import ipcqueue.{name}.{module}
            import {name}.{module}
            assert ipcqueue.{name}.{module} is {name}.{module}
        """)
        run(f"""
            import {name}.{module}
            from ipcqueue.{name} import {module} as found
            assert found is {name}.{module}
        """)


def test_importing_ipcqueue_alone_loads_neither_package():
    loaded = run("import sys, ipcqueue; print(*sys.modules)")
    assert not {"posixmq", "sysvmq"} & set(loaded)


@pytest.mark.parametrize("name", PACKAGES)
def test_importing_one_package_does_not_load_the_other(name):
    loaded = run(f"import sys, ipcqueue.{name}; print(*sys.modules)")
    assert name in loaded
    assert not (PACKAGES.keys() - {name}) & set(loaded)


def test_the_aliases_survive_a_reload():
    alias = importlib.import_module("ipcqueue.posixmq")
    assert importlib.reload(alias) is posixmq
