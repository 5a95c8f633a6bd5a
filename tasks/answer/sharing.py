"""May the GANs and their images be shared? What is promised, and what attacks reach, in words."""

from __future__ import annotations

from tasks.answer.words import NOTHING, decimal, percent
from tasks.contracts.privacy import FALSE_POSITIVES, Guarantee, most_true_positives
from tasks.lift.sharing import Attack, Reached, Sharing

_LITTLE = 0.5  # found at 1 % false alarms; ε of about 4 allows it
ATTACKS = {
    "nearest": "the GAN images alone",
    "discriminator": "the GANs’ discriminators",
}
HOW = {
    "nearest": "From the GAN images: the nearer the nearest one of the same class, the more likely "
    "(GAN-Leaks, Chen et al. 2020), by a stranger who has the whole pool or a generator.",
    "discriminator": "From the discriminators: the more real they find an image, averaged over the "
    "GANs, the more likely (LOGAN, Hayes et al. 2019), by a stranger who has whole checkpoints.",
}


def in_short(found: Sharing) -> str:
    """Return whether the GANs and what they made may be shared, as it stands beside a verdict."""
    if found.guarantee is not None:
        said = (
            "The generators and the images they made can be shared under "
            f"{epsilon_delta(found.guarantee)}-differential privacy of {unit(found.guarantee)}. "
            "The accepted images, the classifiers and this report are not covered."
            f"{_little(found.guarantee)}"
        )
        return f"{said} {BROKEN}" if any(of.breaks for of in found.attacks.values()) else said
    return (
        "If the real images are private, share neither the GANs nor their images: the GANs were "
        f"trained without a guarantee of privacy. {_told(found)}"
    ).rstrip()


def _little(guarantee: Guarantee) -> str:
    """Say so where ε is so large that the promise alone keeps an attacker from little."""
    most = most_true_positives(guarantee.epsilon_together, guarantee.delta, FALSE_POSITIVES)
    if most < _LITTLE:
        return ""
    return (
        " So large an ε promises little by itself: it allows an attack that finds "
        f"{percent(most)} % of the training images at {percent(FALSE_POSITIVES, 0)} % false "
        "alarms; what the attacks found stands below."
    )


BROKEN = (
    "But an attack reached more than that allows: that happens by chance in about one of 40 "
    "measurements, or the guarantee does not hold. Don’t share before a second run says otherwise."
)


def epsilon_delta(guarantee: Guarantee) -> str:
    """Return what is spent in all: ``(ε = 8.2, δ = 1e-05)``."""
    return f"(ε = {guarantee.epsilon_together:.3g}, δ = {guarantee.delta:g})"


def unit(guarantee: Guarantee) -> str:
    """Return what a guarantee hides."""
    return {
        "image": "any single training image",
        "group": "all training images of any one group",
    }[guarantee.unit]


def spent(guarantee: Guarantee) -> str:
    """Return what the guarantee rests on, a sentence."""
    each = (
        f"each of {guarantee.gans} GANs spends ε = {guarantee.epsilon:.3g}, "
        f"all together {guarantee.epsilon_together:.3g}"
        if guarantee.gans > 1
        else f"the GAN spends ε = {guarantee.epsilon:.3g}"
    )
    return (
        f"{each[0].upper()}{each[1:]}, at δ = {guarantee.delta:g}: "
        f"{guarantee.steps:,} steps of the discriminator, each on any of "
        f"{guarantee.units:,} {guarantee.unit}s with probability {guarantee.sample_rate:.3g}, "
        f"gradients clipped to {guarantee.max_grad_norm:g}, noise of "
        f"{guarantee.noise_multiplier:.3g} times that."
    )


def area(attack: Attack) -> str:
    """Return the AUC with its interval: ``0.53 [0.49, 0.58]``."""
    return f"{decimal(attack.auc.value, 2)} {_ends(attack.auc)}"


def rate(attack: Attack) -> str:
    """Return the true-positive rate with its interval, in percent; a dash where it is not told."""
    if attack.tpr is None:
        return NOTHING
    low, high = (percent(end) for end in (attack.tpr.ci_low, attack.tpr.ci_high))
    return f"{percent(attack.tpr.value)} % [{low}, {high}]"


def allowed(attack: Attack) -> str:
    """Return what the guarantee allows an attack to reach, both figures."""
    if attack.most_auc is None or attack.most_tpr is None:
        return "no bound"
    return f"AUC {decimal(attack.most_auc, 2)}, {percent(attack.most_tpr)} %"


def outcome(attack: Attack) -> str:
    """Return what came out of an attack, in a word or two."""
    if attack.breaks:
        return "more than the guarantee allows"
    return "better than chance" if attack.finds else "no better than chance"


def _told(found: Sharing) -> str:
    """Say what the attack reached that finds something and needs least."""
    finding = [name for name, of in found.attacks.items() if of.finds]
    if finding:
        name = finding[0]
        said = (
            f"From {ATTACKS.get(name, name)}, an attack tells training images from others better "
            f"than chance{_figures(found.attacks[name])}."
        )
        if name != "nearest" and "nearest" in found.attacks:
            said += f" From {ATTACKS['nearest']}, it does not; that is no promise."
        return said
    for attack in found.attacks.values():
        return (
            f"The attacks that were tried do no better than chance{_figures(attack)}, which is no "
            "promise that a better one would not."
        )
    return ""


def _figures(attack: Attack) -> str:
    """Return both figures in brackets, as they stand in a sentence."""
    said = f"AUC {area(attack)}, chance is 0.50"
    if attack.tpr is not None:
        wrong = percent(FALSE_POSITIVES, 0)
        said += f"; it finds {rate(attack)} of them at {wrong} % false alarms"
    return f" ({said})"


def _ends(found: Reached) -> str:
    return f"[{decimal(found.ci_low, 2)}, {decimal(found.ci_high, 2)}]"
