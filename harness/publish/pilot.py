"""A pilot's record as a Markdown table, ready for a research log."""

from harness.campaign.pilot import Choice


def pilot_table(choice: Choice, rule: str) -> str:
    """Return the gains by rate and steps, what the rule chooses, and whether the protocol declares it."""
    steps = sorted({gain.steps for gain in choice.gains})
    found = {(gain.learning_rate, gain.steps): gain for gain in choice.gains}
    lines = [
        f"Pilot of protocol {choice.protocol}: mean validation gain of the healthy rank over its base "
        f"({choice.base_accuracy:.3f}), with standard error and runs.",
        "",
        "| learning rate | " + " | ".join(f"{n} steps" for n in steps) + " |",
        "|---" * (len(steps) + 1) + "|",
    ]
    for rate in sorted({gain.learning_rate for gain in choice.gains}):
        cells = [found.get((rate, n)) for n in steps]
        shown = (f"{at.mean:+.3f} ± {at.standard_error:.3f} (n={at.n_runs})" if at else "" for at in cells)
        lines.append(f"| {rate:g} | " + " | ".join(shown) + " |")
    chosen = f"{choice.steps} steps, learning rate {choice.learning_rate:g}, healthy gain {choice.healthy_gain:.3f}"
    gain = "none" if choice.declared_healthy_gain is None else f"{choice.declared_healthy_gain:.3f}"
    declared = f"{choice.declared_steps} steps, learning rate {choice.declared_learning_rate:g}, healthy gain {gain}"
    agreement = "as declared" if choice.agrees else f"the protocol declares {declared}: change it to the rule's choice"
    return "\n".join([*lines, "", f"Rule: {rule}.", f"Chosen: {chosen} ({agreement})."])
