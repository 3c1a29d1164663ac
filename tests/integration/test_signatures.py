"""What help() and inspect.signature say about the C modules is what their stubs say."""

import ast
import importlib
import inspect
import operator
from pathlib import Path

import pytest

EMPTY = inspect.Parameter.empty


def parse_parameters(arguments):
    """Turn the arguments of a function in a stub into (name, kind, default) triples."""
    kinds = inspect._ParameterKind
    positional = [(a, kinds.POSITIONAL_ONLY) for a in arguments.posonlyargs]
    positional += [(a, kinds.POSITIONAL_OR_KEYWORD) for a in arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + arguments.defaults
    rows = [(a, kind, default) for (a, kind), default in zip(positional, defaults, strict=True)]
    rows += [(arguments.vararg, kinds.VAR_POSITIONAL, None)] if arguments.vararg else []
    keywords = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    rows += [(a, kinds.KEYWORD_ONLY, default) for a, default in keywords]
    rows += [(arguments.kwarg, kinds.VAR_KEYWORD, None)] if arguments.kwarg else []
    return [(a.arg, kind, ast.literal_eval(d) if d else EMPTY) for a, kind, d in rows]


def in_stub(package):
    """Yield (dotted name, parameters) of every public callable in the stub of a C module."""
    module = importlib.import_module(f"{package}._{package}")
    tree = ast.parse(Path(module.__file__).with_name(f"_{package}.pyi").read_text())
    public = importlib.import_module(package).__all__
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name in public:
            yield node.name, parse_parameters(node.args)
        if isinstance(node, ast.ClassDef) and node.name in public:
            for method in node.body:
                if not isinstance(method, ast.FunctionDef):
                    continue
                decorators = [ast.unparse(decorator) for decorator in method.decorator_list]
                if decorators not in ([], ["classmethod"]):
                    continue
                parameters = parse_parameters(method.args)
                if method.name == "__init__":
                    yield node.name, parameters[1:]
                elif not method.name.startswith("_"):
                    yield f"{node.name}.{method.name}", parameters


STUBS = {
    f"{package}.{name}": parameters
    for package in ("posixmq", "sysvmq")
    for name, parameters in in_stub(package)
}


@pytest.mark.parametrize("name", STUBS)
def test_signature_equals_the_stub(name):
    package, _, path = name.partition(".")
    function = operator.attrgetter(path)(importlib.import_module(package))
    found = [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]
    expected = list(STUBS[name])
    if expected and expected[0][0] == "cls":  # bound already
        expected.pop(0)
    elif "." in path:  # C methods take self by position only, and stubs do not say so
        assert found.pop(0)[0] == expected.pop(0)[0] == "self"
    assert found == expected
    assert [type(default) for *_, default in found] == [type(d) for *_, d in expected]


@pytest.mark.parametrize("package", ["posixmq", "sysvmq"])
def test_every_public_callable_of_the_c_module_is_in_the_stub(package):
    module = importlib.import_module(package)
    in_c = {
        name
        for name in module.__all__
        if name in dir(importlib.import_module(f"{package}._{package}"))
    }
    methods = {f"Queue.{n}" for n, m in inspect.getmembers(module.Queue, callable) if n[0] != "_"}
    assert {f"{package}.{name}" for name in in_c | methods} <= STUBS.keys()
