"""Attacked cells: those of the paper, each on the whole frame or the cell only, as floats or in 8 bit.

The crops are exactly black outside the cell, so an attack on the whole frame is seen by anyone who counts
pixels that are not black; and no camera gives floats. The honest attack changes the cell only, and succeeds
in 8 bit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.evaluation.attacks.carlini_wagner import carlini_wagner
from training.evaluation.attacks.deepfool import deepfool
from training.evaluation.attacks.gradient_sign import bim, fgsm
from training.evaluation.attacks.objectives import misclassified
from training.evaluation.attacks.problem import Attacked, Objective, foreground
from training.evaluation.detectors.observed import Images, in_eight_bit
from training.evaluation.imagesets import ImageSet
from training.networks import Network
from training.reference import BLOCK
from training.statistics import to_tensor

GREY_LEVEL = 1 / 255
BIM_STEPS = 10
_FINER = 5  # the adaptive attack's short steps, against its long ones
_CW: dict[str, int] = {"steps": 60, "searches": 4}  # a tenth of the authors': hours otherwise

Run = Callable[[Objective, Tensor, Tensor | None, bool], Attacked]


@dataclass(frozen=True)
class Attack:
    """One attack in one setting.

    Attributes:
        kind: which one, and how strong.
        run: objective, images, mask, whether in 8 bit, to the attacked images.
        cell_only: whether only pixels of the cell may change.
        eight_bit: whether the attacked image is one that a camera could give.
        share: of the cells at hand that it is tried on; small where an attack is dear.
    """

    kind: str
    run: Run
    cell_only: bool
    eight_bit: bool
    share: float = 1.0

    @property
    def name(self) -> str:
        """As it stands in the tables."""
        where, how = "cell only" if self.cell_only else "whole frame", "8 bit" if self.eight_bit else "float"
        return f"{self.kind}, {where}, {how}"


def _fgsm(levels: float) -> Run:
    return lambda objective, images, mask, eight_bit: fgsm(
        objective, images, levels * GREY_LEVEL, mask=mask, eight_bit=eight_bit
    )


def bim_run(levels: float, steps: int = BIM_STEPS) -> Run:
    """BIM within so many grey levels; all steps together go two and a half to four times as far."""
    length = _length(levels, steps)
    return lambda objective, images, mask, eight_bit: bim(
        objective,
        images,
        levels * GREY_LEVEL,
        steps=steps,
        step=length,
        mask=mask,
        eight_bit=eight_bit,
    )


def _length(levels: float, steps: int) -> float:
    return levels * GREY_LEVEL * max(2.5, min(4.0, steps / 10)) / steps


def _deepfool(objective: Objective, images: Tensor, mask: Tensor | None, eight_bit: bool) -> Attacked:
    return deepfool(objective, images, mask=mask, eight_bit=eight_bit)


def _cw(objective: Objective, images: Tensor, mask: Tensor | None, eight_bit: bool) -> Attacked:
    return carlini_wagner(objective, images, price=1.0, **_CW, mask=mask, eight_bit=eight_bit)


ATTACKS = (
    Attack("FGSM 12.75/255", _fgsm(12.75), cell_only=False, eight_bit=False),
    Attack("BIM 12.75/255", bim_run(12.75), cell_only=False, eight_bit=False),
    Attack("DeepFool", _deepfool, cell_only=False, eight_bit=False, share=0.5),
    Attack("CW", _cw, cell_only=False, eight_bit=False, share=0.2),
    Attack("FGSM 8/255", _fgsm(8), cell_only=True, eight_bit=True),
    Attack("BIM 2/255", bim_run(2), cell_only=True, eight_bit=True),
    Attack("BIM 4/255", bim_run(4), cell_only=True, eight_bit=True),
    Attack("BIM 8/255", bim_run(8), cell_only=True, eight_bit=True),
    Attack("DeepFool", _deepfool, cell_only=True, eight_bit=True, share=0.5),
    Attack("CW", _cw, cell_only=True, eight_bit=True, share=0.2),
)
# The one attack that the mode OTHER_ANOMALY has seen; made on validation cells, and no row of a table.
KNOWN = Attack("FGSM 4/255", _fgsm(4), cell_only=True, eight_bit=True)


def attacked_set(network: Network, cells: ImageSet, attack: Attack) -> ImageSet:
    """Attack cells that the classifier has right; keeps those whose class the attack has turned.

    Returns:
        The set, whose `attempts` tell how many cells were attacked; it may be empty. Images are uint8 where
        the attack is in 8 bit, else float32 [N, size, size, 3] in [0, 1].
    """
    some = np.arange(max(1, round(len(cells) * attack.share)))
    images, labels = as_tensors(network, cells, some)
    kept: list[Images] = []
    turned = [np.zeros(0, np.int64)]
    tried = 0
    for start in range(0, len(some), BLOCK):
        block, truth = images[start : start + BLOCK], labels[start : start + BLOCK]
        with torch.no_grad():
            right = network(block)[0].argmax(dim=1) == truth
        block, truth = block[right], truth[right]
        if not len(block):
            continue
        mask = foreground(block) if attack.cell_only else None
        made = attack.run(misclassified(network, truth), block, mask, attack.eight_bit)
        chosen = some[start : start + BLOCK][right.cpu().numpy()][made.succeeded.cpu().numpy()]
        kept.append(_as_images(made.images[made.succeeded], eight_bit=attack.eight_bit))
        turned.append(chosen)
        tried += len(block)
    chosen = np.concatenate(turned)
    return ImageSet(
        name=attack.name,
        group="attacks",
        images=cast("Images", np.concatenate(kept)) if kept else cells.pixels[:0],
        patients=cells.patients[chosen],
        labels=cells.labels[chosen],
        attempts=tried,
    )


def as_tensors(network: Network, cells: ImageSet, chosen: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """The chosen cells as network input, and their labels, where the network is."""
    device = next(network.parameters()).device
    return to_tensor(cells.pixels[chosen]).to(device), torch.from_numpy(cells.labels[chosen]).to(device)


def _as_images(images: Tensor, *, eight_bit: bool) -> Images:
    channels_last = np.asarray(images.permute(0, 2, 3, 1).cpu().numpy(), np.float32)
    return in_eight_bit(channels_last) if eight_bit else channels_last


@dataclass(frozen=True)
class Curve:
    """Success of an attack as its strength grows, on the same cells.

    Attributes:
        levels: strength in grey levels (L-infinity), each.
        classifier: share of the attacked cells whose class is turned, by an attack on the class alone.
        unnoticed: share that is turned and accepted, by that same attack.
        adaptive: share that is turned and accepted, by an attack on the whole decision.
        cells: how many were attacked: right and accepted when clean.
    """

    levels: tuple[float, ...]
    classifier: tuple[float, ...]
    unnoticed: tuple[float, ...]
    adaptive: tuple[float, ...]
    cells: int


@dataclass(frozen=True)
class Wanted:
    """What an attacker wants of some images: objectives, which are above 0 where it is reached.

    Attributes:
        turned: another class.
        both: another class, accepted.
        aim: what to raise to reach both: the same, but smooth.
    """

    turned: Objective
    both: Objective
    aim: Objective


def adaptive_curve(
    images: Tensor,
    labels: Tensor,
    wanted_of: Callable[[Tensor], Wanted],
    levels: tuple[float, ...],
    *,
    steps: int,
) -> Curve:
    """How the deployed decision falls to an attacker who knows it, on the cell only and in 8 bit.

    At every strength the adaptive attack goes on from where a weaker one got to, in long steps and then in
    ever shorter ones, and once more from as near as it may come to another cell, which is of another class
    and accepted. It also counts where the attack on the class alone went unnoticed, and where a weaker attack
    succeeded: the attacker may use any, so success neither falls with strength nor below the other.

    Args:
        images: [N, 3, H, W] in [0, 1]: cells that are right and accepted.
        labels: integers [N], their classes.
        wanted_of: numbers of some images [M] to what is wanted of those.
        levels: strengths in grey levels, growing.
        steps: of every attack.
    """
    everyone = wanted_of(torch.arange(len(images), device=images.device))
    turned, unnoticed, adaptive = [], [], []
    beaten = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    mask, reached, others = foreground(images), images.clone(), _of_another_class(images, labels)
    for level in levels:
        plain = bim_run(level, steps)(everyone.turned, images, mask, True)  # noqa: FBT003 - as Run says
        with torch.no_grad():
            slipped = plain.succeeded & (everyone.both(plain.images) > 0)
        beaten = beaten | slipped
        usual, again = _lengths(level, steps), others.clone()
        # Long steps would only spoil another cell.
        climbs = [*((reached, length) for length in usual), *((again, length) for length in usual[1:])]
        for climbers, length in climbs:
            left = (~beaten).nonzero()[:, 0]
            if len(left) == 0:
                break
            wanted = wanted_of(left)
            found = bim(
                wanted.aim,
                images[left],
                level * GREY_LEVEL,
                steps=steps,
                step=length,
                start=climbers[left],
                mask=mask[left],
                eight_bit=True,
            ).images
            climbers[left] = found
            with torch.no_grad():
                beaten[left] |= wanted.both(found) > 0
        turned.append(float(plain.succeeded.float().mean()))
        unnoticed.append(float(slipped.float().mean()))
        adaptive.append(float(beaten.float().mean()))
    return Curve(levels, tuple(turned), tuple(unnoticed), tuple(adaptive), len(images))


def _lengths(level: float, steps: int) -> tuple[float, ...]:
    """Of the adaptive attack's steps: the usual one, a shorter one, and a grey level at most."""
    usual = _length(level, steps)
    return usual, usual / _FINER, min(usual / _FINER, GREY_LEVEL)


def _of_another_class(images: Tensor, labels: Tensor) -> Tensor:
    """For every image another one, of another class; the image itself where there is none."""
    places = torch.arange(len(images), device=images.device)
    for place in range(len(images)):
        of_others = (labels != labels[place]).nonzero()[:, 0]
        if len(of_others):
            places[place] = of_others[place % len(of_others)]
    return images[places]
