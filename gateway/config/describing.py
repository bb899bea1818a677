"""Read what the docstrings below a model's attributes say, when somebody asks for it.

Owns that reading. pydantic does it for each class as it is made (`use_attribute_docstrings`), which is a fifth of
all that a worker does before it serves.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, get_args

from pydantic import BaseModel


def describe(model: type[BaseModel]) -> None:
    """Give the fields of a model, and of the models within it, their docstrings as descriptions."""
    _describe(model, set())


def _describe(model: type[BaseModel], seen: set[type[BaseModel]]) -> None:
    seen.add(model)
    for field in model.model_fields.values():
        for inner in _models_in(field.annotation):
            if inner not in seen:
                _describe(inner, seen)
    texts = {name: text for cls in reversed(model.__mro__) for name, text in _docstrings(cls)}
    for name, field in model.model_fields.items():
        field.description = field.description or texts.get(name)
    model.model_rebuild(force=True)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _docstrings(cls: type) -> Iterator[tuple[str, str]]:
    """Name and docstring of each attribute that has one below it."""
    if not issubclass(cls, BaseModel) or cls is BaseModel:
        return
    try:
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    except (OSError, TypeError, SyntaxError):  # no source: typed in, or installed without it
        return
    assert isinstance(definition, ast.ClassDef)
    for statement, below in pairwise(definition.body):
        match statement, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, inspect.cleandoc(text)
