"""What functions share."""


def said(word):
    return f"said {word}"
