"""Laws of combinations: whatever words are put together, they train, or are refused with the reason."""

from __future__ import annotations

import itertools
import math
import random
import re

import pytest
from tiny import Blobs

from steelyard.core.errors import CombinationError
from steelyard.core.fit import fit
from steelyard.core.regime import Regime
from steelyard.settings import choose, known_names, resolve_method, words_in
from steelyard.settings.words import WORDS

REGIME = Regime(epochs=2, batch_size=47, lr=0.05)
PAIRS_OF_A_KIND = 4
SENTENCES = 16

WRITTEN = {
    ("loss", "class-smoothing"): "class-smoothing(0.1,0.3,head)",
    ("loss", "joint-nt-xent"): "joint-nt-xent(focal)",
    ("loss", "joint-vicreg"): "joint-vicreg(cross-entropy)",
    ("weighting", "batch-normalised"): "batch-normalised(inverse-frequency)",
    ("weighting", "deferred"): "deferred(effective-number(0.9),after=0.5)",
    ("weighting", "loss-curves"): "loss-curves(epochs=2)",
    ("transform", "major-to-minor"): "major-to-minor(after=0.5)",
    ("decision", "scale"): "scale(2.0)",
}
"""Words that want a value, or are put to work at once in so short a training; all others are written by their names."""

ALL = {word: [WRITTEN.get((word, name), name) for name in words_in(word)] for word in WORDS}


def refused(text: str) -> str | None:
    """The reason why a text is no method; None if it is one."""
    try:
        resolve_method(text)
    except CombinationError as error:
        return str(error)
    return None


USABLE = {word: [text for text in texts if refused(f"{word}={text}") is None] for word, texts in ALL.items()}
"""Those that can be written as text."""


@pytest.mark.parametrize(("word", "text"), [(word, text) for word, texts in ALL.items() for text in texts])
def test_a_word_can_be_written_or_names_the_method_that_brings_it(word: str, text: str) -> None:
    reason = refused(f"{word}={text}")
    if reason is None:
        assert choose(word, text).name in words_in(word)
        return
    named = re.findall(r"'([\w-]+)'", reason.partition("use the method")[2])
    assert named, reason
    assert set(named) <= set(known_names("method"))


def pairs() -> list[str]:
    """Some pairs of words of every two kinds: in each the words are taken in turn, so that every word meets every kind."""
    stream = random.Random(0)
    found = []
    for one, other in itertools.combinations(WORDS, 2):
        firsts, seconds = stream.sample(USABLE[one], len(USABLE[one])), stream.sample(USABLE[other], len(USABLE[other]))
        most = min(PAIRS_OF_A_KIND, max(len(firsts), len(seconds)))
        found += [f"{one}={firsts[n % len(firsts)]} {other}={seconds[n % len(seconds)]}" for n in range(most)]
    return found


def sentences() -> list[str]:
    """A word of every kind at once; those whose loss and weighting leave the prior to one of them are not refused for it."""
    stream = random.Random(1)
    plain = {"sampler": ["shuffled"], "decision": ["scale(2.0)", "tau-normalize"], "weighting": ["uniform", "rdr", "cdb"]}
    found = []
    for number in range(SENTENCES):
        words = USABLE if number % 4 == 0 else USABLE | plain
        found.append(" ".join(f"{word}={stream.choice(words[word])}" for word in WORDS))
    return found


def trains_or_says_why(text: str) -> bool:
    """Did it train?"""
    try:
        fitted = fit(Blobs(), resolve_method(text), REGIME, device="cpu")
    except CombinationError as error:
        reason = str(error)
        assert "\n" not in reason
        assert 20 < len(reason) < 500
        return False
    assert all(math.isfinite(line["train_loss"]) for line in fitted.history)
    return True


@pytest.mark.parametrize("text", pairs())
def test_two_words_train_or_are_refused_with_the_reason(text: str) -> None:
    trains_or_says_why(text)


@pytest.mark.parametrize("text", sentences())
def test_a_word_of_every_kind_trains_or_is_refused_with_the_reason(text: str) -> None:
    trains_or_says_why(text)


@pytest.mark.parametrize(
    "text",
    [
        "loss=la weighting=rdr descent=sam(rho=0.1) transform=mixup",
        "loss=focal weighting=deferred(cdb,after=0.5) descent=imb-sam transform=remix sampler=power",
        "loss=ldam weighting=cdb descent=meta-balance",
        "loss=joint-nt-xent(la) transform=two-views descent=sam",
        "l2rw descent=sam loss=focal",
        "ldam+drw descent=asymmetric-sam",
        "rdr loss=la(tau=0.5) decision=scale(2.0)",
        "mw-net loss=class-smoothing(0.1,0.1,head)",
    ],
)
def test_these_train(text: str) -> None:
    assert trains_or_says_why(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("loss=la weighting=inverse-frequency", "the class prior would be corrected twice"),
        ("loss=la sampler=balanced", "the class prior would be corrected twice"),
        ("loss=la decision=logit-shift", "the class prior would be corrected twice"),
        ("loss=la loss=focal", "both set the loss"),
        ("l2rw weighting=rdr", "both set the weighting"),
        ("crt descent=sam", "trains in several stages"),
        ("transform=cut-mix", "cutmix pastes rectangles of images"),
        ("loss=joint-nt-xent(focal)", "add transform=two-views"),
        ("weighting=mw-net loss=la", "use the method 'mw-net', which brings it"),
    ],
)
def test_these_are_refused(text: str, says: str) -> None:
    with pytest.raises(CombinationError) as caught:
        fit(Blobs(), resolve_method(text), REGIME, device="cpu")
    assert says in str(caught.value)
