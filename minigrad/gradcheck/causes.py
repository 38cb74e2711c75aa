"""What a wrong gradient looks like: a guess at the cause, when the pattern is clear.

Both Jacobians are seen as arrays of shape (*output, *input). Each pattern is a simple statement about the wrong one
in terms of the right one; the first that holds is told.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from minigrad.backend import Array, module_for, to_host

host: Any = module_for("cpu")
Guess = tuple[str, str]
Others = Mapping[str, tuple[Any, Callable[[], Any]]]
SLACK = 1e-6  # relative to the largest element


def guess(
    analytic: Any, expected: Any, out_shape: tuple[int, ...], in_shape: tuple[int, ...], others: Others,
    arrays: dict[str, Array], bad: Any,
) -> Guess:
    """The pattern, as one word and as a sentence; two empty strings when none is clear.

    Args:
        analytic, expected: Jacobians (M, N), the wrong one and the right one.
        out_shape, in_shape: what M and N stand for.
        others: the Jacobians of other inputs of the same size by name: the analytic one, and how to get the other.
        arrays: values that a factor may come from, by name.
        bad: which elements are wrong.
    """
    if not host.isfinite(analytic).all():
        return "nan", "it holds NaN or infinity, and minigrad.detect_anomaly() tells which op makes them first"
    if not analytic.any():
        return "zero", "the gradient is zero everywhere"
    if not expected.any():
        return "not zero", "the gradient should be zero everywhere"
    unit = abs(expected).max()  # so that no square overflows
    analytic, expected = analytic / unit, expected / unit
    if _same(analytic, expected, expected):  # no pattern shows that the eye could see
        return _few(bad) or ("", "")
    if found := _factor(analytic, expected, in_shape, out_shape):
        return found
    for label, (other, other_expected) in others.items():
        other = other / unit
        exchanged = _same(expected, other, expected) and _same(analytic, other_expected() / unit, expected)
        if exchanged or _same(analytic, other, expected):
            return "swapped", f"it is what belongs to {label}: are the arguments swapped?"
    wrong, right = analytic.reshape(*out_shape, *in_shape), expected.reshape(*out_shape, *in_shape)
    count = len(out_shape)
    for pattern in (_permuted, _shifted, _reversed, _not_transposed, _not_flipped, _partly_zero, _partly_not_zero):
        if found := pattern(wrong, right, count):
            return found
    return (
        _scaled(analytic, expected, out_shape, in_shape, arrays) or _few(bad) or _axes(wrong, right, count) or ("", "")
    )


def _same(a: Any, b: Any, reference: Any) -> bool:
    """Whether a and b are equal, up to the accuracy of a numeric derivative."""
    return a.shape == b.shape and bool(abs(a - b).max(initial=0.0) <= SLACK * abs(reference).max())


def _factor(wrong: Any, right: Any, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> Guess | None:
    """One constant ratio."""
    unit = max(abs(wrong).max(), abs(right).max())  # so that no square overflows
    ratio = float((wrong / unit * right).sum() / (right / unit * right).sum())
    if abs(ratio - 1) < 1e-5 or not _same(wrong, ratio * right, right * max(abs(ratio), 1e-3)):
        return None
    if abs(ratio + 1) < 1e-5:
        return "sign", "the sign is wrong"
    text = f"every element is {ratio:.6g} times what it should be"
    for name, shape in (("the input", in_shape), ("the output", out_shape)):
        for axis, length in enumerate(shape):
            if length > 1 and min(abs(ratio - length), abs(ratio * length - 1)) < 1e-5:
                return "factor", f"{text}; axis {axis} of {name} is {length} long: is a mean taken for a sum, or back?"
    return "factor", text


def _permuted(wrong: Any, right: Any, count: int) -> Guess | None:
    """Axes of the input, or of the output, exchanged."""
    rank = right.ndim - count
    for order in itertools.islice(itertools.permutations(range(rank)), 1, 24):
        moved = right.transpose(*range(count), *(count + k for k in order))
        if _same(wrong, moved, right):
            if rank != count:  # a reduction or a broadcast has no transpose
                return "axis", f"the axes of the input are exchanged, as {order}: is it reduced over the wrong axis?"
            return "transposed", f"it is the transpose of what it should be, with axes {order}"
        if moved.shape != wrong.shape and _same(wrong, moved.reshape(wrong.shape), right):
            return "transposed", f"it is the transpose of what it should be, with axes {order}, reshaped"
    for order in itertools.islice(itertools.permutations(range(count)), 1, 24):
        if _same(wrong, right.transpose(*order, *range(count, right.ndim)), right):
            if rank != count:
                return "axis", f"the axes of the output's gradient are exchanged, as {order}: is the wrong axis summed?"
            return "transposed", f"the output's gradient is transposed, with axes {order}"
    return None


def _cut(array: Any, axis: int, start: int | None, stop: int | None) -> Any:
    return array[(slice(None),) * axis + (slice(start, stop),)]


def _shifted(wrong: Any, right: Any, count: int) -> Guess | None:
    """The same numbers one place further along an axis of the input, of the output, or of both."""
    places: list[tuple[int, ...]] = [(axis,) for axis in (*range(count, right.ndim), *range(count))]
    places += [(i, count + j) for i in range(count) for j in range(right.ndim - count)]
    for axes in places:
        for by in (1, -1):
            if any(right.shape[axis] < 2 for axis in axes):
                continue
            here, there = wrong, right
            for axis in axes:
                here = _cut(here, axis, 1, None) if by == 1 else _cut(here, axis, None, -1)
                there = _cut(there, axis, None, -1) if by == 1 else _cut(there, axis, 1, None)
            if _same(here, there, right) and abs(there).max() > 1e-3 * abs(right).max():
                axis = axes[-1]
                where = f"axis {axis - count} of the input" if axis >= count else f"axis {axis} of the output"
                return "shifted", f"it is shifted by {by:+d} along {where}"
    return None


def _reversed(wrong: Any, right: Any, count: int) -> Guess | None:
    """Backwards along an axis."""
    for axis in range(right.ndim):
        if _same(wrong, host.flip(right, axis), right):
            where = f"axis {axis - count} of the input" if axis >= count else f"axis {axis} of the output"
            return "reversed", f"it runs backwards along {where}"
    return None


def _not_transposed(wrong: Any, right: Any, count: int) -> Guess | None:
    """What should be the transpose of a map of one axis is that map itself: g b for g b^T, a kernel left unflipped."""
    for o, i in itertools.product(range(count), range(count, right.ndim)):
        if right.shape[o] == right.shape[i] > 1 and _same(wrong, right.swapaxes(o, i), right):
            text = f"axis {o} of the output and axis {i - count} of the input are exchanged"
            return "transposed", f"{text}: is a factor not transposed, or a kernel not flipped?"
    return None


def _not_flipped(wrong: Any, right: Any, count: int) -> Guess | None:
    """Backwards along an axis of the output and one of the input at once: a kernel's taps, whatever its padding."""
    for o, i in itertools.product(range(count), range(count, right.ndim)):
        length = right.shape[i]
        if right.shape[o] < 2 or length < 2:
            continue
        flipped = host.flip(right, (o, i))
        for by in sorted(range(-length // 2, length // 2 + 1), key=abs):
            here = _cut(wrong, i, max(-by, 0), length - max(by, 0))
            there = _cut(flipped, i, max(by, 0), length - max(-by, 0))
            if _same(here, there, right) and 2 * abs(there).sum() > abs(right).sum():
                text = f"axis {o} of the output and axis {i - count} of the input run backwards together"
                return "transposed", f"{text}: is a kernel not flipped?"
    return None


def _partly_zero(wrong: Any, right: Any, count: int) -> Guess | None:
    """Right wherever it is not zero."""
    tiny = SLACK * abs(right).max()
    lost = (abs(wrong) <= tiny) & (abs(right) > tiny)
    if not lost.any() or not _same(host.where(lost, right, wrong), right, right):
        return None
    for axis in range(count):
        others = tuple(k for k in range(right.ndim) if k != axis)
        kept = host.flatnonzero(abs(wrong).max(axis=others) > tiny)
        if len(kept) == 1 < (abs(right).max(axis=others) > tiny).sum():
            return "zero", f"only slice {int(kept[0])} along axis {axis} of the output counts: a sum over it is missing"
    return "zero", f"it is zero at {int(lost.sum())} of {right.size} places where it should not be: is a part missing?"


def _partly_not_zero(wrong: Any, right: Any, count: int) -> Guess | None:
    """Right wherever it should not be zero."""
    tiny = SLACK * abs(right).max()
    extra = (abs(right) <= tiny) & (abs(wrong) > tiny)
    if not extra.any() or not _same(host.where(extra, right, wrong), right, right):
        return None
    where = f"{int(extra.sum())} of {right.size} places"
    return "not zero", f"it is not zero at {where} where it should be: is a mask missing?"


def _scaled(
    wrong: Any, right: Any, out_shape: tuple[int, ...], in_shape: tuple[int, ...], arrays: dict[str, Array]
) -> Guess | None:
    """Each column, or each row, off by a factor that is the value of some array."""
    for axis, shape in ((0, in_shape), (1, out_shape)):
        with host.errstate(all="ignore"):
            ratio = (wrong * right).sum(axis) / (right * right).sum(axis)
        known = host.isfinite(ratio)
        ratio = host.where(known, ratio, 1.0)
        scaled = right * (ratio if axis == 0 else ratio[:, None])
        if not _same(wrong, scaled, abs(right).max() * host.maximum(abs(ratio), 1.0)):
            continue
        for label, array in arrays.items():
            values = to_host(array)
            try:
                values = host.broadcast_to(values, shape).reshape(-1)
            except ValueError:
                continue
            if (abs(ratio - values)[known] <= SLACK * abs(values).max()).all():
                return "argument", f"a factor {label} too many: every element is {label} times what it should be"
            if (abs(ratio * values - 1)[known] <= SLACK * max(1.0, abs(values).max())).all():
                return "argument", f"the factor {label} is missing"
    return None


def _few(bad: Any) -> Guess | None:
    """Only few elements of the input."""
    count, size = int(bad.any(0).sum()), bad.shape[1]
    if 8 * count > size:
        return None
    return "few", f"only {count} of the {size} elements that were compared {'is' if count == 1 else 'are'} wrong"


def _axes(wrong: Any, right: Any, count: int) -> Guess | None:
    """Along which axes do elements of the output see only their own place in the input?"""
    here, there = _local(wrong, count), _local(right, count)
    if here == there or not (here or there):
        return None
    kept, due = (", ".join(f"{o} (input {i})" for o, i in sorted(pairs)) or "none" for pairs in (here, there))
    return "axis", f"elements are kept apart along axis {kept} of the output, and should be along {due}"


def _local(jacobian: Any, count: int) -> set[tuple[int, int]]:
    """Pairs of an output axis and an input axis off whose diagonal the Jacobian vanishes."""
    tiny = SLACK * abs(jacobian).max()
    pairs = set()
    for o in range(count):
        for i in range(count, jacobian.ndim):
            length = jacobian.shape[o]
            if length == jacobian.shape[i] > 1:
                off = host.moveaxis(jacobian, (o, i), (0, 1))[~host.eye(length, dtype=bool)]
                if abs(off).max(initial=0.0) <= tiny:
                    pairs.add((o, i - count))
    return pairs
