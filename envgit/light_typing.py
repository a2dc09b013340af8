"""What the modules of a run need of `typing`, without importing it: that costs more than starting the sandbox.

To a type checker every name here is typing's. At run time annotations are strings that nobody reads (PEP 563), so special forms
need no meaning, and NamedTuple need not compile the annotations of its fields.
"""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any as Any
    from typing import BinaryIO as BinaryIO
    from typing import Final as Final
    from typing import Literal as Literal
    from typing import NamedTuple as NamedTuple
    from typing import NoReturn as NoReturn
    from typing import Protocol as Protocol
    from typing import TextIO as TextIO
    from typing import TypeAlias as TypeAlias
else:

    class _Form:
        """A special form: can be subscribed, and inherited from; means nothing."""

        def __class_getitem__(cls, item):
            return cls

    class Any(_Form):
        pass

    class Protocol(_Form):
        pass

    BinaryIO = Final = Literal = NoReturn = TextIO = TypeAlias = _Form

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
