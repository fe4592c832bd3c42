"""What happens to an event after its 202: when it runs, when again, and who hears that it will not run any more."""
