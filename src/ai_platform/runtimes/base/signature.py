"""A model's named, typed inputs and outputs."""

from typing import Literal

import msgspec

FeatureType = Literal["number", "integer", "string", "boolean"]


class Feature(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One named input.

    Attributes:
        name: as in training.
        type: its JSON type; `number` takes integers too.
        nullable: whether null is admitted, because training had missing values.
        minimum: smallest value seen in training (inclusive); shown, and enforced only when declared.
        maximum: largest value seen in training (inclusive).
        enforced: whether minimum and maximum were declared, so that values outside are refused.
        categories: values seen in training or known to the encoder (at most 100); shown, never enforced, because what
            becomes of an unknown one is the encoder's to say.
        example: a value that appears in the documentation's examples.
        binary: of a number or integer, whether only 0 and 1 were seen; then true is 1 and false is 0.
    """

    name: str
    type: FeatureType = "number"
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    enforced: bool = False
    categories: tuple[int | float | str | bool, ...] | None = None
    example: float | int | str | bool | None = None
    binary: bool = False


class Signature(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Inputs in the order of training, and what comes out.

    Attributes:
        inputs: at least one feature.
        classes: for a classifier, the classes' names in the order of the probabilities; None for a regressor.
        class_values: for a classifier, what it predicts for each of `classes`, where that is not the name itself
            (iris predicts 0 and names it setosa).
        ignored: names of columns that training or its sample had and that are no inputs; an instance by name may have
            them, and they are not read.
        extra: what becomes of an instance by name that has any other name: it is refused, or the name is ignored.
        respelt: whether the model's library writes names in another way than training did (LightGBM: `_` for a blank);
            then an instance may have either.
    """

    inputs: tuple[Feature, ...]
    classes: tuple[str, ...] | None = None
    class_values: tuple[int | float | str | bool, ...] | None = None
    ignored: tuple[str, ...] = ()
    extra: Literal["refuse", "ignore"] = "refuse"
    respelt: bool = False
