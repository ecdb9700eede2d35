"""Flesch-Kincaid grade of English text, with a plain count of syllables."""

import re


def grade(text: str) -> float:
    """The US school grade that reads the text with ease (Kincaid 1975)."""
    sentences = split_sentences(text)
    words = [word for sentence in sentences for word in _words(sentence)]
    syllables = sum(_syllables(word) for word in words)
    return 0.39 * len(words) / len(sentences) + 11.8 * syllables / len(words) - 15.59


def split_sentences(text: str) -> list[str]:
    """Sentences, headings and labels; each line is one at least."""
    return [part for part in re.split(r"(?<=[.?!:])\s+|\n", text) if _words(part)]


def longest_sentence(text: str) -> int:
    """Words of the longest sentence."""
    return max(len(_words(sentence)) for sentence in split_sentences(text))


def _words(sentence: str) -> list[str]:
    return re.findall(r"[A-Za-z']+", sentence)


def _syllables(word: str) -> int:
    if word.isupper():
        return len(word)  # read letter by letter
    word = re.sub(r"[^a-z]", "", word.lower())
    groups = len(re.findall(r"[aeiouy]+", word))
    if re.search(r"[^aeiouyl]e$|[^aeiouytd]ed$|[^aeiouyszx]es$", word) and groups > 1:
        groups -= 1
    return max(1, groups)
