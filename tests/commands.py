"""Commands of `ape run` in the process of the tests, on their chain."""

OF_APE = ("network", "provider_settings")  # options that ape takes off before a command sees them


def run_here(command, *arguments):
    """Run a command as it is called with arguments; what it complains of is raised.

    A process of its own takes seconds to start. That a complaint is printed there, without a
    traceback, one test of each command shows.
    """
    given = command.make_context(command.name, [str(argument) for argument in arguments]).params
    command.callback(**{name: value for name, value in given.items() if name not in OF_APE})
