"""Classes from outside the package, named `package.module:Class`.

Importing a class runs its module's code. Only classes that the user names may be imported: a name in a model file or run that
somebody sent must be given by the user as well.
"""

from __future__ import annotations

import inspect
from importlib import import_module

from vatrace.errors import PluginError


def is_plugin(name: str) -> bool:
    """Whether a name has the form `package.module:Class`."""
    module, _, attribute = name.partition(":")
    return bool(attribute.isidentifier() and all(part.isidentifier() for part in module.split(".")))


def load_class(name: str, protocol: type) -> type:
    """Import a class and check that it has the methods of a protocol.

    Args:
        name: `package.module:Class`.
        protocol: the protocol or base class whose public methods the class must have.

    Raises:
        PluginError: if the class can't be imported or lacks methods; the message names all that are missing.
    """
    module, _, attribute = name.partition(":")
    try:
        imported = import_module(module)
    except ModuleNotFoundError as error:
        raise PluginError(f"{name}: can't be imported ({error}): install it, or add its folder to PYTHONPATH") from error
    except Exception as error:  # the module's code may raise anything
        raise PluginError(f"{name}: can't be imported ({type(error).__name__}: {error})") from error
    found = getattr(imported, attribute, None)
    if not inspect.isclass(found):
        raise PluginError(f"{name}: no such class in {module}")
    offered = {member for base in found.__mro__ for member in vars(base)}  # hasattr finds `__call__` in every class
    lacking = [member for member in members(protocol) if member not in offered]
    if lacking:
        raise PluginError(f"{name}: lacks {', '.join(lacking)}, which a {protocol.__name__} must have")
    return found


def members(protocol: type) -> list[str]:
    """The methods that a protocol requires, including `__call__`."""
    own = [name for base in protocol.__mro__ if base.__module__.startswith("vatrace") for name in vars(base)]
    return sorted(
        name for name in set(own) if callable(getattr(protocol, name, None)) and (name == "__call__" or name[0] != "_")
    )
