"""Say each argument once: constructor, config, repr and lookup by name, all from one list of declared arguments.

A class body declares its arguments as annotated names with `argument`, in the order of the constructor:

    class L2(Regularizer):
        l2: float = argument(number, 0.01)

From this `Configurable` makes the constructor (checks included), ``get_config``, ``from_config``, ``repr``, and the
entry under which ``get("l2")`` finds the class. A class may still write its own ``__init__``, as Keras users do; then
the signature of that one is read instead. Of an inherited argument, a bare annotation (``padding: str``) says that it
stands here in the order; an assignment without annotation fixes its value, and it is gone from the constructor.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping
from operator import index
from typing import Any, ClassVar, NamedTuple, Self

REQUIRED: Any = inspect.Parameter.empty


class UnknownArgumentError(ValueError, TypeError):
    """An argument that a constructor does not have: a ValueError in Keras 3, a TypeError in Python and tf.keras 2."""


class Argument(NamedTuple):
    """One declared argument: how its value is checked, and its default."""

    check: Callable[[str, Any], Any] | None
    default: Any = REQUIRED
    keyword_only: bool = False


def argument(check: Callable[[str, Any], Any] | None = None, default: Any = REQUIRED) -> Any:
    """Declare an argument; ``check(name, value)`` returns the value to keep, or raises."""
    return Argument(check, default)


class Configurable:
    """An object made of declared arguments. The class of a family, such as Initializer, is made with ``family=``.

    Class keywords: ``family``, the word for the members in messages; ``module``, where Keras keeps them;
    ``keyword_only``, whether the arguments declared in this class are given by keyword alone.
    """

    _arguments: ClassVar[dict[str, Argument]] = {}
    _members: ClassVar[dict[str, type[Configurable]]] = {}
    _family: ClassVar[str] = ""
    _module: ClassVar[str] = ""
    _unrecognized: ClassVar[str] = "Unrecognized keyword arguments passed to {who}: {unknown}"
    _former_names: ClassVar[dict[str, str]] = {}  # of arguments, as tf.keras 2 called them
    aliases: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(
        cls, family: str = "", module: str = "", keyword_only: bool = False, **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        if family:
            cls._family, cls._module, cls._members = family, module, {}
        own = _declared(cls, keyword_only)
        fixed = {name for name, value in vars(cls).items() if not isinstance(value, property)}
        inherited = {name: a for name, a in cls._arguments.items() if name not in own and name not in fixed}
        cls._arguments = own | inherited
        cls.__signature__ = _signature(cls._arguments)  # type: ignore[attr-defined]
        for name in (cls.__name__, snake_case(cls.__name__), *vars(cls).get("aliases", ())):
            known = cls._members.get(name)
            if known is None or not known.__module__.startswith("minigrad."):  # the house's names stay its own
                cls._members[name] = cls

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        who, declared = type(self).__name__, self._arguments
        positional = [name for name, a in declared.items() if not a.keyword_only]
        if len(args) > len(positional):
            raise TypeError(f"{who}: at most {len(positional)} positional arguments must be given. Received: {args!r}")
        given = dict(zip(positional, args, strict=False))
        kwargs = {self._former_names.get(name, name): value for name, value in kwargs.items()}
        if twice := given.keys() & kwargs.keys():
            raise TypeError(f"{who}: an argument must be given once. Received twice: {sorted(twice)}")
        if unknown := {name: value for name, value in kwargs.items() if name not in declared}:
            raise UnknownArgumentError(self._unrecognized.format(who=who, unknown=unknown))
        given |= kwargs
        if missing := [name for name, a in declared.items() if a.default is REQUIRED and name not in given]:
            raise TypeError(f"{who}: required arguments must be given. Missing: {missing}")
        for name, declaration in declared.items():
            value = given.get(name, declaration.default)
            setattr(self, name, declaration.check(name, value) if declaration.check else value)
        self.__post_init__()

    def __post_init__(self) -> None:
        """Checks that concern several arguments, and state that is no argument; run after the constructor."""

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as plain values, from which `from_config` makes an equal object."""
        return {name: plain(getattr(self, name)) for name in self._config_names()}

    def _state_config(self) -> dict[str, Any]:
        """What `serialize` adds about the state of an object, beside its arguments."""
        return {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """An object of this class from what `get_config` returned."""
        return cls(**config)

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({parts})"

    def _config_names(self) -> list[str]:
        """The arguments of the constructor, also of one that a subclass wrote itself."""
        cls = type(self)
        if cls.__init__ is Configurable.__init__:
            return list(cls._arguments)
        parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
        names = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        if missing := [name for name in names if not hasattr(self, name)]:
            raise NotImplementedError(
                f"{cls.__name__}.get_config: every argument of __init__ must be kept under its own name, or get_config "
                f"be written. Missing: {missing}"
            )
        if any(p.kind is p.VAR_KEYWORD for p in parameters):
            names = [*(name for name in cls._arguments if name not in names), *names]
        return names

    @classmethod
    def get(cls, identifier: Any) -> Any:
        """The member that ``identifier`` names: a string, a config, a class, or the object itself; None is None.

        Raises:
            ValueError: it names no member of the family.
        """
        identifier = function_of(cls._family, identifier)
        if identifier is None or (callable(identifier) and not isinstance(identifier, type)):
            return identifier
        if isinstance(identifier, type) and issubclass(identifier, cls):
            return identifier()
        if isinstance(identifier, Mapping):
            return cls.deserialize(identifier)
        if isinstance(identifier, str) and identifier in cls._members:
            return cls._members[identifier]()
        raise ValueError(f"Could not interpret {cls._family} identifier: {identifier}")

    @classmethod
    def deserialize(cls, config: Mapping[str, Any]) -> Any:
        """The object that `serialize` described; the forms of tf.keras 2 and of Keras 3 are both read.

        Raises:
            ValueError: no such description, or a class that the family does not know.
        """
        name = config.get("class_name") if isinstance(config, Mapping) else None
        if not isinstance(name, str) or not isinstance(config.get("config", {}), Mapping):
            raise ValueError(f"{cls._family}: a config must hold class_name and config. Received: {config!r}")
        if name not in cls._members:
            raise ValueError(f"{cls._family}: class_name must be a known class. Received: class_name={name!r}")
        member = cls._members[name]
        if _foreign(config.get("module")) and member.__module__.startswith("minigrad."):
            raise ValueError(
                f"{cls._family}: a class of one's own must not have the name of one of minigrad's to be read from a "
                f"config; rename it. Received: class_name={name!r} of the module {config['module']!r}"
            )
        return member.from_config(config.get("config", {}))


def serialize(member: Any) -> Any:
    """A description of a configurable object in the form of Keras 3; of a function its name.

    >>> from minigrad import regularizers
    >>> serialize(regularizers.L2(0.5))["config"]
    {'l2': 0.5}
    """
    if isinstance(member, Configurable):
        ours = type(member).__module__.startswith("minigrad.")
        return {
            "module": member._module if ours else type(member).__module__,
            "class_name": type(member).__name__,
            "config": member.get_config(),
            "registered_name": None if ours else type(member).__name__,
            **member._state_config(),
        }
    return plain(member)


def plain(value: Any) -> Any:
    """A value of a config: objects described, functions by name, arrays as nested lists."""
    if isinstance(value, Configurable):
        return serialize(value)
    if isinstance(value, (list, tuple)):
        return type(value)(plain(part) for part in value)
    if inspect.isfunction(value) or hasattr(value, "compute"):
        return value.__name__ if value.__module__.startswith("minigrad.") else OwnFunction(value)
    return value.tolist() if hasattr(value, "tolist") else value


class OwnFunction(dict[str, Any]):
    """The description of a function that is not minigrad's, in the form of Keras 3.

    Its name alone might be that of another function. In the process that wrote it, it is read back as the function;
    out of a file it is refused, for a file must not say which function runs.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        name = function.__name__
        super().__init__(module=function.__module__, class_name="function", config=name, registered_name=name)
        self.function = function


def function_of(family: str, identifier: Any) -> Any:
    """The function that an `OwnFunction` describes; anything else as it is.

    Raises:
        ValueError: the description, out of a file, of a function that is neither minigrad's nor Keras's.
    """
    if isinstance(identifier, OwnFunction):
        return identifier.function
    described = isinstance(identifier, Mapping) and identifier.get("class_name") == "function"
    if described and _foreign(identifier.get("module")):
        raise ValueError(
            f"{family}: a config cannot hold a function of one's own; put the function itself in its place. "
            f"Received: {identifier.get('config')!r} of the module {identifier['module']!r}"
        )
    return identifier


def _foreign(module: Any) -> bool:
    """Whether a config says that something is neither minigrad's nor Keras's."""
    known = ("builtins", "keras", "tf_keras", "tensorflow", "minigrad")
    return isinstance(module, str) and module.split(".")[0] not in known


def snake_case(name: str) -> str:
    """A class name as Keras writes it in small letters.

    >>> [snake_case(name) for name in ("SeparableConv1D", "RMSprop", "ReLU", "MaxNorm", "SGD")]
    ['separable_conv1d', 'rm_sprop', 're_lu', 'max_norm', 'sgd']
    """
    spaced = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", spaced).lower()


def _declared(cls: type[Configurable], keyword_only: bool) -> dict[str, Argument]:
    """The arguments that the body of ``cls`` declares, in order."""
    inherited: dict[str, Argument] = cls._arguments
    own: dict[str, Argument] = {}
    for name in vars(cls).get("__annotations__", {}):
        declaration = vars(cls).get(name, inherited.get(name))
        if not isinstance(declaration, Argument):
            continue  # the type of an attribute that is no argument
        own[name] = declaration._replace(keyword_only=keyword_only)
        if name in vars(cls):
            delattr(cls, name)
    return own


def _signature(arguments: dict[str, Argument]) -> inspect.Signature:
    """What ``help`` and editors show."""
    kinds = inspect.Parameter
    parameters = [
        kinds(name, kinds.KEYWORD_ONLY if a.keyword_only else kinds.POSITIONAL_OR_KEYWORD, default=a.default)
        for name, a in sorted(arguments.items(), key=lambda item: item[1].keyword_only)
    ]
    optional = False  # Python wants required parameters first; what follows an optional one is by keyword
    for i, parameter in enumerate(parameters):
        optional |= parameter.default is not kinds.empty
        if optional and parameter.default is kinds.empty:
            parameters[i] = parameter.replace(kind=kinds.KEYWORD_ONLY)
    return inspect.Signature(sorted(parameters, key=lambda p: p.kind))


# ---------------------------------------------------------------------- checks of one argument


def positive(name: str, value: Any) -> int:
    """A positive integer."""
    number = as_integer(value)
    if number is None:
        raise ValueError(f"Invalid value for argument `{name}`. Expected an integer. Received {name}={value!r}.")
    if number < 1:
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected a strictly positive value. Received {name}={value!r}."
        )
    return number


def integers(count: int, least: int) -> Callable[[str, Any], tuple[int, ...]]:
    """So many integers, none below ``least``: one for all, or a list or tuple; kept as a tuple, as Keras does."""

    def check(name: str, value: Any) -> tuple[int, ...]:
        message = f"The `{name}` argument must be a tuple of {count} integers. Received {name}={value!r}"
        parts = tuple(value) if isinstance(value, (list, tuple)) else (value,) * count
        if len(parts) != count:
            raise ValueError(message)
        numbers = []
        for part in parts:
            number = as_integer(part)
            if number is None:
                if isinstance(value, (list, tuple)):
                    message += f" including element {part!r} of type {type(part)}"
                raise ValueError(message)
            numbers.append(number)
        if wrong := {number for number in numbers if number < least}:
            bound = "> 0" if least else ">= 0"
            raise ValueError(f"{message}, including values {wrong} that do not satisfy `value {bound}`")
        return tuple(numbers)

    return check


positive_tuple = integers(1, 1)


def as_integer(value: Any) -> int | None:
    """``value`` as an int if it is an integer, Python's or NumPy's, else None."""
    if isinstance(value, bool):
        return None
    try:
        return index(value)
    except TypeError:
        return None


def number(name: str, value: Any) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"Invalid value for argument {name}: expected a finite number. Received: {name}={value!r}")
    return value


def boolean(name: str, value: Any) -> bool:
    """True or False; anything else by its truth."""
    return bool(value)


def one_of(*choices: str) -> Callable[[str, Any], str]:
    """One of some words, in any case."""

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or value.lower() not in choices:
            raise ValueError(f"The `{name}` argument must be one of {set(choices)}. Received: {name}={value!r}")
        return value.lower()

    return check


def member_of(family: type[Configurable]) -> Callable[[str, Any], Any]:
    """A member of a family, found by `Configurable.get`."""
    return lambda name, value: family.get(value)
