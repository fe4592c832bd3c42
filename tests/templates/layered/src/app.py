"""Says a word by its layer."""

import os

import shared


def handler(event, context):
    return shared.said(os.environ["WORD"])
