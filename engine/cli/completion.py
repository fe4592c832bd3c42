"""`stoker completion`: a script that completes commands and options, made from the parser itself."""

from __future__ import annotations

import argparse

from .main import OK

_BASH = """\
_stoker() {{
    local words
    case "${{COMP_WORDS[1]}}" in
{cases}
        *) words="{commands}" ;;
    esac
    [ "$COMP_CWORD" -eq 1 ] && words="{commands}"
    COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _stoker stoker
"""
_ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


def run(shell: str, parser: argparse.ArgumentParser) -> int:
    """Print the script."""
    [commands] = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    cases = []
    for name, command in commands.choices.items():
        options = sorted(text for action in command._actions for text in action.option_strings)
        cases.append(f'        {name}) words="{" ".join(options)}" ;;')
    script = _BASH.format(cases="\n".join(cases), commands=" ".join(commands.choices))
    print((_ZSH if shell == "zsh" else "") + script, end="")
    return OK
