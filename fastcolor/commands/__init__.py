"""The commands of ``fastcolor``, a module each: ``add_arguments(parser)`` and ``run(args) -> exit status``."""
