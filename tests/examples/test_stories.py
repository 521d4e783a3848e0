"""The answers of the stories, worked out again from their sentences alone."""

import numpy as np
import pytest

from memory_network import stories


def where(question):
    """Follows persons and things through the sentences; returns the place of what is asked."""
    at, held_by, lies_at = {}, {}, {}
    for sentence in question.story:
        words = sentence.split()
        person = words[0]
        things = [word for word in words if word in stories.THINGS]
        if not things:
            assert at.get(person) != words[-1]
            at[person] = words[-1]
        elif words[1] in ("picked", "got", "took", "grabbed"):
            assert things[0] not in held_by
            assert lies_at.pop(things[0], at[person]) == at[person]
            held_by[things[0]] = person
        else:
            assert held_by.pop(things[0]) == person
            lies_at[things[0]] = at[person]
    asked = question.question.split()[-1]
    return at[held_by[asked]] if asked in held_by else lies_at.get(asked) or at[asked]


@pytest.mark.parametrize("task", [1, 2])
def test_answers_follow_from_the_sentences(task):
    told = stories.make(task, 500, seed=5)
    assert len(told) == 500
    assert [q.answer for q in told] == [where(q) for q in told]
    counts = np.unique([q.answer for q in told], return_counts=True)[1]
    assert len(counts) == len(stories.PLACES) and counts.max() < 150  # no place says it all
    assert told == stories.make(task, 500, seed=5) != stories.make(task, 500, seed=7)


def test_arrays():
    one = stories.Question(("mary went to the garden",) * 60, "where is mary", "garden")
    short = stories.Question(one.story[:2], one.question, one.answer)
    inputs, answers = stories.arrays([one, short])
    assert inputs["story"].shape == (2, stories.MEMORY, stories.SENTENCE)
    words = [stories.WORDS[number - 1] for number in inputs["story"][1, 1] if number]
    assert words == ["mary", "went", "to", "the", "garden"]
    assert not inputs["story"][1, 2:].any()
    assert [stories.WORDS[number - 1] for number in answers] == ["garden", "garden"]
