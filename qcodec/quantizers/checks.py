"""Checks of arguments that are objects."""


def check_is(value: object, kind: type, name: str) -> None:
    """Raise ``TypeError``, with the remedy, unless ``value`` is an object of the class ``kind``.

    Example:
        >>> from qcodec import ScalarQuantizer
        >>> check_is({}, ScalarQuantizer, "quantizer")
        Traceback (most recent call last):
        TypeError: quantizer is a dict: give a ScalarQuantizer object
        >>> check_is(ScalarQuantizer, ScalarQuantizer, "quantizer")
        Traceback (most recent call last):
        TypeError: quantizer is the class ScalarQuantizer: give an object, ScalarQuantizer(...)
    """
    if isinstance(value, kind):
        return
    remedy = f"{_with_article(kind.__name__)} object"
    if isinstance(value, type):
        what = f"the class {value.__name__}"
        remedy = f"an object, {value.__name__}(...)" if issubclass(value, kind) else remedy
    else:
        what = "None" if value is None else _with_article(type(value).__name__)
    raise TypeError(f"{name} is {what}: give {remedy}")


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'AEIOUaeiou' else 'a'} {noun}"
