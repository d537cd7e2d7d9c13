"""What messages say of a key that is wrong, or takes another value."""

from __future__ import annotations

from gsnr_sweep.config.program import launch_program
from gsnr_sweep.config.schema import help_of
from gsnr_sweep.wording import did_you_mean

_BATCH = (
    "With optim=gd each step takes the whole training set, since eq. (19) speaks of full-batch "
    "gradient descent; its size is n. Other rules have mini-batches: optim=sgd optim.batch_size=32."
)
# What other tools call things.
_ELSEWHERE = {
    **dict.fromkeys(("batch_size", "batchsize", "batch", "bs", "minibatch"), _BATCH),
    **dict.fromkeys(
        ("momentum", "weight_decay", "betas", "nesterov"),
        "With optim=gd weights move by plain full-batch gradient descent, as in eq. (19). Other "
        "rules have arguments: optim=sgd optim.args.momentum=0.9, optim=adam "
        "optim.args.weight_decay=0.01.",
    ),
    **dict.fromkeys(
        ("scheduler", "lr_scheduler"),
        "With optim=gd the learning rate, lr, is constant, as in eq. (19). Other rules have a "
        "schedule: optim=sgd optim.schedule=cosine.",
    ),
    **dict.fromkeys(("learning_rate", "eta0", "step_size"), "Did you mean lr?"),
    **dict.fromkeys(
        ("steps", "n_steps", "max_steps", "iterations", "num_epochs"), "Did you mean epochs?"
    ),
    **dict.fromkeys(("width", "channels", "hidden", "hidden_size"), "Did you mean ch?"),
    **dict.fromkeys(("n_train", "train_size", "num_samples"), "Did you mean n?"),
    **dict.fromkeys(("label_noise", "noise"), "Did you mean p_random?"),
    **dict.fromkeys(
        ("gpu", "gpus", "cuda"), "Did you mean device, or with -m hydra.launcher.gpus?"
    ),
    **dict.fromkeys(
        ("loss_fn", "criterion", "objective"),
        "The loss is a group: loss=cross_entropy, loss=hinge, loss=mse, or loss=custom "
        "loss._target_=….",
    ),
    "label_smoothing": "It belongs to loss=cross_entropy: loss.label_smoothing=0.1.",
    **dict.fromkeys(
        ("early_stopping", "patience", "max_loss", "target_loss", "min_loss"),
        "Training stops by stop.train_loss or stop.train_error.",
    ),
    **dict.fromkeys(
        ("dropout", "p_dropout", "drop"),
        "Dropout belongs to the network, as an argument of its class: +model.args.dropout=0.5, and "
        "wants mini-batches (optim=sgd).",
    ),
    **dict.fromkeys(("workers", "num_workers", "n_jobs"), "With -m it is hydra.launcher.workers."),
}


def suggest(name: str, known: list[str]) -> str:
    """Propose the known key that looks like `name`, or whose last part does, or that is meant."""
    if meant := _ELSEWHERE.get(name.rpartition(".")[2].lower()):
        return meant
    last_parts = {key.rpartition(".")[2]: key for key in sorted(known)}
    proposed = did_you_mean(name, known) or did_you_mean(name, last_parts)
    return proposed or f"See `{launch_program()} --help` for the keys."


def not_allowed(key: str, value: object, allowed: tuple[str, ...]) -> str:
    """Say that a key does not take this value, and which ones it takes."""
    return f"{key}={value}: {help_of(key)}. Allowed: {', '.join(allowed)}."
