"""typing.NamedTuple without its price: the standard one compiles every annotation, a third of what starting a sandbox imports.

To a type checker it is typing.NamedTuple. At run time annotations stay the strings that they are.
"""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple
else:

    class _Maker(type):
        """Turns the class statement into a tuple type, as typing.NamedTuple does."""

        def __new__(cls, name, bases, namespace):
            if namespace.get("_is_root"):
                return super().__new__(cls, name, bases, namespace)
            fields = tuple(namespace.get("__annotations__", ()))
            defaults = [namespace[field] for field in fields if field in namespace]
            if any(field not in namespace for field in fields[len(fields) - len(defaults) :]):
                raise TypeError(f"{name}: a field without a default follows one with a default")
            made = namedtuple(name, fields, defaults=defaults, module=namespace["__module__"])
            for key, value in namespace.items():
                if key not in fields and key not in ("__module__", "__dict__", "__weakref__"):
                    setattr(made, key, value)
            return made

    class NamedTuple(metaclass=_Maker):
        """The base class to name in a class statement."""

        _is_root = True
