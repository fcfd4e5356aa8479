"""The code part of a cache key: what a function reaches through imports, read from the source, never typed by hand.

The procedure for one function:

1. in its own module, the top-level definitions that it names, directly or through one another, annotations included (a
   parameter's type says whose methods are called) (:func:`_reached_names`);
2. each imported name among them is followed to the module that defines it; a package that only passes a name on is
   looked through, so that reaching one name of a package does not reach all of it (:func:`_defined_in`);
3. those modules are taken whole, with everything that they import anywhere, over and over (:func:`closure`);
4. the hash covers the bytes of all these files, of the data files of their rooms (style sheets), and the versions of
   the libraries they import (:func:`code_hash`).

Reading 300 files takes longer than the rest of a short command, so what was read of a file is kept in the user's cache
folder under the hash of its content.

What this does not see: a module named in a string (none of ours is), and code that is not Python.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import hashlib
import json
import symtable
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from quant_platform.contracts.collecting import collected_afterwards
from quant_platform.contracts.kept import keep, read_kept

PACKAGE = "quant_platform"
_ROOT = Path(__file__).resolve().parents[1]
_DATA = (".css", ".js", ".json", ".html")
_MOST_KEPT = 5000
"""Files of which something is kept; a package of ours has some hundred, and every edit is another one."""


@dataclass(frozen=True)
class _Module:
    """What of a source file decides which others it reaches.

    Attributes
    ----------
    names
        What its top-level statements define.
    imports
        Bound name to (module, attribute), attribute empty for ``import module``.
    targets
        Every (module, attribute) imported anywhere in the file.
    """

    names: frozenset[str]
    imports: dict[str, tuple[str, str]]
    targets: frozenset[tuple[str, str]]


class _Kept:
    """What earlier processes have read of source files, by the hash of their content."""

    def __init__(self) -> None:
        reader = Path(__file__).read_bytes() + sys.version.encode()
        self._name = f"closure-{hashlib.sha256(reader).hexdigest()[:32]}.json"
        try:
            self._found: dict[str, Any] = json.loads(read_kept(self._name) or b"{}")
        except ValueError:
            self._found = {}  # a damaged file is as good as none
        self._new: dict[str, Any] = {}

    def get(self, part: str, name: str, read: Callable[[], Any]) -> Any:
        """A part of what a module says, as JSON has it: kept, or read now and kept at the end of the process."""
        key = f"{part} {name} {_file_digest(_path(name)).hex()}"
        if key not in self._found:
            if not self._new:
                atexit.register(self._write)
            self._found[key] = self._new[key] = read()
        return self._found[key]

    def _write(self) -> None:
        try:
            others = json.loads(read_kept(self._name) or b"{}")
        except ValueError:
            others = {}
        newest = list({**others, **self._new}.items())[-_MOST_KEPT:]
        keep(self._name, json.dumps(dict(newest)).encode())


@lru_cache(maxsize=1)
def _kept() -> _Kept:
    return _Kept()


def closure(function: Callable[..., Any]) -> tuple[str, ...]:
    """Modules of the package whose code a function may run, its own first part included, sorted.

    Parameters
    ----------
    function
        A top-level function of a module of this package.
    """
    own = function.__module__
    imports = _module(own).imports
    reached = {own}
    waiting = [
        _defined_in(*imports[name])
        for name in _reached_names(_definitions(own), function.__name__)
        if name in imports and _is_ours(imports[name][0])
    ]
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        waiting += _imported_by(name)
    return tuple(sorted(reached))


@lru_cache(maxsize=256)
def code_hash(function: Callable[..., Any]) -> str:
    """SHA-256 over everything a function reaches: files, data beside them, versions of libraries.

    Layout-sensitive on purpose: cheap, and never too small.
    """
    with collected_afterwards():
        return hash_of(closure(function))


def hash_of(modules: Iterable[str]) -> str:
    """SHA-256 over some modules of the package, the data files of their rooms and the versions of their libraries."""
    names = sorted(modules)
    return digest_of(files_of(names), [f"{library}=={_version(library)}" for library in libraries(names)])


def files_of(modules: Sequence[str]) -> list[Path]:
    """The files of some modules, and the data files of their rooms, sorted."""
    return sorted({*map(_path, modules), *_data_files(modules)})


def digest_of(files: Iterable[Path], versions: Iterable[str]) -> str:
    """SHA-256 over names and bytes of files, and over versions of libraries."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(_ROOT).as_posix().encode())
        digest.update(_file_digest(path))
    for version in versions:
        digest.update(version.encode())
    return digest.hexdigest()


def libraries(modules: Iterable[str]) -> tuple[str, ...]:
    """Top-level names of the libraries that some modules import, the standard library left out."""
    found = {target[0].split(".")[0] for name in modules for target in _module(name).targets}
    return tuple(sorted(found - {PACKAGE} - sys.stdlib_module_names))


@lru_cache(maxsize=1024)
def _imported_by(name: str) -> frozenset[str]:
    """Modules of the package that a module imports; every stage asks for most of them again."""
    return frozenset(_defined_in(*target) for target in _module(name).targets if _is_ours(target[0]))


def _reached_names(definitions: Mapping[str, frozenset[str]], start: str) -> set[str]:
    reached, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        waiting += definitions.get(name, frozenset())
    return reached


def _is_ours(module: str) -> bool:
    return module == PACKAGE or module.startswith(f"{PACKAGE}.")


def _defined_in(module: str, attribute: str) -> str:
    """The module that defines an imported name, looking through packages that pass it on."""
    while attribute:
        if _exists(f"{module}.{attribute}"):
            return f"{module}.{attribute}"
        passed_on = _module(module).imports.get(attribute)
        if passed_on is None or attribute in _module(module).names or not _is_ours(passed_on[0]):
            return module
        module, attribute = passed_on
    return module


@lru_cache(maxsize=4096)
def _path(module: str) -> Path:
    base = _ROOT.joinpath(*module.split(".")[1:])
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


@lru_cache(maxsize=4096)
def _exists(module: str) -> bool:
    return _path(module).is_file()


def _data_files(modules: Iterable[str]) -> Iterator[Path]:
    for folder in {folder for name in modules for folder in _folders(name)}:
        yield from (path for path in folder.iterdir() if path.name.endswith(_DATA))


@lru_cache(maxsize=1024)
def _folders(module: str) -> tuple[Path, ...]:
    """The folders that a module is in, below the package."""
    return tuple(folder for folder in _path(module).parents if _ROOT in folder.parents)


@lru_cache(maxsize=2048)
def _file_digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


@lru_cache(maxsize=1024)
def _module(name: str) -> _Module:
    names, imports, targets = _kept().get("module", name, lambda: _read_module(name))
    bound = {each: (module, attribute) for each, module, attribute in imports}
    return _Module(frozenset(names), bound, frozenset((module, attribute) for module, attribute in targets))


def _read_module(name: str) -> list[Any]:
    tree = ast.parse(_path(name).read_text(encoding="utf-8"), filename=name)
    package = name if _path(name).name == "__init__.py" else name.rpartition(".")[0]
    found = [pair for statement in _statements(tree) for pair in _imports_of(statement, package)]
    names = {bound for statement in tree.body for bound in _bound_names(statement)}
    imports = [[bound, *target] for bound, target in dict(found).items()]
    return [sorted(names), imports, sorted({target for _, target in found})]


@lru_cache(maxsize=256)
def _definitions(name: str) -> dict[str, frozenset[str]]:
    """Top-level names of a module, each with the names that its statement loads."""
    found = _kept().get("definitions", name, lambda: _read_definitions(name))
    return {bound: frozenset(loaded) for bound, loaded in found.items()}


def _read_definitions(name: str) -> dict[str, list[str]]:
    source = _path(name).read_text(encoding="utf-8")
    scopes = {scope.get_name(): scope for scope in symtable.symtable(source, name, "exec").get_children()}
    definitions: dict[str, frozenset[str]] = {}
    for statement in ast.parse(source, filename=name).body:
        for bound in _bound_names(statement):
            definitions[bound] = definitions.get(bound, frozenset()) | _loads(statement, scopes.get(bound))
    return {bound: sorted(loaded) for bound, loaded in definitions.items()}


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """Every statement of a file, those of the top level first; what holds none is not entered, which is most of it."""
    waiting: deque[ast.AST] = deque([tree])
    while waiting:
        node = waiting.popleft()
        yield node
        for part in ("body", "handlers", "cases", "orelse", "finalbody"):
            inner = getattr(node, part, ())
            # The body of a lambda is an expression, and so are the branches of a conditional one.
            waiting.extend(inner if isinstance(inner, list) else ())


def _loads(statement: ast.stmt, scope: symtable.SymbolTable | None) -> frozenset[str]:
    """Names that a statement takes from its module; a parameter or local of the same name as a definition is none."""
    imported = {name for node in ast.walk(statement) for name, _ in _imports_of(node, "")}
    if scope is None:
        return frozenset(imported | {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)})
    outside = [node for node in ast.walk(statement) if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation]
    evaluated: list[ast.AST] = [node.annotation for node in outside if node.annotation is not None]
    for node in ast.walk(statement):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            evaluated += [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
            evaluated += [node.returns] if node.returns else []
        elif isinstance(node, ast.ClassDef):
            evaluated += [*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)]
    named = {node.id for part in evaluated for node in ast.walk(part) if isinstance(node, ast.Name)}
    return frozenset(imported | named | _globals(scope))


def _globals(scope: symtable.SymbolTable) -> set[str]:
    own = {symbol.get_name() for symbol in scope.get_symbols() if symbol.is_global()}
    return own.union(*map(_globals, scope.get_children()))


def _bound_names(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
        return
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _imports_of(node: ast.AST, package: str) -> Iterator[tuple[str, tuple[str, str]]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            # ``import a.b`` binds ``a`` and reaches ``a.b``; the bound name is what code mentions.
            yield alias.asname or alias.name.split(".")[0], (alias.name, "")
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*above, base] if base else above)
        for alias in node.names:
            yield alias.asname or alias.name, (base, alias.name)


@lru_cache(maxsize=256)
def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        distributions = _distributions().get(library, [])
        return ",".join(f"{name}=={metadata.version(name)}" for name in sorted(set(distributions)))


@lru_cache(maxsize=1)
def _distributions() -> Mapping[str, list[str]]:
    """Distributions by the names that they install, read off every one of them."""
    # Installing or removing one changes the folder that it is in.
    holding = {found.parent for place in sys.path for found in Path(place or ".").glob("*.dist-info")}
    folders = sorted((str(folder), folder.stat().st_mtime_ns) for folder in holding)
    name = f"distributions-{hashlib.sha256(repr(folders).encode()).hexdigest()[:32]}.json"
    with contextlib.suppress(ValueError):
        found: dict[str, list[str]] = json.loads(read_kept(name) or b"{}")
        if found:
            return found
    found = {library: sorted(set(names)) for library, names in metadata.packages_distributions().items()}
    keep(name, json.dumps(found).encode())
    return found
