"""Models and weights to and from other programs: artefacts of runtimes, and files of other systems."""
