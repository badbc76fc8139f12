"""Every public name is documented: parameters, results, shapes of arrays and errors.

The sources are read, not imported, so that modules with optional dependencies count as well.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import sam_plugins

ROOT = Path(sam_plugins.__file__).parent
Function = ast.FunctionDef | ast.AsyncFunctionDef

ARRAY = re.compile(r"\b(NDArray|ndarray|Tensor)\b")
# "shape", or axes in parentheses such as (H, W), (N, 4), (B, C, h, w), (N,)
AXES = re.compile(r"shape|\((?:[.\w]{1,4} ?[-+*/] ?)*[.\w*]{1,4}(?:,|(?:, [^(),]{1,12})+)\)")
SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}$", re.MULTILINE)
PACKAGE_ERRORS = {
    node.name
    for node in ast.parse((ROOT / "errors.py").read_text(encoding="utf-8")).body
    if isinstance(node, ast.ClassDef)
}


def modules() -> dict[str, Path]:
    """The public modules of the package by name; the command line documents itself by --help."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if parts[1:2] != ("cli",) and not any(part.startswith("_") for part in parts):
            found[".".join(parts)] = path
    return found


def sections(docstring: str) -> dict[str, str]:
    """The sections of a numpydoc docstring: title and text."""
    pieces = SECTION.split(docstring)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def documented(section: str) -> set[str]:
    """The names that a Parameters section explains; "a, b : type" explains both."""
    heads = [line.split(" : ")[0] for line in section.splitlines() if re.match(r"[\w*]", line)]
    return {name.strip().lstrip("*") for head in heads for name in head.split(",")}


def decorators(node: Function | ast.ClassDef) -> set[str]:
    """The last words of a definition's decorators: "property", "setter", "dataclass"."""
    calls = [each.func if isinstance(each, ast.Call) else each for each in node.decorator_list]
    return {ast.unparse(each).split(".")[-1] for each in calls}


def parameters(node: Function) -> list[ast.arg]:
    """The parameters of a function or method, without self and cls."""
    given = node.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    rest = [each for each in (given.vararg, given.kwarg) if each is not None]
    return [each for each in named + rest if each.arg not in ("self", "cls")]


def raised(nodes: list[Function]) -> set[str]:
    """The package's errors, and ValueError, that the bodies themselves raise."""
    names = set()
    for node in (inner for outer in nodes for inner in ast.walk(outer)):
        if isinstance(node, ast.Raise) and node.exc is not None:
            error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            names.add(ast.unparse(error).split(".")[-1])
    return names & (PACKAGE_ERRORS | {"ValueError"})


def problems(name: str, docstring: str, names: set[str], errors: set[str]) -> Iterator[str]:
    """What a docstring leaves out of the parameters and errors."""
    parts = sections(docstring)
    for missing in sorted(names - documented(parts.get("Parameters", ""))):
        yield f"{name}: parameter {missing} is not documented"
    for missing in sorted(error for error in errors if error not in parts.get("Raises", "")):
        yield f"{name}: {missing} is missing under Raises"


def function_problems(node: Function, name: str) -> Iterator[str]:
    """What the docstring of a function, method or property leaves out."""
    docstring = ast.get_docstring(node)
    if not docstring:
        yield f"{name}: no docstring"
        return
    given = parameters(node)
    yield from problems(name, docstring, {each.arg for each in given}, raised([node]))
    returns = ast.unparse(node.returns) if node.returns else "None"
    # The summary of a property, or of a method without parameters, says what it gives.
    explained = {"Returns", "Yields"} & sections(docstring).keys()
    if given and returns not in ("None", "NoReturn") and not explained:
        yield f"{name}: no Returns or Yields section"
    annotations = [ast.unparse(each.annotation) for each in given if each.annotation]
    if ARRAY.search(" ".join([*annotations, returns])) and not AXES.search(docstring):
        yield f"{name}: no shape of an array is given"


def class_problems(node: ast.ClassDef, name: str) -> Iterator[str]:
    """What the docstrings of a class, its public methods and its properties leave out."""
    methods = [each for each in node.body if isinstance(each, Function)]
    makers = [each for each in methods if each.name in ("__init__", "__post_init__")]
    annotations = {
        each.arg: ast.unparse(each.annotation) if each.annotation else ""
        for maker in makers
        for each in parameters(maker)
    }
    bases = {ast.unparse(base).split(".")[-1] for base in node.bases}
    if "dataclass" in decorators(node) or bases & {"NamedTuple", "TypedDict"}:
        annotations |= {
            each.target.id: ast.unparse(each.annotation)
            for each in node.body
            if isinstance(each, ast.AnnAssign)
            and isinstance(each.target, ast.Name)
            and not each.target.id.startswith("_")
            and "ClassVar" not in ast.unparse(each.annotation)
            and "init=False" not in (ast.unparse(each.value) if each.value else "")
        }
    docstring = ast.get_docstring(node)
    if not docstring:
        yield f"{name}: no docstring"
    else:
        yield from problems(name, docstring, set(annotations), raised(makers))
        if ARRAY.search(" ".join(annotations.values())) and not AXES.search(docstring):
            yield f"{name}: no shape of an array is given"
    for method in methods:
        if not method.name.startswith("_") and not {"setter", "overload"} & decorators(method):
            yield from function_problems(method, f"{name}.{method.name}")


def module_problems(tree: ast.Module, name: str) -> Iterator[str]:
    """What the docstrings of a module and of the public names defined there leave out."""
    if not ast.get_docstring(tree):
        yield f"{name}: no docstring"
    exported = None
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            exported = ast.literal_eval(node.value)
    for node in tree.body:
        if not isinstance(node, Function | ast.ClassDef) or "overload" in decorators(node):
            continue
        if node.name in exported if exported is not None else not node.name.startswith("_"):
            check = class_problems if isinstance(node, ast.ClassDef) else function_problems
            yield from check(node, f"{name}.{node.name}")


@pytest.mark.parametrize("module", modules())
def test_public_names_are_documented(module):
    tree = ast.parse(modules()[module].read_text(encoding="utf-8"))
    found = list(module_problems(tree, module))
    assert not found, "\n" + "\n".join(found)


def test_the_reference_covers_every_package():
    pages = (ROOT.parent / "docs" / "reference").glob("*.md")
    shown = re.findall(r"^::: ([\w.]+)", "\n".join(page.read_text() for page in pages), re.M)
    rooms = {".".join(module.split(".")[:2]) for module in modules() if "." in module}
    assert rooms <= {".".join(name.split(".")[:2]) for name in shown}


def test_the_check_sees_what_is_missing():
    source = '''
"""A module."""
def scale(image: NDArray, factor: float = 1.0) -> NDArray:
    """Scale an image.

    Parameters
    ----------
    image : ndarray
        Gray values.
    """
    raise ValueError(factor)
def silent(): ...
def _private(): ...
'''
    assert list(module_problems(ast.parse(source), "module")) == [
        "module.scale: parameter factor is not documented",
        "module.scale: ValueError is missing under Raises",
        "module.scale: no Returns or Yields section",
        "module.scale: no shape of an array is given",
        "module.silent: no docstring",
    ]
