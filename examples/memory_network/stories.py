"""Stories like those of bAbI's tasks 1 and 2, by a simulation of their small world.

Four persons go from place to place; in task 2 they pick things up and drop them, too. Every story
has five questions. Task 1: where is a person, which one sentence tells. Task 2: where is a thing,
which takes two: who has or dropped it, and where that person went.

Reference: Weston et al., 2015, https://arxiv.org/abs/1502.05698.
"""

import dataclasses

import numpy as np

PERSONS = ("mary", "john", "daniel", "sandra")
PLACES = ("bathroom", "bedroom", "garden", "hallway", "kitchen", "office")
THINGS = ("apple", "football", "milk")
GO = ("moved to", "went to", "journeyed to", "travelled to", "went back to")
TAKE = ("picked up the {} there", "got the {} there", "took the {} there", "grabbed the {} there")
DROP = ("put down the {}", "dropped the {}", "discarded the {}", "left the {} there")
WORDS = sorted(
    {*PERSONS, *PLACES, *THINGS, "the", "where", "is"}
    | {word for phrase in (*GO, *TAKE, *DROP) for word in phrase.split() if word != "{}"}
)
NUMBERS = {word: number for number, word in enumerate(WORDS, 1)}  # 0 is padding
VOCABULARY_SIZE = 1 + len(WORDS)
QUESTIONS = 5  # of a story
SENTENCE, MEMORY = 6, 50  # words of a sentence at most; sentences that are kept


@dataclasses.dataclass(frozen=True)
class Question:
    """Story so far, question, and the one word that answers it."""

    story: tuple
    question: str
    answer: str


def tell(generator, task):
    """One story as its questions."""
    at, held_by, lies_at, told, questions = {}, {}, {}, [], []
    hidden = {thing: generator.choice(PLACES) for thing in THINGS}  # before anybody finds it
    while len(questions) < QUESTIONS:
        for _ in range(2 if task == 1 else generator.integers(2, 6)):
            told.append(happen(generator, task, at, held_by, lies_at, hidden))
        if task == 1:
            asked = generator.choice(sorted(at))
            question, answer = f"where is {asked}", at[asked]
        else:
            known = sorted({*held_by, *lies_at})
            if not known:
                continue
            asked = generator.choice(known)
            question = f"where is the {asked}"
            answer = at[held_by[asked]] if asked in held_by else lies_at[asked]
        questions.append(Question(tuple(told), question, str(answer)))
    return questions


def happen(generator, task, at, held_by, lies_at, hidden):
    """Changes the world in one way that is possible; returns the sentence that tells it."""
    person = str(generator.choice(PERSONS))
    if task == 2 and person in at:
        here = [x for x, place in {**hidden, **lies_at}.items() if place == at[person]]
        has = [x for x, who in held_by.items() if who == person]
        kind = generator.random()
        if here and kind < 0.5:
            thing = generator.choice(here)
            hidden.pop(thing, None)
            lies_at.pop(thing, None)
            held_by[thing] = person
            return f"{person} {generator.choice(TAKE).format(thing)}"
        if has and kind > 0.75:
            thing = generator.choice(has)
            del held_by[thing]
            lies_at[thing] = at[person]
            return f"{person} {generator.choice(DROP).format(thing)}"
    place = generator.choice([place for place in PLACES if place != at.get(person)])
    at[person] = place
    return f"{person} {generator.choice(GO)} the {place}"


def make(task, questions, seed):
    """`questions` questions, five a story."""
    generator = np.random.default_rng([task, seed])
    return [q for _ in range(questions // QUESTIONS) for q in tell(generator, task)]


def arrays(questions):
    """Word numbers for a `MemoryNetwork`: its inputs by name, and the answers `(B,)`."""
    longest = min(MEMORY, max(len(q.story) for q in questions))
    story = np.zeros((len(questions), longest, SENTENCE), "int32")
    question = np.zeros((len(questions), SENTENCE), "int32")
    for row, q in enumerate(questions):
        for i, sentence in enumerate(q.story[-longest:]):
            numbers = [NUMBERS[word] for word in sentence.split()]
            story[row, i, : len(numbers)] = numbers
        numbers = [NUMBERS[word] for word in q.question.split()]
        question[row, : len(numbers)] = numbers
    answers = np.array([NUMBERS[q.answer] for q in questions], "int32")
    return {"story": story, "question": question}, answers
